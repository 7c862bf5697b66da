"""DCMTK's programs and dicom3tools' dciodvfy, as installed by the system's package manager."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.peers.missing import missing_peer
from tests.peers.ports import LOOPBACK

_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin")


@dataclass(frozen=True)
class Dcmtk:
    """Absolute paths of DCMTK's programs: pynetdicom installs others under the same names."""

    storescu: Path
    storescp: Path
    echoscu: Path
    dcmdump: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment for the network programs; without TCP_NODELAY=1 they wait 40 ms for each acknowledgement."""
        return {**os.environ, "TCP_NODELAY": "1"}

    def send(
        self, *paths: Path, port: int, called: str = "SEGWATCH", calling: str = "PACS", options: Sequence[str] = ("-R",)
    ) -> subprocess.CompletedProcess[str]:
        """C-STORE files and folders (recursively, without their SOURCE.txt) to loopback; the caller judges the status.

        `-R` proposes only the SOP classes of the files; add e.g. `-xv` to propose JPEG 2000.
        """
        command: list[str | Path] = [self.storescu, "-v", *options, "-aec", called, "-aet", calling]
        return subprocess.run(
            [*command, LOOPBACK, str(port), *_files(paths)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def echo(self, *, port: int, called: str = "SEGWATCH") -> subprocess.CompletedProcess[str]:
        """C-ECHO to loopback."""
        command: list[str | Path] = [self.echoscu, "-v", "-aec", called, LOOPBACK, str(port)]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)

    def dump(self, path: Path) -> str:
        """What dcmdump prints about a file, values in full."""
        command: list[str | Path] = [self.dcmdump, "+L", path]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, errors="replace").stdout


@dataclass(frozen=True)
class Dciodvfy:
    """The conformance checker of dicom3tools."""

    path: Path

    def errors(self, file: Path) -> list[str]:
        """The lines of dciodvfy that begin with `Error`."""
        done = subprocess.run([self.path, file], capture_output=True, text=True, check=False, timeout=300)
        return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def find_dcmtk() -> Dcmtk:
    """Find the programs, or end the test when one is missing."""
    return Dcmtk(**{name: _find(name) for name in ("storescu", "storescp", "echoscu", "dcmdump")})


def find_dciodvfy() -> Dciodvfy:
    """Find dciodvfy, or end the test."""
    found = shutil.which("dciodvfy")
    if found is None:
        missing_peer("dciodvfy", "not installed (Debian package dicom3tools)")
    return Dciodvfy(Path(found).absolute())


def _files(paths: Sequence[Path]) -> list[Path]:
    below = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths]
    return [file for files in below for file in files if file.is_file() and file.name != "SOURCE.txt"]


def _find(name: str) -> Path:
    for folder in (*_FOLDERS, *os.environ.get("PATH", "").split(os.pathsep)):
        program = Path(folder) / name
        if os.access(program, os.X_OK) and _is_dcmtk(program):
            return program.absolute()
    return missing_peer("DCMTK", f"no {name} whose version line says $dcmtk (Debian package dcmtk)")


def _is_dcmtk(program: Path) -> bool:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=30)
    return "$dcmtk" in done.stdout + done.stderr
