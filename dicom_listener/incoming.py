"""One instance on its way into the spool: a file under a temporary name until it is whole and durable."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dicom_listener.errors import InvalidInstanceError
from dicom_listener.files import create_locked, disk_errors_in_words, write_all
from dicom_listener.part10 import Identifiers, encode_file_meta, read_identifiers
from dicom_listener.stored import StoredInstance, StoreRequest


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A complete Part 10 file that is durable under its temporary name."""

    path: Path
    request: StoreRequest
    identifiers: Identifiers
    data_set_offset: int
    """First byte of the data set."""
    size_bytes: int
    """Length of the file."""


class IncomingFile:
    """A context manager: `write` the fragments of the data set in order, then `commit`; otherwise nothing is kept.

    Fragments go to the file as they come, so memory does not grow with the instance.
    """

    def __init__(self, path: Path, request: StoreRequest, place: Callable[[WholeFile], StoredInstance]) -> None:
        self._path = path
        self._request = request
        self._place = place
        self._root = path.parent.parent
        meta = encode_file_meta(request)
        self._data_set_offset = self._size = len(meta)
        with disk_errors_in_words(self._root):
            self._descriptor = create_locked(path)
            try:
                write_all(self._descriptor, meta)
            except OSError:
                self.discard()
                raise

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the encoded data set.

        Raises:
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        with disk_errors_in_words(self._root):
            write_all(self._descriptor, fragment)
        self._size += len(fragment)

    def commit(self) -> StoredInstance:
        """Make the instance durable under its final name; the sender may be told Success when this returns.

        Raises:
            InvalidInstanceError: identifiers are missing or contradict the request.
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        with disk_errors_in_words(self._root):
            with self._path.open("rb") as file:
                file.seek(self._data_set_offset)
                identifiers = read_identifiers(file, self._request.transfer_syntax_uid)
            self._refuse_contradiction(identifiers)
            os.fdatasync(self._descriptor)
            return self._place(WholeFile(self._path, self._request, identifiers, self._data_set_offset, self._size))

    def _refuse_contradiction(self, identifiers: Identifiers) -> None:
        # a result made for the wrong instance would be worse than a refused one (PS3.4 table B.2-1, A9xx)
        if identifiers.sop_instance_uid != self._request.sop_instance_uid:
            raise InvalidInstanceError("SOP Instance UID of request and data set differ")
        if identifiers.sop_class_uid != self._request.sop_class_uid:
            raise InvalidInstanceError("SOP Class UID of request and data set differ")
        if self._request.study_instance_uid not in (None, identifiers.study_instance_uid):
            raise InvalidInstanceError("Study Instance UID of request and data set differ")

    def discard(self) -> None:
        """Remove the temporary name; the instance stays where `commit` put it, if it did."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with suppress(OSError):  # what cannot be removed now is removed by the next recovery
            self._path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.discard()
