"""The durable part of the embedded journal: one lock, appending whole lines, repairing what a crash tore."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a journal against every other thread and process. Raises `OSError`."""
    # a new open per append gives every thread a lock of its own; closing the file releases it, so does a crash
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def append_durably(path: Path, data: bytes) -> None:
    """Append whole lines and fsync; the caller holds the lock.

    Complete lines are never taken back, because a reader may have seen them; what a failed write left of a line is
    removed by the next append. Raises `OSError`, then none, some or all lines are there.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        if _without_torn_line(descriptor, path) == 0:
            # before the first byte, so that a file with content is known to have a durable name
            fsync_directory(path.parent)
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _without_torn_line(descriptor: int, path: Path, block: int = 1 << 16) -> int:
    """Truncate what a crash left after the last line end; give the size in bytes that remains."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - block)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        end = begin + newline + 1 if newline >= 0 else begin
        if newline >= 0:
            break
    if end != size:
        _log.warning("journal file %s: dropped %d bytes of a line that was never confirmed", path, size - end)
        os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def fsync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
