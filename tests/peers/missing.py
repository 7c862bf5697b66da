"""What a test does when a real peer is not installed: skip on a laptop, fail in continuous integration."""

import os
from typing import NoReturn

import pytest


def missing_peer(name: str, why: str) -> NoReturn:
    """End the test: a skip where a person runs it, a failure where `CI=true` says that every peer must be there."""
    message = f"{name}: {why}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"a peer is missing in CI: {message}", pytrace=False)
    pytest.skip(message)
