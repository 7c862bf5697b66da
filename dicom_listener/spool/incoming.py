"""One instance on its way into the spool: a draft until it is whole and durable."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, Protocol, Self, TypeVar

from dicom_listener.errors import InvalidInstanceError
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.identifiers import Identifiers
from dicom_listener.spool.part10 import (
    SCANNED_BYTES,
    encode_file_meta,
    parse_identifiers,
    scan_head,
)
from dicom_listener.stored import StoreRequest

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


class Target(Protocol):
    """Where a Part 10 file is written to: a file of its own, or a place in the intake journal."""

    size: int
    """What was appended so far, bytes."""

    @property
    def errors(self) -> disk_errors_in_words:
        """Translates what the disk says."""

    def append(self, data: memoryview) -> None:
        """See `BlockWriter`, as all that follow."""

    def room(self, limit: int) -> memoryview:
        """Where the next bytes belong."""

    def advance(self, n_bytes: int) -> None:
        """So many bytes were put into `room`."""

    def complete(self, data_set_offset: int) -> None:
        """Everything was appended, and where in it the data set begins. Raises as `append` does."""

    def read_back(self) -> BinaryIO:
        """What was appended, to be read from its beginning once it is complete; close it. Raises OSError."""

    def close(self) -> None:
        """Keep nothing but what has its name; may be called again."""


T = TypeVar("T", bound=Target)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Whole(Generic[T]):
    """A complete Part 10 file without a name; neither its content nor its name is durable yet."""

    draft: T
    request: StoreRequest
    slot: Slot
    data_set_offset: int
    """First byte of the data set."""


class IncomingFile(Generic[T, R]):
    """A context manager: `write` the fragments of the data set in order, then `commit`; otherwise nothing is kept.

    Fragments go to the file as they come, so memory does not grow with the instance. Whatever can be done before the
    last one is done before: the sender waits for what is done behind it.
    """

    def __init__(
        self,
        draft: T,
        request: StoreRequest,
        *,
        find_slot: Callable[[Identifiers], Slot],
        place: Callable[[Whole[T]], R],
        check_room: Callable[[], None],
    ) -> None:
        """Begin an instance.

        Args:
            draft: empty, and from now on ours.
            request: what is known of the instance.
            find_slot: tells where an instance belongs; nothing is made yet.
            place: makes the instance durable, and says what is known of it. Raises OSError, SpoolError.
            check_room: called now and then while a large instance comes, and raises when there is no more room.
        """
        self._draft = draft
        self._request = request
        self._slot_of = find_slot
        self._place = place
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

    def commit(self) -> R:
        """Make the instance durable; the sender may be told Success when this returns.

        Returns:
            What `place` says of it.

        Raises:
            InvalidInstanceError: identifiers are missing or contradict the request.
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        draft, begin = self._draft, self._data_set_offset
        draft.complete(begin)
        if len(self._head) < SCANNED_BYTES:
            self._look_at_head()
        with draft.errors:
            slot = self._slot or self._find_slot(self._parse_identifiers())
            return self._place(Whole(draft, self._request, slot, begin))

    def _look_at_head(self) -> None:
        identifiers = scan_head(self._head, self._request.transfer_syntax_uid)
        if identifiers is not None:
            self._slot = self._find_slot(identifiers)

    def _find_slot(self, identifiers: Identifiers) -> Slot:
        self._refuse_contradiction(identifiers)
        return self._slot_of(identifiers)

    def _parse_identifiers(self) -> Identifiers:
        with self._draft.read_back() as file:
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
