"""A lane on a disk that keeps what it likes of what was not synced, as disks do when the power fails."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from unittest.mock import patch

from dicom_listener.spool.journal.lane_format import BLOCK_BYTES


class UnreliableDisk:
    """What may be on the disk after a loss of power, for each block of one file; nothing really waits for a disk."""

    def __init__(self, content: bytes) -> None:
        """`content` is durable."""
        self.latest = bytearray(content)
        """As the kernel has it in memory."""
        self._durable = bytearray(content)
        self._maybe: dict[int, list[bytes]] = {}
        """What else than `_durable` a block may hold: every content that it had since."""
        self._dirty: set[int] = set()
        """Blocks that the next sync writes. After one that failed, none: the kernel takes them for written."""
        self.fails = False
        """Whether the next sync fails."""
        self._has_failed = False

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Every write and sync of this process goes here."""
        with (
            patch.object(os, "pwrite", self._pwrite),
            patch.object(os, "fdatasync", self._fdatasync),
            patch.object(os, "pread", self._pread),
        ):
            yield

    def after_power_loss(self, random: Random, *, share: float) -> bytes:
        """One of the contents that the disk may have; `share` is how likely it is that a block was written."""
        content = bytearray(self._durable)
        for block, versions in self._maybe.items():
            if random.random() < share:
                begin = block * BLOCK_BYTES
                content[begin : begin + BLOCK_BYTES] = random.choice(versions)
        if self._maybe and not self._has_failed and random.random() < 0.5:  # it was about to write one of them
            begin = random.choice(list(self._maybe)) * BLOCK_BYTES
            content[begin : begin + BLOCK_BYTES] = random.randbytes(BLOCK_BYTES)
        return bytes(content)

    def _pread(self, _descriptor: int, n_bytes: int, offset: int) -> bytes:
        return bytes(self.latest[offset : offset + n_bytes])

    def _pwrite(self, _descriptor: int, data: bytes | memoryview, offset: int) -> int:
        assert offset % BLOCK_BYTES == 0
        assert len(data) % BLOCK_BYTES == 0
        assert offset + len(data) <= len(self.latest)  # over what was written in advance, never behind it
        n_bytes = max(BLOCK_BYTES, len(data) // 2 // BLOCK_BYTES * BLOCK_BYTES)  # a part, as the kernel may
        self.latest[offset : offset + n_bytes] = data[:n_bytes]
        for block in range(offset // BLOCK_BYTES, (offset + n_bytes) // BLOCK_BYTES):
            self._maybe.setdefault(block, []).append(self._of(self.latest, block))
            self._dirty.add(block)
        return n_bytes

    def _fdatasync(self, _descriptor: int) -> None:
        if self.fails:
            self.fails, self._has_failed = False, True
            self._dirty.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        for block in self._dirty:
            begin = block * BLOCK_BYTES
            self._durable[begin : begin + BLOCK_BYTES] = self._of(self.latest, block)
            del self._maybe[block]
        self._dirty.clear()

    @staticmethod
    def _of(content: bytearray, block: int) -> bytes:
        return bytes(content[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES])
