"""Reports on the association on which their request came, while it is open.

pynetdicom's own `send_n_event_report` holds the association's loop until the answer is there: a peer that releases
instead is not answered, and a C-STORE that comes first is taken for the answer. It also hands over a message fragment
by fragment, and the answer to a C-STORE may come between two of them. So here the fragments are queued together, the
loop goes on, and the answer is seen as it comes in. That relies on internals of pynetdicom, see
tests/unit/dicom_listener/test_commitment_line.py.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode

from dicom_listener.commitment.commitment import CommitmentReport
from dicom_listener.commitment.commitment_message import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    event_information,
)
from dicom_listener.network.waking import WakingQueue

_N_EVENT_REPORT_RSP = 0x8100
_N_ACTION_RSP = 0x8130


@dataclass(slots=True)
class AssociationLine:
    """An association of which the peer is told on the same line; safe for several threads."""

    association: Association
    context_id: int
    transfer_syntax: UID
    """Of the presentation context on which requests come."""
    on_answer: Callable[[str, int | None], None]
    """Told the key of a request and the status of the peer's answer; None when the association ended without one."""
    on_close: Callable[[], None]
    """Told once that the association ended, before `on_answer` is told of what was not answered."""
    _sent: dict[int, str] = field(default_factory=dict)
    _last_message_id: int = 0
    _is_answering: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self) -> None:
        """Begin to listen for answers."""
        self.association.bind(evt.EVT_DIMSE_RECV, self._on_message)
        self.association.bind(evt.EVT_DIMSE_SENT, self._on_sent)
        self.association.bind(evt.EVT_CONN_CLOSE, self._on_conn_close)

    def expect_answer(self) -> None:
        """A request came that is not answered yet."""
        self._is_answering = True

    @property
    def is_answering(self) -> bool:
        """Whether a request is not answered yet: its report must not go before the answer."""
        return self._is_answering

    @property
    def is_open(self) -> bool:
        """Whether a report can go on it."""
        return bool(self.association.is_established)

    @property
    def quiet_seconds(self) -> float:
        """For how long the peer has sent nothing."""
        timer = self.association.dul._idle_timer
        return float(timer.timeout - timer.remaining) if timer.timeout is not None else float("inf")

    def send(self, key: str, report: CommitmentReport) -> bool:
        """Send a report; its answer comes by `on_answer`. False when the association ended."""
        syntax = self.transfer_syntax
        encoded = encode(event_information(report), syntax.is_implicit_VR, syntax.is_little_endian)
        assert encoded is not None  # noqa: S101 (UIDs and numbers can be encoded)
        with self._lock:
            message_id = self._last_message_id = self._last_message_id % 0xFFFF + 1
            self._sent[message_id] = key
        request = N_EVENT_REPORT()
        request.MessageID = message_id
        request.AffectedSOPClassUID = STORAGE_COMMITMENT_PUSH_MODEL
        request.AffectedSOPInstanceUID = STORAGE_COMMITMENT_INSTANCE
        request.EventTypeID = int(report.event_type)
        request.EventInformation = BytesIO(encoded)
        if not self.is_open:
            with self._lock:
                self._sent.pop(message_id, None)
            return False
        self._queue(request)
        return True

    def _queue(self, request: N_EVENT_REPORT) -> None:
        message = N_EVENT_REPORT_RQ()
        message.primitive_to_message(request)
        fragments = list(message.encode_msg(self.context_id, self.association.dimse.maximum_pdu_size))
        to_send = self.association.dul.to_provider_queue
        with to_send.mutex:
            to_send.queue.extend(fragments)
            to_send.not_empty.notify()
        if isinstance(to_send, WakingQueue):
            to_send.wake()

    def _on_message(self, event: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        command = event.message.command_set
        if command.get("CommandField") != _N_EVENT_REPORT_RSP:
            return
        with self._lock:
            key = self._sent.pop(command.get("MessageIDBeingRespondedTo"), None)
        if key is not None:
            self.on_answer(key, command.get("Status"))

    def _on_sent(self, event: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        if event.message.command_set.get("CommandField") == _N_ACTION_RSP:
            self._is_answering = False

    def _on_conn_close(self, _event: object) -> None:
        self.on_close()
        with self._lock:
            unanswered = list(self._sent.values())
            self._sent.clear()
        for key in unanswered:
            self.on_answer(key, None)


class OpenLines:
    """The associations on which requests came, while they are open; safe for several threads."""

    def __init__(self, on_answer: Callable[[str, int | None], None]) -> None:
        """`on_answer` is told as in `AssociationLine`, also of requests for which no report was sent yet."""
        self._on_answer = on_answer
        self._lines: dict[Association, AssociationLine] = {}
        self._line_of: dict[str, AssociationLine] = {}
        self._lock = threading.Lock()

    def add(self, key: str, association: Association, context: Any) -> None:  # noqa: ANN401 (pynetdicom's named tuple)
        """Note that a request came on an association, in this presentation context."""
        with self._lock:
            if (line := self._lines.get(association)) is None:
                line = AssociationLine(
                    association,
                    context.context_id,
                    context.transfer_syntax,
                    self._on_answer,
                    lambda: self._drop(association),
                )
                line.open()
                self._lines[association] = line
            line.expect_answer()
            self._line_of[key] = line

    def find(self, key: str) -> AssociationLine | None:
        """The association of a request, if it is open."""
        with self._lock:
            line = self._line_of.get(key)
        return line if line is not None and line.is_open else None

    def use_up(self, key: str) -> None:
        """A report goes on the association of its request once; `find` gives that no more."""
        with self._lock:
            self._line_of.pop(key, None)

    def _drop(self, association: Association) -> None:
        with self._lock:
            line = self._lines.pop(association, None)
            keys = [key for key, its in self._line_of.items() if its is line]
            for key in keys:
                del self._line_of[key]
        for key in keys:
            self._on_answer(key, None)
