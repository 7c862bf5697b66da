"""A file of which only so much may be read, for parsers that build something for whatever they find."""

from typing import BinaryIO

from dicom_listener.errors import UnreadableInstanceError

MAXIMUM_READS = 100_000
"""pydicom reads twice or three times for each element: enough for a reference to each of 10,000 images."""
MAXIMUM_BYTES = 16 * 1024 * 1024
"""What is stepped over is not read and does not count."""


class BoundedReader:
    """What pydicom needs of a file; 16 MB of empty sequence items cost it a minute and gigabytes otherwise."""

    def __init__(
        self, file: BinaryIO, *, maximum_reads: int = MAXIMUM_READS, maximum_bytes: int = MAXIMUM_BYTES
    ) -> None:
        self._file = file
        self._reads_left = maximum_reads
        self._bytes_left = maximum_bytes
        self.seek = file.seek
        self.tell = file.tell

    def read(self, size: int = -1) -> bytes:
        """Read as the file does.

        Raises:
            UnreadableInstanceError: too much would have been read by now.
        """
        self._reads_left -= 1
        if self._reads_left < 0:
            raise UnreadableInstanceError("the head of a data set has too many elements")
        content = self._file.read(self._bytes_left + 1 if size < 0 else min(size, self._bytes_left + 1))
        self._bytes_left -= len(content)
        if self._bytes_left < 0:
            raise UnreadableInstanceError("the head of a data set is too long")
        return content
