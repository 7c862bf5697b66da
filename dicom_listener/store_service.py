"""What becomes of a C-STORE request: the spool's verdict as a DIMSE status, whichever way its data set arrives."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from dicom_listener.association_report import Tally
from dicom_listener.errors import (
    InvalidInstanceError,
    ListenerError,
    SpoolError,
    SpoolFullError,
    UnreadableInstanceError,
    in_short,
)
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.incoming import IncomingFile
from dicom_listener.spool.journal.journal import Journal
from dicom_listener.spool.journal.lane_draft import LaneDraft
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome, StoreRequest

LOGGER = logging.getLogger(__name__)

Incoming = IncomingFile[Draft, StoredInstance] | IncomingFile[LaneDraft, StoredInstance | None]
"""An instance on its way to a file of its own, or to the journal."""

SUCCESS = 0x0000
_PROCESSING_FAILURE = (0x0110, "Segwatch failed to store the instance")

STATUS_OF_ERROR: tuple[tuple[type[ListenerError], int, str], ...] = (
    # PS3.4 table B.2-1 and PS3.7 annex C; the first row that fits counts
    (SpoolFullError, 0xA700, "Spool over its limit, send again later"),
    (SpoolError, 0x0110, "Spool cannot be written"),
    (UnreadableInstanceError, 0xC000, "Data set cannot be parsed"),
    (InvalidInstanceError, 0xA900, "Identifiers missing or not those of request"),
)
"""DIMSE status and Error Comment (at most 64 characters) for what storing may raise."""


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What the sender is told."""

    status: int
    """DIMSE status (PS3.7 annex C, PS3.4 table B.2-1)."""
    comment: str = ""
    """Error Comment, at most 64 characters; empty with Success."""


class Reception:
    """One data set on its way: `write` its fragments in order, then `finish`; or `discard` when it breaks off.

    Nothing is raised: a sender goes on sending whatever happens here, so what failed is answered at the end.
    """

    def __init__(self, service: "StoreService", request: StoreRequest, tally: Tally, draft: Draft | None) -> None:
        self._service = service
        self._tally = tally
        self._file: Incoming | None = None
        self._error: Exception | None = None
        try:
            self._file = service.receive(request, draft)
        except Exception as error:  # noqa: BLE001 (kept for the answer)
            self._error = error

    def refuse(self, error: ListenerError) -> None:
        """Give the instance up for a reason that the spool does not know; the rest of it is dropped."""
        self._fail(error)

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the encoded data set; dropped once something failed."""
        if self._file is None:
            return
        try:
            self._file.write(fragment)
        except Exception as error:  # noqa: BLE001 (kept for the answer)
            self._fail(error)

    def room(self, limit: int) -> memoryview | None:
        """Where the next bytes of the data set may be put, at most `limit`, instead of being written; None: nowhere."""
        return None if self._file is None else self._file.room(limit)

    def advance(self, n_bytes: int) -> None:
        """So many bytes were put into `room`."""
        try:
            if self._file is not None:
                self._file.advance(n_bytes)
        except Exception as error:  # noqa: BLE001 (kept for the answer)
            self._fail(error)

    def finish(self) -> StoreAnswer:
        """Make the instance durable and tidy up; when this returns Success, it is."""
        answer = self.settle()
        self.discard()
        return answer

    def settle(self) -> StoreAnswer:
        """As `finish`, for those who call `discard` themselves: once the sender has its answer."""
        try:
            if self._file is not None:
                stored = self._file.commit()
                if stored is not None:  # otherwise it is noted when it has its file
                    self._service.note(stored, self._tally)
                self._tally.acknowledged += 1
        except Exception as error:  # noqa: BLE001 (last resort: the association goes on, the sender is told)
            self._fail(error)
        if self._error is None:
            return StoreAnswer(SUCCESS)
        return _failure(self._error, self._tally)

    def discard(self) -> None:
        """Tidy up; drops what arrived unless it was finished."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self.discard()


class StoreService:
    """Receives data sets into one spool; for any number of threads."""

    def __init__(
        self, spool: Spool, on_stored: Callable[[StoredInstance], None], journal: Journal | None = None
    ) -> None:
        """Make a service.

        Args:
            spool: where instances get their files.
            on_stored: told of each durable instance before its sender, from the sender's thread; of one that went to
                the journal after its sender, from another thread, and it is in no tally.
            journal: where instances go first, if it has room.
        """
        self.spool = spool
        self._on_stored = on_stored
        self._journal = journal

    def receive(self, request: StoreRequest, draft: Draft | None = None) -> Incoming:
        """Begin an instance, see `Spool.receive`."""
        if self._journal is not None:
            incoming = self._journal.receive(request, self._on_stored)
            if incoming is not None:
                return incoming
        return self.spool.receive(request, draft)

    def begin(
        self, request: StoreRequest, tally: Tally, *, abstract_syntax: str | None = None, draft: Draft | None = None
    ) -> Reception:
        """Begin an instance; its `Reception` tells whether it was stored.

        Args:
            request: what is known of the instance.
            tally: of its association.
            abstract_syntax: of its presentation context, where there is one; another class is refused.
            draft: a file made before, which the instance takes over.
        """
        reception = Reception(self, request, tally, draft)
        if abstract_syntax is not None and request.sop_class_uid != abstract_syntax:
            reception.refuse(InvalidInstanceError("SOP Class UID of request and presentation context differ"))
        return reception

    def prepare(self) -> Draft | None:
        """Make a file for the next instance while its sender prepares that; None where it needs none, or gets none."""
        if self._journal is not None:
            return None
        try:
            return self.spool.draft()
        except SpoolError:
            return None  # told when the instance comes

    def note(self, stored: StoredInstance, tally: Tally) -> None:
        """Tell of an instance that is durable."""
        self._on_stored(stored)
        tally.counts[stored.outcome.value] += 1
        tally.bytes += stored.instance.size_bytes
        tally.series_keys.add(stored.series_key)
        if stored.outcome is not StoreOutcome.DUPLICATE:
            tally.grown_keys.add(stored.series_key)


def _failure(error: Exception, tally: Tally) -> StoreAnswer:
    if isinstance(error, ListenerError):
        tally.counts["refused"] += 1
        LOGGER.warning("instance refused: %s", error)
    else:
        tally.counts["failed"] += 1
        LOGGER.error("instance not stored: %s", in_short(error))
    rows = ((status, comment) for kind, status, comment in STATUS_OF_ERROR if isinstance(error, kind))
    answer = StoreAnswer(*next(rows, _PROCESSING_FAILURE))
    tally.statuses[answer.status] += 1
    return answer
