"""Asking a real PACS, and peers that misbehave, how many instances a series has."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from dicom_listener import state
from dicom_listener.completion.books import IntakeEvent, IntakeEventKind
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.count_asker import CountAsker
from dicom_listener.completion.intake import Intake
from dicom_listener.completion.intake_events import CountAnswer, CountQuestion
from dicom_listener.completion.sender_count import STUDY_ROOT_FIND, count_at_sender
from dicom_listener.ending import Ending
from dicom_listener.errors import CallBackError
from dicom_listener.network.scp import StorageScp
from dicom_listener.peers import Peer
from dicom_listener.spool.spool import Spool
from inference.phantom import make_phantom
from inference.phantom_dicom import write_ct_series
from segwatch.database import make_engine
from tests.peers.orthanc import Orthanc
from tests.peers.ports import LOOPBACK, free_ports

PATIENCE = 60.0
SLICES = 12
QUESTION = CountQuestion("a" * 32, 1, "PACS", "1.2.3", "1.2.3.4")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    volume = make_phantom(3, shape=(SLICES, 32, 32), spacing_mm=(10.0, 10.0, 10.0), lesions=1).volume
    return write_ct_series(volume, tmp_path_factory.mktemp("ct"), seed=3)


@pytest.fixture
def pacs(orthanc_factory: Callable[..., Orthanc], ct: list[Path]) -> Orthanc:
    """A PACS that lets everybody ask, and holds the series."""
    server = orthanc_factory(DicomAlwaysAllowFind=True)
    server.start()
    for path in ct:
        server.upload(path)
    return server


def question_about(path: Path) -> CountQuestion:
    header = dcmread(path, stop_before_pixels=True)
    return replace(QUESTION, study_instance_uid=header.StudyInstanceUID, series_instance_uid=header.SeriesInstanceUID)


def peer_of(pacs: Orthanc) -> Peer:
    return Peer(pacs.ae_title, (), LOOPBACK, pacs.dicom_port)


def ask(peer: Peer, question: CountQuestion, seconds: float = 30.0, calling: str = "SEGWATCH") -> int | None:
    return count_at_sender(peer, question, calling_ae_title=calling, seconds=seconds)


def test_orthanc_says_how_many_it_has(pacs: Orthanc, ct: list[Path]) -> None:
    assert ask(peer_of(pacs), question_about(ct[0])) == SLICES
    assert ask(peer_of(pacs), QUESTION) is None, "of an unknown series it says nothing"


def test_who_refuses_or_is_away_is_named(orthanc: Orthanc, ct: list[Path]) -> None:
    with pytest.raises(CallBackError):  # this one lets nobody ask that it does not know; other tests made us known
        ask(peer_of(orthanc), question_about(ct[0]), calling="NOBODY")
    with pytest.raises(CallBackError, match="unreachable"):
        ask(Peer("PACS", (), LOOPBACK, free_ports()), QUESTION)


@contextmanager
def archive(answer: Callable[[Dataset], Iterator[tuple[int, Dataset | None]]]) -> Iterator[Peer]:
    """A C-FIND provider that answers as it is told."""
    ae = AE("PACS")
    ae.add_supported_context(STUDY_ROOT_FIND)

    def handle(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        yield from answer(event.identifier)

    server = ae.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handle)])
    assert server is not None
    assert server.socket is not None
    try:
        yield Peer("PACS", (), LOOPBACK, server.socket.getsockname()[1])
    finally:
        server.shutdown()


def match(query: Dataset, **values: object) -> tuple[int, Dataset]:
    found = Dataset()
    found.QueryRetrieveLevel = query.QueryRetrieveLevel
    found.StudyInstanceUID, found.SeriesInstanceUID = query.StudyInstanceUID, query.SeriesInstanceUID
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return 0xFF00, found


def test_an_archive_without_the_attribute_is_counted() -> None:
    levels = []

    def answer(query: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        levels.append(query.QueryRetrieveLevel)
        if query.QueryRetrieveLevel == "SERIES":
            yield match(query)
            return
        for number in (1, 2, 3, 3):
            yield match(query, SOPInstanceUID=f"1.2.{number}")

    with archive(answer) as peer:
        assert ask(peer, QUESTION) == 3
    assert levels == ["SERIES", "IMAGE"]


@pytest.mark.parametrize("value", ["", "0", "-3"])
def test_a_useless_attribute_is_as_none(value: str) -> None:
    def answer(query: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        if query.QueryRetrieveLevel == "SERIES":
            yield match(query, NumberOfSeriesRelatedInstances=value)
        else:
            yield match(query, SOPInstanceUID="1.2.1")

    with archive(answer) as peer:
        assert ask(peer, QUESTION) == 1


def test_what_an_archive_answers_about_another_series_is_not_taken() -> None:
    def answer(query: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield match(query, SeriesInstanceUID="1.2.3.999", NumberOfSeriesRelatedInstances="7")

    with archive(answer) as peer:
        assert ask(peer, QUESTION) is None


def test_an_archive_that_fails_is_named() -> None:
    def answer(_query: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xA700, None

    with archive(answer) as peer, pytest.raises(CallBackError, match="A700"):
        ask(peer, QUESTION)


def test_an_archive_that_does_not_end_or_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_listener.completion.sender_count.MAXIMUM_ANSWERS", 5)
    released = threading.Event()

    def endless(query: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        while True:
            yield match(query)

    def silent(query: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        released.wait(PATIENCE)
        yield match(query)

    with archive(endless) as peer, pytest.raises(CallBackError, match="too long"):
        ask(peer, QUESTION)
    try:
        with archive(silent) as peer, pytest.raises(CallBackError):
            ask(peer, QUESTION, seconds=0.5)
            released.set()
    finally:
        released.set()


class Room:
    """A running intake over a spool, with a provider that a PACS sends to."""

    def __init__(self, folder: Path, peers: tuple[Peer, ...]) -> None:
        self.events: queue.Queue[IntakeEvent] = queue.Queue()
        self.answers: queue.Queue[int | None] = queue.Queue()
        self.engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
        state.metadata.create_all(self.engine)
        spool = Spool(folder / "spool", high_watermark=1.1)
        self.intake = Intake(
            spool,
            self.engine,
            rule=CompletionRule(3600.0, settle_seconds=0.5),
            on_complete=lambda _connection, _series: None,
            observe=self.events.put,
            asker=CountAsker(peers, calling_ae_title="SEGWATCH", seconds=10.0, count=self._count),
        )
        self.scp = StorageScp(spool, ae_title="SEGWATCH", host=LOOPBACK, port=0, on_stored=self.intake.add)

    def _count(self, peer: Peer, question: CountQuestion, **how: Any) -> int | None:
        answer = count_at_sender(peer, question, **how)
        self.answers.put(answer)
        return answer

    def __enter__(self) -> "Room":
        self.intake.start()
        self.scp.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.scp.stop()
        self.intake.stop()
        self.engine.dispose()


def test_what_a_pacs_sends_is_complete_when_it_says_so(tmp_path: Path, pacs: Orthanc) -> None:
    with Room(tmp_path, (peer_of(pacs),)) as room:
        (series,) = pacs.series()
        pacs.send(series, called="SEGWATCH", port=room.scp.port)
        event = room.events.get(timeout=PATIENCE)
    assert event.kind is IntakeEventKind.COMPLETE
    assert event.series is not None
    assert (event.series.instances, event.series.expected, event.series.ended_by) == (SLICES, SLICES, Ending.COUNT)


def test_half_of_what_a_pacs_has_is_not_complete(tmp_path: Path, pacs: Orthanc) -> None:
    with Room(tmp_path, (peer_of(pacs),)) as room:
        for one in pacs.instances()[: SLICES // 2]:
            pacs.send(one, called="SEGWATCH", port=room.scp.port)
        assert room.answers.get(timeout=PATIENCE) == SLICES
        for one in pacs.instances():
            pacs.send(one, called="SEGWATCH", port=room.scp.port)
        event = room.events.get(timeout=PATIENCE)
    assert event.series is not None
    assert (event.version, event.series.instances, event.series.ended_by) == (1, SLICES, Ending.COUNT)


def test_a_failure_is_logged_without_a_uid_and_the_peer_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    calls: queue.Queue[CountQuestion] = queue.Queue()
    answers: queue.Queue[CountAnswer] = queue.Queue()

    def count(peer: Peer, question: CountQuestion, **_: object) -> int | None:
        calls.put(question)
        if peer.ae_title == "DOWN":
            raise CallBackError("DOWN@127.0.0.1:104 is unreachable")
        if question.version == 2:
            raise ValueError(question.series_instance_uid)
        return None if question.version == 1 else 5

    peers = [Peer(title, (), LOOPBACK, 104) for title in ("DOWN", "PACS")] + [Peer("SILENT")]
    asker = CountAsker(peers, calling_ae_title="SEGWATCH", seconds=1.0, count=count)
    assert [asker.may_ask(title) for title in ("DOWN", "PACS", "SILENT", "STRANGER")] == [True, True, False, False]
    asker.start(answers.put)
    for title, version in [("DOWN", 1), ("DOWN", 2), ("STRANGER", 1), ("PACS", 1), ("PACS", 2), ("PACS", 3)]:
        asker.ask(replace(QUESTION, ae_title=title, version=version))
    assert answers.get(timeout=PATIENCE) == CountAnswer("a" * 32, 3, 5)
    asker.stop()
    assert [calls.get_nowait().ae_title for _ in range(calls.qsize())] == ["DOWN", "PACS", "PACS", "PACS"]
    assert "the quiet time decides" in caplog.text
    assert "ValueError" in caplog.text
    assert QUESTION.series_instance_uid not in caplog.text
    asker.stop()
    asker.start(answers.put)  # as at the next start of the intake
    asker.ask(replace(QUESTION, version=4))
    assert answers.get(timeout=PATIENCE) == CountAnswer("a" * 32, 4, 5)
    asker.stop()
