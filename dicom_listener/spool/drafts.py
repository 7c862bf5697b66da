"""Files of instances that have no identity yet: open, locked, under a temporary name, with a buffer to write from."""

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.spool.files import create_locked, disk_errors_in_words, start_writeback, write_all

BLOCK_BYTES = 256 * 1024
"""Size of one write, at a multiple of itself: pieces as they come from the network, which end anywhere, were measured
to cost a third more of the processor's time, and blocks of half the size a tenth; larger ones gain nothing."""
_SLACK_BYTES = 4096
"""What may be received behind a block and is moved to the front of the next. Fragments of a full PDU end a little
behind a block, for the File Meta Information comes before them; such a rest would cost a read and a copy of its own."""
_WRITEBACK_BYTES = BLOCK_BYTES
"""After how much the kernel is asked to begin writing: less is left for the sync at the end."""


def draft_prefix(process_id: int) -> str:
    """With what the names of the drafts of a process begin."""
    return f"{process_id}-"


@dataclass(slots=True, eq=False)
class Draft:
    """A file that is being written; for one thread at a time."""

    name: str
    """Path of the file; text, as a `Path` made for each instance was seen in measurements."""
    descriptor: int
    _block: memoryview
    _drafts: "Drafts"
    size: int = 0
    """What was appended so far, bytes."""
    _written: int = 0
    _written_back: int = 0

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self.name)

    @property
    def errors(self) -> disk_errors_in_words:
        """Translates what the disk says."""
        return self._drafts.errors

    def append(self, data: memoryview) -> None:
        """Append to the file; what does not fill a block stays in memory until `flush`.

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

    def patch(self, offset: int, data: bytes) -> None:
        """Change what was appended before; raises as `append` does."""
        if offset >= self._written:
            self._block[offset - self._written : offset - self._written + len(data)] = data
        else:
            with self.errors:
                os.pwrite(self.descriptor, data, offset)

    def flush(self) -> None:
        """Write what is in memory; raises as `append` does."""
        self._write(self.size - self._written)

    def _write(self, n_bytes: int) -> None:
        with self.errors:
            write_all(self.descriptor, self._block[:n_bytes])
        self._written += n_bytes
        if self._written - self._written_back >= _WRITEBACK_BYTES:
            start_writeback(self.descriptor, self._written_back, self._written - self._written_back)
            self._written_back = self._written

    def close(self) -> None:
        """Close the file and remove its temporary name, and so the file if it has no other; may be called again."""
        if self.descriptor < 0:
            return
        os.close(self.descriptor)
        self.descriptor = -1
        with suppress(OSError):  # what cannot be removed now is removed by the next recovery
            os.unlink(self.name)  # noqa: PTH108 (see `name`)
        self._drafts.give_back(self._block)


class Drafts:
    """Makes drafts in one folder; for any number of threads."""

    def __init__(self, root: Path, folder: Path) -> None:
        """`root` is the spool, for messages."""
        self.errors = disk_errors_in_words(root)
        """Translates what the disk says; one for all, as it keeps nothing."""
        self._folder = str(folder)
        self._free_blocks: deque[memoryview] = deque()

    def open(self) -> Draft:
        """Make an empty file under a new temporary name.

        Raises:
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        name = f"{self._folder}{os.sep}{draft_prefix(os.getpid())}{os.urandom(16).hex()}"
        with self.errors:
            descriptor = create_locked(name)
        return Draft(name, descriptor, self._take_block(), self)

    def _take_block(self) -> memoryview:
        # used again: fresh memory of this size costs a page fault for every 4 kB
        try:
            return self._free_blocks.pop()
        except IndexError:
            return memoryview(bytearray(BLOCK_BYTES + _SLACK_BYTES))

    def give_back(self, block: memoryview) -> None:
        """Keep a block for the next draft; there are never more than were used at one time."""
        self._free_blocks.append(block)
