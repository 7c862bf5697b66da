"""One lane of the intake journal: a file that one process at a time writes to."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from dicom_listener.errors import SpoolError
from dicom_listener.spool.files import sync_folder, write_all
from dicom_listener.spool.journal.lane_format import (
    BLOCK_BYTES,
    FIRST_BYTE,
    GENERATION_BYTES,
    LaneFront,
    Trailer,
    trailers,
)

UNFINISHED = ".new"
"""Behind the name of a lane that is being made."""
DAMAGED = "damaged-"
"""Before the name of a lane that is kept for people: what was acknowledged may be saved from it."""
_PIECE = bytes(1024 * 1024)


class DamagedLaneError(SpoolError):
    """Nothing at the front of a lane tells what in it counts."""


class Lane:
    """A lane that this process holds, until `close` or its death; methods that write are for one thread at a time."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """See `claim`."""
        self.path = path
        self.descriptor = descriptor
        self.capacity = os.fstat(descriptor).st_size
        found = LaneFront.newest(self.read_at(0, FIRST_BYTE))
        if found is None:
            raise DamagedLaneError(f"{path} is damaged: nothing at its front tells what in it counts")
        self._front = found
        # of its own: the kernel tells each open file once what it could not write, and whoever syncs one for `filed_to`
        # must not take that from whoever syncs an instance
        self._front_descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.end = FIRST_BYTE
        """Where the next instance begins, once the lane was begun anew."""
        self.used_to = found.used_to if self.is_clean else self.capacity
        """See `LaneFront`; whoever writes moves it on."""

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """Take a lane; None when somebody has it, or when there is none.

        Raises:
            OSError: the disk failed.
            DamagedLaneError: it is damaged.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return cls(path, descriptor)
            os.close(descriptor)  # a new one has its name
            return None
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError | FileNotFoundError):  # or it was taken away before it was locked
                return None
            raise

    @staticmethod
    def says_clean(path: Path) -> bool | None:
        """Whether every instance in a lane has a file, also where somebody has it; None: it is damaged. Raises OSError.

        Looks at nothing but its front.
        """
        front = Lane.front_of(path)
        return None if front is None else front.filed_to >= path.stat().st_size

    @staticmethod
    def front_of(path: Path) -> LaneFront | None:
        """What the front of a lane says, also where somebody has it; None: it is damaged. Raises OSError."""
        with path.open("rb", buffering=0) as file:
            return LaneFront.newest(file.read(FIRST_BYTE))

    @staticmethod
    def make(path: Path, n_bytes: int) -> None:
        """Write a lane in advance, durably: it has a name once all of its blocks are on the disk. Raises OSError."""
        unfinished = path.with_name(path.name + UNFINISHED)
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            try:
                for _ in range(n_bytes // len(_PIECE)):
                    write_all(descriptor, _PIECE)
                front = LaneFront(os.urandom(GENERATION_BYTES), 0, n_bytes)
                os.pwrite(descriptor, front.encode(), front.offset)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            unfinished.rename(path)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
            raise
        sync_folder(path.parent)

    @property
    def generation(self) -> bytes:
        """See `LaneFront`."""
        return self._front.generation

    @property
    def room(self) -> int:
        """How large a Part 10 file may still be appended, bytes."""
        return self.capacity - self.end - BLOCK_BYTES

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Read; fewer at the end. Raises OSError."""
        return os.pread(self.descriptor, n_bytes, offset)

    def unfiled(self) -> Iterator[Trailer]:
        """What another process left here, see `trailers`. Raises OSError."""
        return trailers(self.read_at, self._front)

    @property
    def filed_to(self) -> int:
        """See `LaneFront`."""
        return self._front.filed_to

    @property
    def is_clean(self) -> bool:
        """Whether every instance in it has a file, durably."""
        return self._front.filed_to >= self.capacity

    def begin(self) -> None:
        """Use a clean lane from its beginning. Becomes durable with the first instance. Raises OSError."""
        self._write_front(LaneFront(os.urandom(GENERATION_BYTES), self._front.sequence + 1, FIRST_BYTE))
        self.end = FIRST_BYTE

    def mark_filed(self, filed_to: int) -> None:
        """Every instance before that byte has a file: it is not looked at again. Durable. Raises OSError."""
        self._write_front(LaneFront(self.generation, self._front.sequence + 1, filed_to, self.used_to))
        os.fdatasync(self._front_descriptor)

    def mark_clean(self) -> None:
        """As `mark_filed`, for all of the lane."""
        self.mark_filed(self.capacity)

    @property
    def is_blank(self) -> bool:
        """Whether it is clean, and holds nothing of instances any more."""
        return self.is_clean and self._front.used_to <= FIRST_BYTE

    def wipe(self) -> None:
        """Write zeros over what is left in a clean lane of instances that have files. Durable. Raises OSError."""
        position = FIRST_BYTE
        while position < self.used_to:
            position += os.pwrite(self.descriptor, _PIECE[: self.used_to - position], position)
        os.fdatasync(self.descriptor)
        self.used_to = FIRST_BYTE
        self.mark_clean()

    def set_aside(self) -> Path:
        """Keep it for people, under another name, which is returned. Raises OSError."""
        return set_aside(self.path, self.generation.hex())

    def _write_front(self, front: LaneFront) -> None:
        os.pwrite(self._front_descriptor, front.encode(), front.offset)
        self._front = front

    def close(self) -> None:
        """Let others have it; may be called again."""
        if self.descriptor >= 0:
            os.close(self._front_descriptor)
            os.close(self.descriptor)
            self.descriptor = -1


def set_aside(path: Path, suffix: str) -> Path:
    """Keep a damaged lane for people, under another name, which is returned. Raises OSError."""
    kept = path.with_name(f"{DAMAGED}{path.name}-{suffix}")
    path.rename(kept)
    return kept
