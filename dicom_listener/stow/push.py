"""The instances of one request on their way into the spool, part by part.

Blocks on the disk, so it runs in worker threads. It keeps the head of the part that comes in and the results, nothing
else, so memory grows neither with an instance nor with a request.
"""

import threading
from dataclasses import dataclass, field
from http import HTTPStatus

from dicom_listener.association_report import Tally
from dicom_listener.errors import InvalidInstanceError, RequestRefusedError, UnreadableInstanceError
from dicom_listener.network.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES
from dicom_listener.store_service import STATUS_OF_ERROR, SUCCESS, Reception, StoreService
from dicom_listener.stored import StoreRequest
from dicom_listener.stow.answer import SOP_CLASS_NOT_SUPPORTED, TRANSFER_SYNTAX_NOT_SUPPORTED, InstanceResult
from dicom_listener.stow.part_head import PartHead, read_part_head
from dicom_listener.stow.settings import StowLimits


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What holds for every instance of a request."""

    calling_ae_title: str
    """By which the client is known: the name of its token or certificate."""
    called_ae_title: str
    study_instance_uid: str | None
    """Of the resource to which was posted; None: any study."""
    sop_classes: tuple[str, ...]
    """Which are accepted; others are refused one by one."""


@dataclass(slots=True)
class _Part:
    head_bytes: bytearray = field(default_factory=bytearray)
    """What has come, until the head is whole."""
    head: PartHead | None = None
    reception: Reception | None = None
    """None while the head is not whole, and for a part that is refused."""
    refusal: int | None = None
    bytes: int = 0


class Push:
    """Takes the parts of a request in turn; when `end_part` returns, its instance is durable or refused.

    `discard` may come from another thread at any time: what is under way is dropped, the rest is ignored.
    """

    def __init__(self, service: StoreService, request: PushRequest, limits: StowLimits, tally: Tally) -> None:
        self.results: list[InstanceResult] = []
        self._service = service
        self._request = request
        self._limits = limits
        self._tally = tally
        self._part: _Part | None = None
        self._discarded = False
        self._lock = threading.Lock()

    def begin_part(self) -> None:
        """Begin a part. Raises `RequestRefusedError` (413) when there are too many."""
        with self._lock:
            if self._discarded:
                return
            if len(self.results) >= self._limits.maximum_instances:
                text = f"more than {self._limits.maximum_instances} instances in one request; send them in several"
                raise RequestRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            self._part = _Part()

    def write(self, fragment: memoryview) -> None:
        """Append to the part. Raises `RequestRefusedError` (413) when it is too long."""
        with self._lock:
            if self._part is None:
                return
            self._part.bytes += len(fragment)
            if self._part.bytes > self._limits.maximum_instance_bytes:
                text = f"an instance is longer than {self._limits.maximum_instance_bytes} bytes"
                raise RequestRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            if self._part.reception is not None:
                self._part.reception.write(fragment)
            elif self._part.refusal is None:
                self._part.head_bytes += fragment
                self._read_head(self._part, whole=False)

    def end_part(self) -> None:
        """Make the instance durable, and note what became of it."""
        with self._lock:
            part, self._part = self._part, None
            if part is None:
                return
            if part.head is None and part.refusal is None:
                self._read_head(part, whole=True)
            status = part.reception.finish().status if part.reception else self._count_refusal(part)
            head = part.head
            uids = (head.sop_class_uid, head.sop_instance_uid) if head else ("", "")
            self.results.append(InstanceResult(*uids, status))

    def discard(self) -> None:
        """Drop what is under way: the request broke off, or is refused as a whole."""
        with self._lock:
            self._discarded = True
            part, self._part = self._part, None
            if part is not None and part.reception is not None:
                part.reception.discard()

    @property
    def n_stored(self) -> int:
        """How many instances are durable."""
        return sum(result.status == SUCCESS for result in self.results)

    def _read_head(self, part: _Part, *, whole: bool) -> None:
        try:
            part.head = read_part_head(part.head_bytes, whole=whole)
        except UnreadableInstanceError as error:
            part.refusal = _status_of(error)
        if part.head is not None:
            rest = memoryview(bytes(part.head_bytes))[part.head.data_set_offset :]
            part.refusal = self._begin(part, part.head, rest)
        if part.head is not None or part.refusal is not None:
            part.head_bytes = bytearray()

    def _begin(self, part: _Part, head: PartHead, rest: memoryview) -> int | None:
        """Begin the instance in the spool; returns why not."""
        if not head.sop_class_uid or not head.sop_instance_uid or not head.transfer_syntax_uid:
            return _status_of(InvalidInstanceError("the File Meta Information lacks a UID"))
        if head.sop_class_uid not in self._request.sop_classes:
            return SOP_CLASS_NOT_SUPPORTED
        if head.transfer_syntax_uid not in STORAGE_TRANSFER_SYNTAXES:
            return TRANSFER_SYNTAX_NOT_SUPPORTED
        request = StoreRequest(
            sop_class_uid=head.sop_class_uid,
            sop_instance_uid=head.sop_instance_uid,
            transfer_syntax_uid=head.transfer_syntax_uid,
            calling_ae_title=self._request.calling_ae_title,
            called_ae_title=self._request.called_ae_title,
            study_instance_uid=self._request.study_instance_uid,
        )
        part.reception = self._service.begin(request, self._tally)
        part.reception.write(rest)
        return None

    def _count_refusal(self, part: _Part) -> int:
        assert part.refusal is not None  # noqa: S101 (a part without reception was refused, see _read_head)
        self._tally.counts["refused"] += 1
        self._tally.statuses[part.refusal] += 1
        return part.refusal


def _status_of(error: InvalidInstanceError) -> int:
    return next(status for kind, status, _ in STATUS_OF_ERROR if isinstance(error, kind))
