"""One instance on its way into the spool: a draft until it is whole and durable."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from dicom_listener.errors import InvalidInstanceError
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.files import finish_writeback
from dicom_listener.spool.identifiers import Identifiers
from dicom_listener.spool.part10 import (
    LENGTH_BYTES,
    SCANNED_BYTES,
    encode_file_meta,
    encode_length,
    parse_identifiers,
    scan_head,
)
from dicom_listener.stored import StoredInstance, StoreRequest

_CHECK_BYTES = 64 * 1024 * 1024
"""After how much it is looked again whether the disk has room."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an instance belongs."""

    identifiers: Identifiers
    series_key: str
    """See `dicom_listener.series.series_key`."""
    path: Path
    """Its final name, if no other content has that."""


class Filing(Protocol):
    """Whoever gives instances their final names."""

    def slot(self, identifiers: Identifiers) -> Slot:
        """Tell where an instance belongs; nothing is made yet."""
        ...

    def place(self, whole: "WholeFile") -> StoredInstance:
        """Give the instance its name; the name is durable when this returns. Raises OSError, SpoolError."""
        ...


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A complete Part 10 file under a temporary name; neither its content nor its name is durable yet."""

    draft: Draft
    request: StoreRequest
    slot: Slot
    data_set_offset: int
    """First byte of the data set."""

    @property
    def path(self) -> Path:
        """Where the file is now."""
        return self.draft.path

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return self.draft.size

    def link_to(self, name: Path) -> None:
        """Give the file its final name, in one step; unlike a rename this never replaces another file.

        Raises:
            FileExistsError: the name is taken.
            OSError: the disk failed.
        """
        os.link(self.draft.name, name)

    def finish_writeback(self) -> None:
        """Wait until the content is written, which is not durable yet. Raises OSError as `sync` does."""
        finish_writeback(self.draft.descriptor)

    def sync(self) -> None:
        """Make the content durable. Raises OSError: the disk failed, and what it holds is not known."""
        os.fdatasync(self.draft.descriptor)

    def replace(self, name: Path) -> None:
        """Give the file a name that another one has, which loses it."""
        other = self.path.with_suffix(".replacing")
        os.link(self.path, other)
        other.replace(name)


class IncomingFile:
    """A context manager: `write` the fragments of the data set in order, then `commit`; otherwise nothing is kept.

    Fragments go to the file as they come, so memory does not grow with the instance. Whatever can be done before the
    last one is done before: the sender waits for what is done behind it.
    """

    def __init__(
        self,
        draft: Draft,
        request: StoreRequest,
        *,
        filing: Filing,
        check_room: Callable[[], None],
    ) -> None:
        """`check_room` is called now and then while a large instance comes, and raises when there is no more room."""
        self._draft = draft
        self._request = request
        self._filing = filing
        self._check_room = check_room
        self._check_at = _CHECK_BYTES
        self._head = b""
        self._slot: Slot | None = None
        meta = encode_file_meta(request, data_set_bytes=0)
        self._data_set_offset = len(meta)
        draft.append(memoryview(meta))

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the encoded data set.

        Raises:
            InvalidInstanceError: identifiers contradict the request.
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        self._draft.append(memoryview(fragment))
        if len(self._head) < SCANNED_BYTES:
            self._head += fragment[: SCANNED_BYTES - len(self._head)]
            if len(self._head) == SCANNED_BYTES:
                self._look_at_head()
        self._look_at_disk()

    def room(self, limit: int) -> memoryview | None:
        """Where the next bytes belong, see `Draft.room`; None while they are needed elsewhere too."""
        return self._draft.room(limit) if len(self._head) >= SCANNED_BYTES else None

    def advance(self, n_bytes: int) -> None:
        """So many bytes were put into `room`; raises as `write` does."""
        self._draft.advance(n_bytes)
        self._look_at_disk()

    def _look_at_disk(self) -> None:
        if self._draft.size >= self._check_at:
            self._check_at += _CHECK_BYTES
            self._check_room()

    def commit(self) -> StoredInstance:
        """Make the instance durable under its final name; the sender may be told Success when this returns.

        Raises:
            InvalidInstanceError: identifiers are missing or contradict the request.
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        draft, begin = self._draft, self._data_set_offset
        draft.patch(begin - LENGTH_BYTES, encode_length(draft.size - begin))
        draft.flush()
        if len(self._head) < SCANNED_BYTES:
            self._look_at_head()
        with draft.errors:
            slot = self._slot or self._find_slot(self._parse_identifiers())
            return self._filing.place(WholeFile(draft, self._request, slot, begin))

    def _look_at_head(self) -> None:
        identifiers = scan_head(self._head, self._request.transfer_syntax_uid)
        if identifiers is not None:
            self._slot = self._find_slot(identifiers)

    def _find_slot(self, identifiers: Identifiers) -> Slot:
        self._refuse_contradiction(identifiers)
        return self._filing.slot(identifiers)

    def _parse_identifiers(self) -> Identifiers:
        with self._draft.path.open("rb") as file:
            file.seek(self._data_set_offset)
            return parse_identifiers(file, self._request.transfer_syntax_uid)

    def _refuse_contradiction(self, identifiers: Identifiers) -> None:
        # a result made for the wrong instance would be worse than a refused one (PS3.4 table B.2-1, A9xx)
        if identifiers.sop_instance_uid != self._request.sop_instance_uid:
            raise InvalidInstanceError("SOP Instance UID of request and data set differ")
        if identifiers.sop_class_uid != self._request.sop_class_uid:
            raise InvalidInstanceError("SOP Class UID of request and data set differ")
        if self._request.study_instance_uid not in (None, identifiers.study_instance_uid):
            raise InvalidInstanceError("Study Instance UID of request and data set differ")

    def close(self) -> None:
        """Keep nothing but what was committed; may be called again."""
        self._draft.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()
