"""Listeners that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_listener.scp import ScpSettings
from tests.unit.dicom_listener.listening import Listener


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(settings: ScpSettings | None = None) -> Listener:
        made.append(Listener(tmp_path / f"spool-{len(made)}", settings))
        return made[-1]

    yield make
    for listener in made:
        listener.scp.stop()


@pytest.fixture
def listener(listeners: Callable[..., Listener]) -> Listener:
    return listeners()
