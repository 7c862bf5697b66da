"""Reports are sent until they are confirmed or given up, whoever is down meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from dicom_listener import state
from dicom_listener.commitment import commitment_lookup, commitment_reporter, commitment_table
from dicom_listener.commitment.commitment import CommitmentRequest, Reference, RetryPolicy
from dicom_listener.commitment.commitment_table import CommitmentState
from dicom_listener.errors import SpoolError
from dicom_listener.peers import Peer
from dicom_listener.state_tables import commitment_requests
from tests.peers.ports import free_ports
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.committing import LOOPBACK, CommittingListener, Scu, ask
from tests.unit.dicom_listener.instances import instance, uid

CT = str(CTImageStorage)
Make = Callable[..., CommittingListener]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Listeners over the same folder, one after the other."""
    made: list[CommittingListener] = []

    def make(**settings: Any) -> CommittingListener:
        made.append(CommittingListener(tmp_path, **settings))
        return made[-1]

    yield make
    for listener in made:
        listener.stop()


def _put(
    listener: CommittingListener, transaction: str = "1.2.3", *, calling: str = "PACS", called: str = "SEG"
) -> str:
    """A request as an earlier run left it, for one instance that is there."""
    listener.spool.store(*instance(1))
    request = CommitmentRequest(transaction, (Reference(CT, uid(1)),), calling, called)
    with listener.engine.begin() as connection:
        return commitment_table.accept(connection, request, now=0.0, next_try_at=0.0, maximum_pending=10)


def _ends(listener: CommittingListener) -> dict[str, tuple[str, str | None]]:
    with listener.engine.begin() as connection:
        rows = connection.execute(commitment_requests.select())
        return {row.transaction_uid: (row.state, row.reason) for row in rows}


def _wait_for(listener: CommittingListener, transaction: str, end: CommitmentState) -> str | None:
    wait_until(lambda: _ends(listener)[transaction][0] == end, f"the request is {end}")
    return _ends(listener)[transaction][1]


@pytest.fixture
def scu() -> Iterator[Scu]:
    scu = Scu(0)
    yield scu
    scu.close()


def test_what_waited_before_a_restart_is_reported(make: Make, scu: Scu) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    _put(listener)
    scu.listen(port)
    listener.start()
    report = scu.next_report()
    assert (report.transaction_uid, report.committed, report.calling) == ("1.2.3", [(CT, uid(1))], "SEG")
    _wait_for(listener, "1.2.3", CommitmentState.REPORTED)


