"""An instance on its way into a lane of the intake journal."""

import io
import os
from collections.abc import Callable
from typing import BinaryIO

from dicom_listener.spool.block_writer import BLOCK_BYTES, Blocks, BlockWriter
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.files import disk_errors_in_words, start_writeback
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import BLOCK_BYTES as LANE_BLOCK_BYTES
from dicom_listener.spool.journal.lane_format import Checksum, Trailer, padded


class LaneDraft(BlockWriter):
    """A place in a lane, or a file of its own once the lane has no room for it; for one thread at a time."""

    __slots__ = (
        "_blocks",
        "_checksum",
        "_data_set_offset",
        "_give_back",
        "_make_file",
        "_retire",
        "_start",
        "errors",
        "file",
        "lane",
    )

    def __init__(
        self,
        lane: Lane,
        blocks: Blocks,
        *,
        make_file: Callable[[], Draft],
        give_back: Callable[[Lane], None],
        retire: Callable[[Lane], None],
        errors: disk_errors_in_words,
    ) -> None:
        """Begin behind what is in the lane, which nobody else writes to.

        Args:
            lane: where.
            blocks: memory.
            make_file: makes a file of its own for what turns out to be too long.
            give_back: called with the lane when nothing is written to it any more.
            retire: called with the lane when the disk failed: the kernel takes for written what it could not write.
            errors: translates what the disk says.
        """
        super().__init__(blocks.take())
        self.lane = lane
        self.file: Draft | None = None
        """Where everything is, if the lane had no room."""
        self.errors = errors
        """Translates what the disk says."""
        self._blocks = blocks
        self._make_file = make_file
        self._give_back: Callable[[Lane], None] | None = give_back
        self._retire = retire
        self._start = lane.end
        self._checksum = Checksum()
        self._data_set_offset = 0

    def _put(self, data: memoryview) -> None:
        if self.file is None and len(data) > self.lane.room - self._written:
            self._move_to_file()
        if self.file is not None:
            self.file.append(data)
            return
        self._checksum.update(data)
        with self.errors:
            self._write_at(data, self._written)
        start_writeback(self.lane.descriptor, self._start + self._written, len(data))

    def _write_at(self, data: memoryview, offset: int) -> None:
        self.lane.used_to = max(self.lane.used_to, self._start + offset + len(data))
        try:
            while data:
                n_bytes = os.pwrite(self.lane.descriptor, data, self._start + offset)
                data, offset = data[n_bytes:], offset + n_bytes
        except OSError:
            self._retire(self.lane)
            raise

    def _move_to_file(self) -> None:
        file = self._make_file()
        try:
            for offset in range(0, self._written, BLOCK_BYTES):
                with self.errors:
                    piece = self.lane.read_at(self._start + offset, min(BLOCK_BYTES, self._written - offset))
                file.append(memoryview(piece))
        except BaseException:
            file.close()
            raise
        self.file = file

    def complete(self, data_set_offset: int) -> None:
        """Everything was appended; it is written by `seal`, or now where it has a file of its own."""
        self._data_set_offset = data_set_offset
        if len(self._rest) > self.lane.room - self._written:
            self.flush()
        if self.file is not None:
            self.flush()
            self.file.complete(data_set_offset)

    @property
    def _rest(self) -> memoryview:
        return self._block[: self.size - self._written]

    def read_back(self) -> BinaryIO:
        """What was appended, to be read from its beginning. Raises OSError."""
        if self.file is not None:
            return self.file.read_back()
        return io.BytesIO(self.lane.read_at(self._start, self._written) + bytes(self._rest))

    def seal(self) -> Trailer:
        """Make what is in the lane durable. Raises OSError: the disk failed, and what it holds is not known."""
        lane, rest = self.lane, self._rest
        self._checksum.update(rest)
        trailer = Trailer(lane.generation, self._start, self.size, self._data_set_offset, self._checksum.value)
        end = padded(len(rest))
        self._block[end : end + LANE_BLOCK_BYTES] = trailer.encode()
        self._write_at(self._block[: end + LANE_BLOCK_BYTES], self._written)
        try:
            os.fdatasync(lane.descriptor)
        except OSError:
            self._retire(lane)
            raise
        self._written = self.size
        lane.end = trailer.end
        return trailer

    def close(self) -> None:
        """Write nothing more; gives the lane back, and removes the file if there is one; may be called again."""
        if self._give_back is None:
            return
        give_back, self._give_back = self._give_back, None
        if self.file is not None:
            self.file.close()
        self._blocks.give_back(self._block)
        give_back(self.lane)
