"""What is told at the end of each association, and of connections that never became one."""

import queue
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, build_context

from dicom_listener.association_report import (
    AssociationEnd,
    AssociationReport,
    ConnectionRefusal,
    Connections,
    Tally,
)
from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.peers import Peer
from dicom_listener.receiving.receivers import Receivers
from dicom_listener.spool.spool import Spool
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import data_set
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener, send, wait_for_journal


class Reporting(Listener):
    """A listener that keeps the reports of its associations."""

    def __init__(self, root: Path, settings: ScpSettings | None = None) -> None:
        self.reports: queue.Queue[AssociationReport] = queue.Queue()
        self.stored = queue.Queue()
        self.spool = Spool(root, high_watermark=1.1)
        self.scp = StorageScp(
            self.spool,
            ae_title="SEGWATCH",
            host=LOOPBACK,
            port=0,
            on_stored=self.stored.put,
            on_association_end=self.reports.put,
            settings=settings,
        )
        self.scp.start()
        wait_for_journal(self.scp)


@pytest.fixture
def reporting(tmp_path: Path) -> Iterator[Callable[..., Reporting]]:
    made: list[Reporting] = []

    def make(settings: ScpSettings | None = None) -> Reporting:
        made.append(Reporting(tmp_path / f"spool-{len(made)}", settings))
        return made[-1]

    yield make
    for one in made:
        one.scp.stop()


def test_statuses_are_counted(reporting: Callable[..., Reporting]) -> None:
    listener = reporting()
    association = listener.associate()
    send(association, data_set())
    broken = data_set(2)
    del broken.StudyInstanceUID
    for _ in range(2):
        send(association, broken)
    association.release()
    report = listener.reports.get(timeout=PATIENCE)
    assert (report.end, report.rejection) == (AssociationEnd.RELEASED, None)
    assert (report.counts, report.statuses) == ({"stored": 1, "refused": 2}, {0xA900: 2})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (ScpSettings(require_called_ae_title=True), "called-ae-title-not-recognized"),
        (ScpSettings(peers=(Peer("OTHER"),), only_known_peers=True), "calling-ae-title-not-recognized"),
    ],
)
def test_a_rejection_is_named(settings: ScpSettings, reason: str, reporting: Callable[..., Reporting]) -> None:
    listener = reporting(settings)
    assert listener.associate(called="NOBODY").is_rejected
    report = listener.reports.get(timeout=PATIENCE)
    assert report.end is AssociationEnd.REJECTED
    assert report.rejection is not None
    assert (report.rejection.result, report.rejection.source) == ("rejected-permanent", "service-user")
    assert report.rejection.reason == reason


def test_connections_are_counted_by_what_became_of_them(reporting: Callable[..., Reporting]) -> None:
    listener = reporting(ScpSettings(maximum_associations=1))
    assert listener.scp.connections() == Connections(0, 0, {})
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.settimeout(PATIENCE)
        probe.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while probe.recv(1000):
            pass
    wait_until(lambda: listener.scp.connections().open == 0, "the probe's connection is closed here too")
    association = listener.associate()
    with (
        socket.create_connection((LOOPBACK, listener.scp.port)) as second,
        socket.create_connection((LOOPBACK, listener.scp.port)),
    ):
        second.settimeout(PATIENCE)
        assert second.recv(1) == b""  # it gave way
        wait_until(lambda: listener.scp.connections().open == 2, "its connection is closed here too")
        refused = {ConnectionRefusal.NO_ASSOCIATION: 1, ConnectionRefusal.LIMIT: 1}
        assert listener.scp.connections() == Connections(2, 1, refused)
    association.release()
    listener.scp.stop()
    assert listener.scp.connections() == Connections(0, 0, {})


def test_it_serves_from_start_to_stop(reporting: Callable[..., Reporting]) -> None:
    scp = reporting().scp
    assert scp.is_serving
    scp.stop()
    assert not scp.is_serving


def test_series_of_which_nothing_new_came_are_told(reporting: Callable[..., Reporting]) -> None:
    listener = reporting()
    for first in (True, False):
        association = listener.associate()
        send(association, data_set(series="1.2.3"))
        send(association, data_set(1 if first else 2, series="1.2.4"))
        association.release()
        report = listener.reports.get(timeout=PATIENCE)
        if first:
            assert report.resent_keys == frozenset()
    assert report.counts == {"stored": 1, "duplicate": 1}
    assert len(report.series_keys) == 2
    assert len(report.resent_keys) == 1


@pytest.mark.parametrize("fast_intake", [True, False])
def test_refused_presentation_contexts_are_counted_and_named(
    fast_intake: bool, reporting: Callable[..., Reporting]
) -> None:
    listener = reporting(ScpSettings(fast_intake=fast_intake, transfer_syntaxes=(ExplicitVRLittleEndian,)))
    contexts = [
        build_context(one, ExplicitVRLittleEndian) for one in (CTImageStorage, MRImageStorage, "1.2.840.99999.1")
    ]
    contexts.append(build_context(CTImageStorage, ImplicitVRLittleEndian))
    association = AE("PACS").associate(LOOPBACK, listener.scp.port, contexts=contexts, ae_title="SEGWATCH")
    association.release()
    report = listener.reports.get(timeout=PATIENCE)
    assert report.refused_contexts == 3
    assert report.refused_classes[0] == "CTImageStorage(transfer-syntaxes)"
    assert set(report.refused_classes[1:]) == {"MRImageStorage", "unknown"}
    assert not report.is_encrypted


def test_how_long_an_association_lasted_says_nothing_of_instances_that_waited_for_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(_receivers: Receivers, tally: Tally, _seconds: float) -> bool:
        tally.began -= 1000  # as if so much time had passed
        return True

    monkeypatch.setattr(Receivers, "wait_until_told", wait)
    listener = Reporting(tmp_path / "spool", ScpSettings(receivers=1))
    try:
        listener.associate().release()
        assert 0 < listener.reports.get(timeout=PATIENCE).seconds < 1000
    finally:
        listener.scp.stop()
