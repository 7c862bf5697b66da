"""Files of instances that have no identity yet: open, locked, under a temporary name, with a buffer to write from."""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from dicom_listener.spool.block_writer import BLOCK_BYTES, Blocks, BlockWriter
from dicom_listener.spool.files import (
    create_locked,
    disk_errors_in_words,
    finish_writeback,
    start_writeback,
    write_all,
)
from dicom_listener.spool.part10 import LENGTH_BYTES, encode_length

_WRITEBACK_BYTES = BLOCK_BYTES
"""After how much the kernel is asked to begin writing: less is left for the sync at the end."""


def draft_prefix(process_id: int) -> str:
    """With what the names of the drafts of a process begin."""
    return f"{process_id}-"


class Draft(BlockWriter):
    """A file that is being written; for one thread at a time."""

    __slots__ = ("_blocks", "_written_back", "descriptor", "errors", "name")

    def __init__(self, name: str, descriptor: int, blocks: Blocks, errors: disk_errors_in_words) -> None:
        """Take over a file that was made by `create_locked`."""
        super().__init__(blocks.take())
        self.name = name
        """Path of the file; text, as a `Path` made for each instance was seen in measurements."""
        self.descriptor = descriptor
        self.errors = errors
        """Translates what the disk says."""
        self._blocks = blocks
        self._written_back = 0

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(self.name)

    def _put(self, data: memoryview) -> None:
        with self.errors:
            write_all(self.descriptor, data)
        end = self._written + len(data)
        if end - self._written_back >= _WRITEBACK_BYTES:
            start_writeback(self.descriptor, self._written_back, end - self._written_back)
            self._written_back = end

    def complete(self, data_set_offset: int) -> None:
        """Fill in how long the data set is, right before it, and write what is in memory; raises as `append` does."""
        offset, length = data_set_offset - LENGTH_BYTES, encode_length(self.size - data_set_offset)
        if offset >= self._written:
            self._block[offset - self._written : offset - self._written + len(length)] = length
        else:
            with self.errors:
                os.pwrite(self.descriptor, length, offset)
        self.flush()

    def read_back(self) -> BinaryIO:
        """The file, to be read from its beginning; close it. Raises OSError."""
        return self.path.open("rb")

    def link_to(self, name: Path) -> None:
        """Give the file its final name, in one step; unlike a rename this never replaces another file.

        Raises:
            FileExistsError: the name is taken.
            OSError: the disk failed.
        """
        os.link(self.name, name)

    def replace(self, name: Path) -> None:
        """Give the file a name that another one has, which loses it."""
        other = self.path.with_suffix(".replacing")
        os.link(self.name, other)
        other.replace(name)

    def finish_writeback(self) -> None:
        """Wait until the content is written, which is not durable yet. Raises OSError as `sync` does."""
        finish_writeback(self.descriptor)

    def sync(self) -> None:
        """Make the content durable. Raises OSError: the disk failed, and what it holds is not known."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close the file and remove its temporary name, and so the file if it has no other; may be called again."""
        if self.descriptor < 0:
            return
        os.close(self.descriptor)
        self.descriptor = -1
        with suppress(OSError):  # what cannot be removed now is removed by the next recovery
            os.unlink(self.name)  # noqa: PTH108 (see `name`)
        self._blocks.give_back(self._block)


class Drafts:
    """Makes drafts in one folder; for any number of threads."""

    def __init__(self, root: Path, folder: Path) -> None:
        """`root` is the spool, for messages."""
        self.errors = disk_errors_in_words(root)
        """Translates what the disk says; one for all, as it keeps nothing."""
        self._folder = str(folder)
        self._blocks = Blocks()

    def open(self) -> Draft:
        """Make an empty file under a new temporary name.

        Raises:
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        name = f"{self._folder}{os.sep}{draft_prefix(os.getpid())}{os.urandom(16).hex()}"
        with self.errors:
            try:
                descriptor = create_locked(name)
            except FileNotFoundError:  # the folder was deleted by hand, and what is in the journal needs it
                Path(self._folder).mkdir(mode=0o750, exist_ok=True)
                descriptor = create_locked(name)
        return Draft(name, descriptor, self._blocks, self.errors)
