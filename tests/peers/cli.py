"""The installed `segwatch` command, run as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.peers.missing import missing_peer
from tests.peers.processes import ServerProcess


class SegwatchCli:
    """Runs the command of this environment in a folder of its own, without the caller's SEGWATCH_* variables."""

    def __init__(self, folder: Path) -> None:
        """Run in `folder`; background processes log there too."""
        self.program = Path(sys.executable).parent / "segwatch"
        if not self.program.exists():
            missing_peer("segwatch", f"{self.program} does not exist: pip install -e .[dev]")
        self.folder = folder
        self._started: list[ServerProcess] = []

    def __call__(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end; the exit status is for the caller to judge (subprocess.TimeoutExpired after `timeout` s)."""
        return subprocess.run(
            [str(self.program), *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def start(self, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> ServerProcess:
        """Start in the background (`segwatch site ...`); stopped when the test ends, if not before.

        `wait_for_port` of the returned process tells when a listener is ready.
        """
        log = self.folder / f"segwatch-{len(self._started)}-{arguments[0]}.log"
        process = ServerProcess(
            [self.program, *arguments], log=log, environment=self._environment(environment), directory=self.folder
        )
        process.start()
        self._started.append(process)
        return process

    def close(self) -> None:
        """Stop everything that was started, the last first."""
        for process in reversed(self._started):
            process.close()

    @staticmethod
    def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEGWATCH_")}
        # a wide, colourless terminal: what is asserted must not depend on where lines are broken
        return {**inherited, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **(more or {})}
