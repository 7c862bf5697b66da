"""What is told of instances that are in the intake journal: by storage commitment, in the log, to the listener."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.association import Association

from dicom_listener.network.scp import StorageScp
from dicom_listener.peers import Peer
from dicom_listener.stored import StoreOutcome
from tests.peers.ports import free_ports
from tests.peers.waiting import wait_until
from tests.survival.listener import in_lanes
from tests.unit.dicom_listener.committing import LOOPBACK, CommittingListener, Scu, ask
from tests.unit.dicom_listener.instances import data_set, uid
from tests.unit.dicom_listener.listening import INTAKES, PATIENCE, Listener, send

CT = str(CTImageStorage)


@pytest.fixture
def intake() -> dict[str, Any]:
    return INTAKES["journal"]


@pytest.fixture
def committing(tmp_path: Path, intake: dict[str, Any]) -> Iterator[Callable[..., CommittingListener]]:
    made: list[CommittingListener] = []

    def make(**settings: Any) -> CommittingListener:
        made.append(CommittingListener(tmp_path, intake=intake, quiet_seconds=0.0, **settings))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def send_until_one_waits(association: Association, root: Path) -> list[int]:
    """Send instances until some are in the journal alone, however busy the machine is; their numbers."""
    sent = []
    for number in count(1):
        assert send(association, data_set(number)).Status == 0x0000
        sent.append(number)
        if in_lanes(root):
            return sent
    raise AssertionError


def kill_receiver(scp: StorageScp) -> None:
    assert scp._receivers is not None
    (process_id,) = scp._receivers.process_ids
    os.kill(process_id, signal.SIGKILL)


def test_commitment_of_what_is_in_the_journal_is_told_on_the_same_association(
    committing: Callable[..., CommittingListener],
) -> None:
    listener = committing()
    sender = Scu(listener.scp.port)
    association = sender.associate()
    sent = send_until_one_waits(association, listener.spool.root)
    assert ask(association, "1.2.3", *((CT, uid(number)) for number in sent)) == 0x0000
    report = sender.next_report()
    assert (report.failed, report.committed) == ([], [(CT, uid(number)) for number in sent])
    assert report.on_own_association
    association.release()


@pytest.mark.parametrize("is_receiver_killed", [False, True])
def test_commitment_of_what_is_in_the_journal_is_told_on_another_association(
    committing: Callable[..., CommittingListener], is_receiver_killed: bool
) -> None:
    port = free_ports()
    listener = committing(peers=[Peer("PACS", (), LOOPBACK, port)], same_association=False)
    sender = Scu(listener.scp.port)
    sender.listen(port)
    try:
        storing, asking = sender.associate(), sender.associate()
        sent = send_until_one_waits(storing, listener.spool.root)
        if is_receiver_killed:
            kill_receiver(listener.scp)
        assert ask(asking, "1.2.3", *((CT, uid(number)) for number in sent)) == 0x0000
        report = sender.next_report()
        assert (report.failed, report.committed) == ([], [(CT, uid(number)) for number in sent])
        assert not report.on_own_association
        storing.abort()
        asking.release()
    finally:
        sender.close()


def test_the_line_of_an_association_counts_what_went_through_the_journal(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    association = listener.associate()
    send_until_one_waits(association, listener.spool.root)
    for number in (1, 1):
        assert send(association, data_set(number)).Status == 0x0000
    assert send(association, data_set(1, pixels=b"\3\4" * 8)).Status == 0x0000
    broken = data_set(2)
    del broken.StudyInstanceUID
    assert send(association, broken).Status == 0xA900
    association.release()
    listener.scp.stop()
    told = [listener.stored.get_nowait() for _ in range(listener.stored.qsize())]
    n_stored = sum(one.outcome is StoreOutcome.STORED for one in told)
    (line,) = (one.getMessage() for one in caplog.records if "association released" in one.getMessage())
    assert line.endswith(f" conflict=1 duplicate=2 refused=1 stored={n_stored}")
    assert f" bytes={sum(one.instance.size_bytes for one in told)} " in line


def test_what_a_killed_receiver_left_in_the_journal_is_filed_and_told_while_the_listener_runs(
    listener: Listener,
) -> None:
    association = listener.associate()
    sent = send_until_one_waits(association, listener.spool.root)
    kill_receiver(listener.scp)
    association.abort()
    told: set[str] = set()
    while told != {uid(number) for number in sent}:
        stored = listener.stored.get(timeout=PATIENCE)
        assert stored.instance.path.exists()
        told.add(stored.instance.sop_instance_uid)
    wait_until(lambda: in_lanes(listener.spool.root) == set(), "the lane is clean")


def test_the_line_of_an_association_waits_for_what_its_killed_receiver_left(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    told_by_then: list[int] = []

    class Line(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "association released" in record.getMessage():
                told_by_then.append(listener.stored.qsize())

    line = Line()
    logging.getLogger("dicom_listener").addHandler(line)
    try:
        association = listener.associate()
        sent = send_until_one_waits(association, listener.spool.root)
        association.release()
        kill_receiver(listener.scp)
        wait_until(lambda: bool(told_by_then), "the line was written")
    finally:
        logging.getLogger("dicom_listener").removeHandler(line)
    assert told_by_then[0] >= len(sent)
