"""Prometheus' own checker of rules, settings and metrics."""

import shutil
import subprocess
from pathlib import Path

from tests.peers.missing import missing_peer


class Promtool:
    """Runs `promtool`; the caller judges the status."""

    def __init__(self) -> None:
        """Find the program, or end the test."""
        found = shutil.which("promtool")
        if found is None:
            missing_peer("promtool", "not installed (Debian package prometheus)")
        self._path = Path(found).absolute()

    def __call__(self, *arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run it with `given` on standard input."""
        return subprocess.run(
            [self._path, *arguments], input=given, capture_output=True, text=True, check=False, timeout=60
        )
