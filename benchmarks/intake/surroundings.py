"""What a figure depends on: machine, disk, versions. Never the name of the machine."""

import fcntl
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

_MEMORY_FILE_SYSTEMS = {"tmpfs", "ramfs"}
SPREAD_NOTE = (
    "Each run has a folder in a part of the disk of its own (what `chattr +T` does), where nothing was deleted a short "
    "time ago: ext4 without a journal makes files ever more slowly where many were deleted in the last minutes."
)
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
"""FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h, 64 bits."""
_TOP_OF_HIERARCHIES = 0x00020000
"""FS_TOPDIR_FL: what `chattr +T` sets."""


def describe(folder: Path, programs: Sequence[Path] = ()) -> list[str]:
    """Lines for the head of a table; `programs` are those whose version line is shown."""
    versions = [
        *map(_first_line, programs),
        f"pynetdicom {version('pynetdicom')}",
        f"Python {platform.python_version()}",
    ]
    return [
        f"Date: {datetime.now(UTC):%Y-%m-%d}",
        f"Processor: {_processor()}, {os.cpu_count()} cores; kernel {platform.release()}; {_disk(folder)}",
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


def _disk(folder: Path) -> str:
    """The file system of a folder, and whether it has a journal where that is a choice: a sync costs another price."""
    kind = file_system(folder)
    if kind != "ext4":
        return kind
    device = folder.stat().st_dev
    name = Path("/sys/dev/block", f"{os.major(device)}:{os.minor(device)}").resolve().name
    return f"{kind} with a journal" if any(Path("/proc/fs/jbd2").glob(f"{name}-*")) else f"{kind} without a journal"


def spread(folder: Path) -> None:
    """Let each folder that is made in this one begin in a part of the disk of its own, where ext4 can do that.

    ext4 without a journal passes over inodes that were deleted in the last minutes, one by one, for each file that it
    makes in the same block group: after a few thousand were deleted that costs more than to write the file. Runs that
    follow a deletion, of which nobody may know, would measure that.
    """
    with suppress(OSError):  # another file system
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            flags = bytearray(8)
            fcntl.ioctl(descriptor, _GET_FLAGS, flags)
            wanted = int.from_bytes(flags, sys.byteorder) | _TOP_OF_HIERARCHIES
            fcntl.ioctl(descriptor, _SET_FLAGS, wanted.to_bytes(8, sys.byteorder))
        finally:
            os.close(descriptor)


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
