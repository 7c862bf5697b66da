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

from dicom_listener.commitment.commitment import CommitmentReport, Reference
from dicom_listener.commitment.commitment_line import AssociationLine, OpenLines
from dicom_listener.network.waking import WakingQueue

REPORT = CommitmentReport("1.2.3", (Reference("1.2", "1.3"),), ())


class FakeAssociation:
    """As much of an acceptor's association as a line uses."""

    def __init__(self) -> None:
        self.is_established = True
        self.handlers: dict[Any, Any] = {}
        self.to_provider_queue: queue.Queue[Any] = queue.Queue()
        self.maximum_pdu_size = 16_384
        self.dimse = self.dul = self

    def bind(self, event: Any, handler: Any) -> None:
        self.handlers[event] = handler

    def answer(
        self, message_id: int, status: int, command_field: int = 0x8100, event: Any = evt.EVT_DIMSE_RECV
    ) -> None:
        class _Event:
            class message:  # noqa: N801 (an attribute of pynetdicom's event)
                command_set = {  # noqa: RUF012 (read only)
                    "CommandField": command_field,
                    "MessageIDBeingRespondedTo": message_id,
                    "Status": status,
                }

        self.handlers[event](_Event())

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


def _sent(association: FakeAssociation) -> list[tuple[int, bytes]]:
    """Presentation context and fragment, control header first, of each P-DATA that is queued."""
    return [pair for one in association.to_provider_queue.queue for pair in one.presentation_data_value_list]


def test_a_report_is_a_command_and_its_data_set_in_one_context(answers: Any) -> None:
    association = FakeAssociation()
    assert _line(association, answers).send("k", REPORT)
    (first, command), (second, data_set) = _sent(association)
    assert (first, second) == (5, 5)
    assert (command[0], data_set[0]) == (0x03, 0x02)  # last fragment of a command, of a data set (PS3.8 annex E.2)
    assert b"1.2.3" in data_set


@pytest.mark.parametrize("waking", [True, False])
def test_nobody_sees_a_part_of_a_report(answers: Any, waking: bool) -> None:
    association = FakeAssociation()
    association.maximum_pdu_size = 1024
    seen: list[int] = []
    if waking:
        association.to_provider_queue = WakingQueue(lambda: seen.append(association.to_provider_queue.qsize()))
    many = tuple(Reference("1.2", f"1.3.{number}") for number in range(1000))
    reader = threading.Thread(target=lambda: seen.append(_size_when_filled(association.to_provider_queue)))
    reader.start()
    assert _line(association, answers).send("k", CommitmentReport("1.2.3", many, ()))
    reader.join()
    assert set(seen) == {len(_sent(association))}
    assert len(_sent(association)) > 10


def _size_when_filled(to_send: "queue.Queue[Any]") -> int:
    with to_send.not_empty:
        to_send.not_empty.wait_for(lambda: len(to_send.queue) > 0)
        return len(to_send.queue)


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
    assert len(_sent(association)) == 2  # the first one's command and data set


def test_a_report_waits_for_the_answer_to_its_request(answers: Any) -> None:
    association = FakeAssociation()
    line = _line(association, answers)
    line.expect_answer()
    association.answer(1, 0x0000, command_field=0x8001, event=evt.EVT_DIMSE_SENT)  # of a C-STORE
    assert line.is_answering
    association.answer(2, 0x0000, command_field=0x8130, event=evt.EVT_DIMSE_SENT)
    assert not line.is_answering


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
    assert isinstance(association.dul._idle_timer, Timer)
    assert type(association.dul.to_provider_queue) is queue.Queue
    # what is queued is sent before more is received, so before a C-STORE is answered in the provider's thread
    reactor = inspect.getsource(DULServiceProvider.run_reactor)
    assert "if self._process_recv_primitive():" in reactor
    assert "elif self._is_transport_event():" in reactor
    assert "self.to_provider_queue.put(primitive)" in inspect.getsource(DULServiceProvider.send_pdu)
    send = inspect.getsource(DIMSEServiceProvider.send_msg)
    assert "self.dul.send_pdu(pdata)" in send
    assert "EVT_DIMSE_SENT" in send
    # an answer that nobody waits for is told and dropped
    assert "if not msg.is_valid_request" in inspect.getsource(Association._serve_request)
    assert "EVT_DIMSE_RECV" in inspect.getsource(DIMSEServiceProvider.receive_primitive)
    assert "_idle_timer.restart" in inspect.getsource(DULServiceProvider)
