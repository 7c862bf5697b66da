"""Storage commitment asked for by pynetdicom as SCU, over both ways of intake."""

import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, SegmentationStorage
from pynetdicom import evt
from pynetdicom.association import Association

from dicom_listener.commitment import commitment_table
from dicom_listener.commitment.commitment_table import CommitmentState
from dicom_listener.peers import Peer
from dicom_listener.state_tables import commitment_requests
from tests.peers.ports import free_ports
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.committing import (
    LOOPBACK,
    PUSH_MODEL,
    WELL_KNOWN,
    CommittingListener,
    Scu,
    action_information,
    ask,
)
from tests.unit.dicom_listener.instances import data_set, uid
from tests.unit.dicom_listener.listening import send

CT = str(CTImageStorage)
Make = Callable[..., CommittingListener]


@pytest.fixture
def committing(tmp_path: Path, intake: dict[str, Any]) -> Iterator[Make]:
    made: list[CommittingListener] = []

    def make(**settings: Any) -> CommittingListener:
        made.append(CommittingListener(tmp_path, intake=intake, **settings))
        made[-1].start()
        return made[-1]

    yield make
    for listener in made:
        listener.stop()


@pytest.fixture
def scu() -> Iterator[Callable[..., Scu]]:
    made: list[Scu] = []

    def make(listener: CommittingListener, **settings: Any) -> Scu:
        made.append(Scu(listener.scp.port, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _states(listener: CommittingListener) -> list[str]:
    with listener.engine.begin() as connection:
        return [row.state for row in connection.execute(commitment_requests.select())]


def _release(listener: CommittingListener, association: Association) -> None:
    """Release once every report is answered: pynetdicom cannot answer one on an association that it is releasing."""
    wait_until(lambda: set(_states(listener)) == {CommitmentState.REPORTED}, "the answers are noted")
    association.release()


def test_the_report_comes_on_the_association_that_stays_open(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing()
    sender = scu(listener)
    association = sender.associate()
    for number in (1, 2):
        assert send(association, data_set(number)).Status == 0x0000
    assert ask(association, "1.2.3", (CT, uid(1)), (CT, uid(2))) == 0x0000
    report = sender.next_report()
    assert (report.event_type, report.transaction_uid, report.failed) == (1, "1.2.3", [])
    assert report.committed == [(CT, uid(1)), (CT, uid(2))]
    assert report.on_own_association
    wait_until(lambda: _states(listener) == [CommitmentState.REPORTED], "the answer is noted")
    assert send(association, data_set(3)).Status == 0x0000  # the association goes on
    association.release()
    assert association.is_released


def test_a_released_association_is_followed_by_a_new_one_with_the_role_of_scp(
    committing: Make, scu: Callable[..., Scu]
) -> None:
    port = free_ports()
    listener = committing(peers=[Peer("PACS", (), LOOPBACK, port)])
    sender = scu(listener, called="OTHERNAME")
    sender.listen(port)
    association = sender.associate()
    assert send(association, data_set(1)).Status == 0x0000
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    association.release()
    report = sender.next_report()
    assert (report.event_type, report.committed, report.on_own_association) == (1, [(CT, uid(1))], False)
    assert report.calling == "OTHERNAME"  # the name by which the sender knows us
    wait_until(lambda: _states(listener) == [CommitmentState.REPORTED], "the answer is noted")


def test_a_sender_that_wants_its_reports_elsewhere_gets_them_there(committing: Make, scu: Callable[..., Scu]) -> None:
    port = free_ports()
    listener = committing(peers=[Peer("PACS", (), LOOPBACK, port)], same_association=False)
    sender = scu(listener)
    sender.listen(port, scp_role=None)
    association = sender.associate()
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    assert not sender.next_report().on_own_association
    association.release()


def test_each_instance_fails_for_its_own_reason(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing()
    sender = scu(listener)
    association = sender.associate()
    assert send(association, data_set(1)).Status == 0x0000
    references = [
        (CT, uid(1)),
        (EnhancedCTImageStorage, uid(1)),
        (CT, uid(2)),
        (SegmentationStorage, uid(3)),
    ]
    assert ask(association, "1.2.3", *references) == 0x0000
    report = sender.next_report()
    _release(listener, association)
    assert (report.event_type, report.committed) == (2, [(CT, uid(1))])
    assert report.failed == [
        (EnhancedCTImageStorage, uid(1), 0x0119),
        (CT, uid(2), 0x0112),
        (SegmentationStorage, uid(3), 0x0122),
    ]


def test_what_was_purged_is_not_committed(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing()
    sender = scu(listener)
    association = sender.associate()
    assert send(association, data_set(1)).Status == 0x0000
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    assert sender.next_report().failed == []
    (key,) = listener.spool.series_keys()
    listener.spool.purge(key)
    assert ask(association, "1.2.4", (CT, uid(1))) == 0x0000
    assert sender.next_report().failed == [(CT, uid(1), 0x0112)]
    _release(listener, association)


def test_the_same_request_again_is_one_row_and_another_report(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing()
    sender = scu(listener)
    association = sender.associate()
    for _ in range(2):
        assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
        assert sender.next_report().transaction_uid == "1.2.3"
        wait_until(lambda: _states(listener) == [CommitmentState.REPORTED], "the answer is noted")
    association.release()


def test_a_transaction_uid_stands_for_the_same_instances(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing()
    sender = scu(listener)
    association = sender.associate()
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    assert ask(association, "1.2.3", (CT, uid(2))) == 0x0115
    association.release()
    other = scu(listener, calling="OTHER").associate()
    assert ask(other, "1.2.3", (CT, uid(2))) == 0x0000  # it is that sender's own
    other.release()


@pytest.mark.parametrize(
    ("information", "status"),
    [
        (action_information(None, (CT, uid(1))), 0x0115),
        (action_information("", (CT, uid(1))), 0x0115),
        (action_information("1.2.3"), 0x0115),
        (None, 0x0115),
        (action_information("1.2.3", (CT, "")), 0x0115),
        (action_information("1.2.3", ("", uid(1))), 0x0115),
        (action_information("1.2.3", *((CT, uid(number)) for number in range(4))), 0x0213),
    ],
    ids=["no transaction", "empty transaction", "no references", "nothing", "no instance", "no class", "too many"],
)
def test_what_is_malformed_gets_its_status_and_the_association_goes_on(
    committing: Make, scu: Callable[..., Scu], information: Dataset | None, status: int
) -> None:
    listener = committing(maximum_references=3)
    association = scu(listener).associate()
    answer, _ = association.send_n_action(information, 1, PUSH_MODEL, WELL_KNOWN)
    assert answer.Status == status
    assert 0 < len(answer.ErrorComment) <= 64
    assert send(association, data_set(1)).Status == 0x0000
    association.release()
    assert _states(listener) == []


@pytest.mark.parametrize(
    ("action", "instance", "status"), [(2, WELL_KNOWN, 0x0123), (1, "1.2.840.10008.1.20.1.2", 0x0112)]
)
def test_another_action_or_object_is_refused(
    committing: Make, scu: Callable[..., Scu], action: int, instance: str, status: int
) -> None:
    association = scu(committing()).associate()
    information = action_information("1.2.3", (CT, uid(1)))
    answer, _ = association.send_n_action(information, action, PUSH_MODEL, instance)
    assert answer.Status == status
    association.release()


def test_another_class_than_that_of_the_context_is_refused(committing: Make, scu: Callable[..., Scu]) -> None:
    association = scu(committing()).associate()
    film_session = "1.2.840.10008.5.1.1.1"
    information = action_information("1.2.3", (CT, uid(1)))
    answer, _ = association.send_n_action(information, 1, film_session, WELL_KNOWN, meta_uid=PUSH_MODEL)
    assert answer.Status == 0x0118
    association.release()


def test_requests_that_wait_are_limited(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing(maximum_pending=1, quiet_seconds=3600.0)
    association = scu(listener).associate()
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    assert ask(association, "1.2.4", (CT, uid(1))) == 0x0213
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    association.release()


def test_a_state_that_cannot_be_written_is_answered(
    committing: Make, scu: Callable[..., Scu], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    association = scu(committing()).associate()

    def fail(*_: object, **__: object) -> str:
        raise RuntimeError("Nobody^Test")

    with monkeypatch.context() as broken:
        broken.setattr(commitment_table, "accept", fail)
        assert ask(association, "1.2.3", (CT, uid(1))) == 0x0110
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    association.release()
    assert "Nobody" not in caplog.text


def test_a_sender_that_releases_instead_of_answering_is_let_go(committing: Make, scu: Callable[..., Scu]) -> None:
    port = free_ports()
    listener = committing(peers=[Peer("PACS", (), LOOPBACK, port)])
    sender = scu(listener)
    sender.listen(port)
    taken: queue.Queue[int] = queue.Queue()
    association = sender.associate(answers=False)

    def hang(event: Any) -> tuple[int, None]:
        taken.put(event.request.EventTypeID)
        event.assoc.release()
        return 0x0110, None

    association.bind(evt.EVT_N_EVENT_REPORT, hang)
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    assert taken.get(timeout=20) == 2
    assert not sender.next_report().on_own_association


def test_reports_and_answers_to_stores_that_go_on_do_not_mix(committing: Make, scu: Callable[..., Scu]) -> None:
    listener = committing(quiet_seconds=0.0)
    sender = scu(listener)
    association = sender.associate()
    many = [(CT, uid(number)) for number in range(100)]
    for turn in range(10):
        assert ask(association, f"1.2.{turn}", *many) == 0x0000
        for number in range(3):
            assert send(association, data_set(3 * turn + number)).Status == 0x0000
    assert {sender.next_report().transaction_uid for _ in range(10)} == {f"1.2.{turn}" for turn in range(10)}
    _release(listener, association)


def test_no_uid_and_no_traceback_is_logged(
    committing: Make, scu: Callable[..., Scu], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="dicom_listener")
    listener = committing()
    sender = scu(listener)
    association = sender.associate()
    assert ask(association, "1.2.3.4.5.6", (CT, uid(1))) == 0x0000
    sender.next_report()
    wait_until(lambda: _states(listener) == [CommitmentState.REPORTED], "the answer is noted")
    assert ask(association, "1.2.3.4.5.6", (CT, uid(2))) == 0x0115
    association.release()
    own = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("dicom_listener"))
    assert "storage commitment requested" in own
    assert "1.2.3.4.5.6" not in own
    assert uid(1) not in own
    assert "Traceback" not in own
