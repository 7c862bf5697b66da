"""Reports on an open association, and what that relies on inside pynetdicom."""

import inspect
import queue
import threading
from typing import Any

import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.timer import Timer

from dicom_listener.commitment import CommitmentReport, Reference
from dicom_listener.commitment_line import AssociationLine, OpenLines

REPORT = CommitmentReport("1.2.3", (Reference("1.2", "1.3"),), ())


class FakeAssociation:
    """As much of an acceptor's association as a line uses."""

    def __init__(self) -> None:
        self.is_established = True
        self._is_paused = True
        self._reactor_checkpoint = threading.Event()
        self._reactor_checkpoint.set()
        self.handlers: dict[Any, Any] = {}
        self.sent: list[tuple[Any, int]] = []
        self.was_held: list[bool] = []
        self.dimse = self

    def bind(self, event: Any, handler: Any) -> None:
        self.handlers[event] = handler

    def send_msg(self, request: Any, context_id: int) -> None:
        self.was_held.append(not self._reactor_checkpoint.is_set())
        self.sent.append((request, context_id))

    def answer(self, message_id: int, status: int, command_field: int = 0x8100) -> None:
        class _Event:
            class message:  # noqa: N801 (an attribute of pynetdicom's event)
                command_set = {  # noqa: RUF012 (read only)
                    "CommandField": command_field,
                    "MessageIDBeingRespondedTo": message_id,
                    "Status": status,
                }

        self.handlers[evt.EVT_DIMSE_RECV](_Event())

    def close(self) -> None:
        self.is_established = False
        self.handlers[evt.EVT_CONN_CLOSE](None)


@pytest.fixture
def answers() -> "queue.Queue[tuple[str, int | None]]":
    return queue.Queue()


def _line(association: Any, answers: "queue.Queue[tuple[str, int | None]]") -> AssociationLine:
    line = AssociationLine(
        association, 5, UID(ExplicitVRLittleEndian), lambda key, status: answers.put((key, status)), lambda: None
    )
    line.open()
    return line


def test_the_loop_pauses_only_while_a_report_is_sent(answers: Any) -> None:
    association = FakeAssociation()
    assert _line(association, answers).send("k", REPORT)
    assert association.was_held == [True]
    assert association._reactor_checkpoint.is_set()
    ((request, context_id),) = association.sent
    assert (request.MessageID, request.EventTypeID, context_id) == (1, 1, 5)


def test_answers_belong_to_their_requests_and_others_to_nobody(answers: Any) -> None:
    association = FakeAssociation()
    line = _line(association, answers)
    for key in ("a", "b"):
        line.send(key, REPORT)
    association.answer(1, 0x0000, command_field=0x8001)  # a C-STORE response
    association.answer(7, 0x0000)
    association.answer(2, 0x0110)
    association.answer(2, 0x0000)  # answered already
    association.answer(1, 0x0000)
    assert [answers.get_nowait() for _ in range(2)] == [("b", 0x0110), ("a", 0x0000)]
    assert answers.empty()


def test_what_is_not_answered_is_told_when_the_association_ends(answers: Any) -> None:
    association = FakeAssociation()
    line = _line(association, answers)
    line.send("a", REPORT)
    association.close()
    assert answers.get_nowait() == ("a", None)
    assert not line.is_open
    assert not line.send("b", REPORT)
    assert len(association.sent) == 1


def test_open_lines_end_with_their_association(answers: Any) -> None:
    lines = OpenLines(lambda key, status: answers.put((key, status)))
    association: Any = FakeAssociation()
    context = type("Context", (), {"context_id": 5, "transfer_syntax": UID(ExplicitVRLittleEndian)})
    for key in ("a", "b", "c"):
        lines.add(key, association, context)
    line = lines.find("a")
    assert line is not None
    assert line is lines.find("b")
    assert lines.find("unknown") is None
    lines.use_up("a")
    assert lines.find("a") is None
    line.send("a", REPORT)
    association.close()
    assert {answers.get_nowait() for _ in range(3)} == {("a", None), ("b", None), ("c", None)}
    assert lines.find("b") is None


def test_pynetdicom_has_what_it_relies_on() -> None:
    association = Association(AE(), "requestor")
    assert isinstance(association._reactor_checkpoint, threading.Event)
    assert association._is_paused in (True, False)
    assert isinstance(association.dul._idle_timer, Timer)
    reactor = inspect.getsource(Association._run_reactor)
    wait = "self._is_paused = True\n            self._reactor_checkpoint.wait()\n            self._is_paused = False"
    assert wait in reactor
    # an answer that nobody waits for is told and dropped
    assert "if not msg.is_valid_request" in inspect.getsource(Association._serve_request)
    assert "EVT_DIMSE_RECV" in inspect.getsource(DIMSEServiceProvider.receive_primitive)
    assert "_idle_timer.restart" in inspect.getsource(DULServiceProvider)
