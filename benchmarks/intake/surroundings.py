"""What a figure depends on: machine, disk, versions. Never the name of the machine."""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}


def describe(folder: Path, programs: Sequence[Path] = ()) -> list[str]:
    """Lines for the head of a table; `programs` are those whose version line is shown."""
    versions = [
        *map(_first_line, programs),
        f"pynetdicom {version('pynetdicom')}",
        f"Python {platform.python_version()}",
    ]
    return [
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        f"Processor: {_processor()}, {os.cpu_count()} cores; kernel {platform.release()}; {file_system(folder)}",
        f"Versions: {'; '.join(versions)}",
    ]


def command_line() -> str:
    """How this program was called, without the folders of this machine."""
    return f"`{' '.join(['python', f'benchmarks/{Path(sys.argv[0]).name}', *sys.argv[1:]])}`"


def file_system(folder: Path) -> str:
    """Type of the file system that holds a folder, e.g. ext4."""
    folder, found = folder.resolve(), ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind = line.split()[:3]
        if folder.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def check_disk(folder: Path, needed_bytes: int) -> None:
    """End the program with a sentence when figures from this folder would mean nothing."""
    if file_system(folder) in _MEMORY_FILE_SYSTEMS:
        sys.exit(f"{folder} is in memory, where nothing is ever durable: choose a folder on a disk with --folder")
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if free < needed_bytes:
        sys.exit(f"{folder} has {free / 1e9:.0f} GB free and the runs need {needed_bytes / 1e9:.0f}: use --folder")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(program: Path) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0].strip("$ ").removeprefix(f"{program.parent}/")