def test_a_peer_that_is_down_gets_its_reports_when_it_is_up(
    make: Make, scu: Scu, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    _put(listener)
    listener.start()
    wait_until(lambda: caplog.text.count("is unreachable") >= 2, "two tries failed")
    scu.listen(port)
    assert scu.next_report().committed == [(CT, uid(1))]
    _wait_for(listener, "1.2.3", CommitmentState.REPORTED)


def test_a_report_that_is_answered_by_a_failure_is_sent_again(make: Make, scu: Scu) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    _put(listener)
    scu.answers = [0x0110, 0x0213, 0x0107]
    scu.listen(port)
    listener.start()
    for _ in range(3):
        scu.next_report()
    _wait_for(listener, "1.2.3", CommitmentState.REPORTED)  # 0107 is a warning
    assert scu.reports.empty()


def test_several_reports_go_to_one_peer_and_another_that_is_down_holds_up_nobody(make: Make, scu: Scu) -> None:
    port, closed = free_ports(), free_ports()
    listener = make(peers=[Peer("AWAY", (), LOOPBACK, closed), Peer("PACS", (), LOOPBACK, port)])
    _put(listener, "1.2.9", calling="AWAY")
    transactions = {f"1.2.{number}" for number in range(3)}
    for transaction in transactions:
        _put(listener, transaction)
    scu.listen(port)
    listener.start()
    assert {scu.next_report().transaction_uid for _ in transactions} == transactions
    for transaction in transactions:
        _wait_for(listener, transaction, CommitmentState.REPORTED)
    assert _ends(listener)["1.2.9"][0] == CommitmentState.PENDING


@pytest.mark.parametrize(
    ("peers", "called", "why"),
    [
        ([], "SEG", "no \\[\\[listener.peers\\]\\] says host and port"),
        ([Peer("PACS"), Peer("OTHER", (), LOOPBACK, 1)], "SEG", "no \\[\\[listener.peers\\]\\] says host and port"),
        ([Peer("PACS", (), LOOPBACK, 1)], "SEG", "unreachable"),
        ([Peer("PACS", (), LOOPBACK, 1)], "", "cannot be used to call it back"),
        ([Peer("PACS", (), LOOPBACK, 1)], "A\\B", "cannot be used to call it back"),
    ],
)
def test_what_cannot_be_reported_is_given_up_with_its_reason(
    make: Make, caplog: pytest.LogCaptureFixture, peers: list[Peer], called: str, why: str
) -> None:
    listener = make(peers=peers, retry=RetryPolicy(0.01, 0.01, 0.0), answer_seconds=0.01)
    _put(listener, called=called)
    listener.start()
    reason = _wait_for(listener, "1.2.3", CommitmentState.GIVEN_UP)
    assert reason is not None
    assert why.replace("\\", "") in reason
    wait_until(lambda: "given up after 5 tries" in caplog.text, "it is logged")
    assert uid(1) not in caplog.text


def test_a_peer_that_refuses_the_role_is_told_nothing(make: Make, scu: Scu, caplog: pytest.LogCaptureFixture) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    _put(listener)
    scu.listen(port, scp_role=False)
    listener.start()
    wait_until(lambda: "not reported" in caplog.text, "a try failed")
    assert "is unreachable" not in caplog.text
    assert scu.reports.empty()


def test_another_ae_behind_the_address_is_named(make: Make, scu: Scu, caplog: pytest.LogCaptureFixture) -> None:
    port = free_ports()
    listener = make(peers=[Peer("MOVED", (), LOOPBACK, port)])
    _put(listener, calling="MOVED")
    scu.listen(port)
    listener.start()
    wait_until(lambda: "rejected the association" in caplog.text, "a try failed")
    assert "MOVED@127.0.0.1" in caplog.text


def test_a_forgotten_series_is_not_committed_before_it_is_purged(make: Make, scu: Scu) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    _put(listener)
    (key,) = listener.spool.series_keys()
    progress = state.SeriesProgress(key, 1, "1.2", "1.2.3", "PACS", 1, 0, 1, 0.0, 0.0)
    with listener.engine.begin() as connection:
        state.save_progress(connection, progress)
        state.mark_forgotten(connection, key, 1, by="somebody", why="asked", now=1.0)
    scu.listen(port)
    listener.start()
    assert scu.next_report().failed == [(CT, uid(1), 0x0112)]


def test_a_spool_that_cannot_be_read_commits_nothing_and_fails_nothing(
    make: Make, scu: Scu, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    _put(listener)
    scu.listen(port)
    monkeypatch.setattr(commitment_reporter, "TROUBLE_SECONDS", 0.01)

    def fail(*_: object, **__: object) -> dict[str, frozenset[str]]:
        raise SpoolError("the spool cannot be used")

    monkeypatch.setattr(commitment_reporter, "find_durable", fail)
    listener.start()
    wait_until(lambda: caplog.text.count("storage commitment waits") >= 2, "it failed twice")
    assert scu.reports.empty()
    monkeypatch.setattr(commitment_reporter, "find_durable", commitment_lookup.find_durable)
    assert scu.next_report().committed == [(CT, uid(1))]


def test_a_sender_gone_without_an_answer_is_called_back(make: Make, scu: Scu) -> None:
    port = free_ports()
    listener = make(peers=[Peer("PACS", (), LOOPBACK, port)])
    scu.listen(port)
    listener.start()
    sender = Scu(listener.scp.port)
    association = sender.associate()
    assert ask(association, "1.2.3", (CT, uid(1))) == 0x0000
    association.abort()
    report = scu.next_report()
    assert (report.failed, report.on_own_association) == ([(CT, uid(1), 0x0112)], False)
    _wait_for(listener, "1.2.3", CommitmentState.REPORTED)
