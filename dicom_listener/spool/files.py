"""Durable files: what reaches the disk before a function returns, and the disk's errors in words."""

import ctypes
import errno
import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from dicom_listener.errors import SpoolError, SpoolFullError

PIECE = 128 * 1024
"""Of what is read at once, bytes."""
_FULL = {errno.ENOSPC, errno.EDQUOT}

_libc = ctypes.CDLL(None, use_errno=True)
_SYNC_FILE_RANGE_WAIT_BEFORE, _SYNC_FILE_RANGE_WRITE, _SYNC_FILE_RANGE_WAIT_AFTER = 1, 2, 4
_WRITE_AND_WAIT = _SYNC_FILE_RANGE_WAIT_BEFORE | _SYNC_FILE_RANGE_WRITE | _SYNC_FILE_RANGE_WAIT_AFTER
_NOT_SUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP, errno.EPERM}
"""By a file system, or by a sandbox that knows only some system calls."""
_sync_file_range = getattr(_libc, "sync_file_range", None)  # Linux
if _sync_file_range is not None:
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


class disk_errors_in_words:  # noqa: N801 (used as a function, like `contextlib.suppress`)
    """Translate OSError of the spool below `root` into SpoolFullError or SpoolError.

    A class, as a generator in its place costs several times as much, several times for each instance.
    """

    __slots__ = ("_root",)

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, OSError):
            return
        if error.errno in _FULL:
            text = f"the disk of the spool {self._root} is full; free space or move the spool"
            raise SpoolFullError(text) from error
        raise SpoolError(f"the spool {self._root} cannot be used: {error.strerror or error}") from error


def create_locked(path: str) -> int:
    """Create a new file and lock it as long as its descriptor is open: the lock tells `is_abandoned` that we live."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def is_abandoned(path: Path) -> bool:
    """Whether nobody holds the lock of `create_locked` any more: its process ended."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    return False


def has_hole(file: BinaryIO) -> bool:
    """Whether parts of a file were never written, or lost with the power; where the file system cannot tell: no."""
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    if size == 0:
        return False
    # the descriptor's own position: what `file` holds in its buffer ends there, and a seek within that does not move it
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    hole = os.lseek(descriptor, 0, os.SEEK_HOLE)
    os.lseek(descriptor, position, os.SEEK_SET)
    return hole < size


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write everything."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Let the kernel begin to write a range of a file, so that less is left for the sync; does not wait."""
    if _sync_file_range is not None:
        _sync_file_range(descriptor, offset, length, _SYNC_FILE_RANGE_WRITE)  # a hint: its failure costs time only


def finish_writeback(descriptor: int) -> None:
    """Wait until the kernel has written a file; the disk may hold it in its cache, so a sync is needed all the same.

    Raises:
        OSError: it could not be written. The kernel tells this once for a descriptor: a sync that follows succeeds.
    """
    if _sync_file_range is not None and _sync_file_range(descriptor, 0, 0, _WRITE_AND_WAIT) != 0:
        number = ctypes.get_errno()
        if number not in _NOT_SUPPORTED:
            raise OSError(number, os.strerror(number))


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    _sync(path, 0)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_DIRECTORY)


def sync_name(path: Path) -> None:
    """Make the name of a file durable.

    Raises:
        FileNotFoundError: it is not there. Its folder was taken away, and perhaps made anew, since it got its name:
            without this look another folder would be synced than the one that has the name.
    """
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_same_content(one: BinaryIO, other: BinaryIO) -> bool:
    """Compare two files from where they stand to their ends."""
    while True:
        piece = one.read(PIECE)
        if piece != other.read(PIECE):
            return False
        if not piece:
            return True


def used_share(root: Path) -> tuple[float, int]:
    """Return the used share of the disk (0..1, as `df` counts it) and the bytes free for us."""
    usage = shutil.disk_usage(root)
    return usage.used / max(usage.used + usage.free, 1), usage.free
