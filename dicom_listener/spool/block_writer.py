"""Gathers what comes in pieces of any length into blocks of one size, each written at once."""

from abc import ABC, abstractmethod
from collections import deque

BLOCK_BYTES = 256 * 1024
"""Size of one write, at a multiple of itself: pieces as they come from the network, which end anywhere, were measured
to cost a third more of the processor's time, and blocks of half the size a tenth; larger ones gain nothing."""
SLACK_BYTES = 4096
"""What may be received behind a block and is moved to the front of the next. Fragments of a full PDU end a little
behind a block, for the File Meta Information comes before them; such a rest would cost a read and a copy of its own."""


class BlockWriter(ABC):
    """Something that is written from its beginning to its end; for one thread at a time."""

    __slots__ = ("_block", "_written", "size")

    def __init__(self, block: memoryview) -> None:
        """`block` comes from `Blocks`."""
        self._block = block
        self._written = 0
        self.size = 0
        """What was appended so far, bytes."""

    @abstractmethod
    def _put(self, data: memoryview) -> None:
        """Write what follows `_written`; raises as `append` does."""

    def append(self, data: memoryview) -> None:
        """Append; what does not fill a block stays in memory until `flush`.

        Raises:
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        position = 0
        while position < len(data):
            used = self.size - self._written
            n_bytes = min(len(data) - position, BLOCK_BYTES - used)
            self._block[used : used + n_bytes] = data[position : position + n_bytes]
            position += n_bytes
            self.size += n_bytes
            if used + n_bytes == BLOCK_BYTES:
                self.flush()

    def room(self, limit: int) -> memoryview:
        """Where the next bytes belong, for whoever can receive them there: at most `limit`, at least one."""
        used = self.size - self._written
        return self._block[used : used + limit]

    def advance(self, n_bytes: int) -> None:
        """So many bytes were put into `room`; raises as `append` does."""
        self.size += n_bytes
        rest = self.size - self._written - BLOCK_BYTES
        if rest >= 0:
            self._write(BLOCK_BYTES)
            self._block[:rest] = self._block[BLOCK_BYTES : BLOCK_BYTES + rest]

    def flush(self) -> None:
        """Write what is in memory; raises as `append` does."""
        self._write(self.size - self._written)

    def _write(self, n_bytes: int) -> None:
        self._put(self._block[:n_bytes])
        self._written += n_bytes


class Blocks:
    """Memory for writers, used again: fresh memory of this size costs a page fault for every 4 kB."""

    def __init__(self) -> None:
        self._free: deque[memoryview] = deque()

    def take(self) -> memoryview:
        """A block and some room behind it."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(bytearray(BLOCK_BYTES + SLACK_BYTES))

    def give_back(self, block: memoryview) -> None:
        """Keep a block for the next one; there are never more than were used at one time."""
        self._free.append(block)
