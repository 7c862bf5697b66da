import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from dicom_listener import state
from dicom_listener.completion import intake as intake_module
from dicom_listener.completion.books import IntakeEvent, IntakeEventKind
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake import Intake
from dicom_listener.errors import SpoolError
from dicom_listener.series import ReceivedSeries, series_key
from dicom_listener.spool.spool import Spool
from dicom_listener.state import SeriesState
from segwatch.database import make_engine
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance

KEY = series_key(STUDY, SERIES)
PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(intake_module, "SAVE_SECONDS", 0.1)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", high_watermark=1.1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'state.sqlite'}")
    state.metadata.create_all(engine)
    yield engine
    engine.dispose()


class Watched:
    """An intake whose events can be waited for."""

    def __init__(self, spool: Spool, engine: Engine, *, quiet_seconds: float = 0.2) -> None:
        self.events: queue.Queue[IntakeEvent] = queue.Queue()
        self.handed_over: list[ReceivedSeries] = []
        self.on_complete: Callable[[Connection, ReceivedSeries], None] = lambda _connection, _series: None
        self.intake = Intake(
            spool, engine, rule=CompletionRule(quiet_seconds), on_complete=self._hand_over, observe=self.events.put
        )

    def _hand_over(self, connection: Connection, series: ReceivedSeries) -> None:
        self.on_complete(connection, series)
        self.handed_over.append(series)

    def wait_for(self, kind: IntakeEventKind) -> IntakeEvent:
        while (event := self.events.get(timeout=PATIENCE)).kind is not kind:
            pass
        return event


@pytest.fixture
def watched(spool: Spool, engine: Engine) -> Iterator[Watched]:
    watched = Watched(spool, engine)
    yield watched
    watched.intake.stop()


def _rows(engine: Engine) -> list[state.SeriesRow]:
    with engine.begin() as connection:
        return state.list_series(connection)


def test_what_is_added_from_many_threads_is_handed_over(watched: Watched, spool: Spool, engine: Engine) -> None:
    watched.intake.start()
    threads = [
        threading.Thread(target=lambda number=number: watched.intake.add(spool.store(*instance(number))))
        for number in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    event = watched.wait_for(IntakeEventKind.COMPLETE)
    assert (event.series_key, event.version) == (KEY, 1)
    assert len(watched.handed_over[0].instances) == 8
    assert _rows(engine)[0].state is SeriesState.COMPLETE


def test_progress_is_written_while_a_series_is_received(spool: Spool, engine: Engine) -> None:
    watched = Watched(spool, engine, quiet_seconds=3600)
    watched.intake.start()
    watched.intake.add(spool.store(*instance(1)))
    watched.intake.add(spool.store(*instance(2)))
    watched.intake.stop()
    assert [(row.state, row.n_instances) for row in _rows(engine)] == [(SeriesState.RECEIVING, 2)]


def test_what_a_stopped_intake_left_is_taken_up_by_the_next(spool: Spool, engine: Engine) -> None:
    first = Watched(spool, engine, quiet_seconds=3600)
    first.intake.start()
    first.intake.add(spool.store(*instance(1)))
    first.intake.stop()
    spool.store(*instance(2))  # durable, but its process died before the intake heard of it
    second = Watched(spool, engine)
    second.intake.start()
    second.wait_for(IntakeEventKind.COMPLETE)
    second.intake.stop()
    assert len(second.handed_over[0].instances) == 2


def test_a_hand_over_that_fails_is_rolled_back_and_tried_again(watched: Watched, spool: Spool, engine: Engine) -> None:
    allowed = threading.Event()

    def on_complete(_connection: Connection, _series: ReceivedSeries) -> None:
        if not allowed.is_set():
            raise RuntimeError("the queue is down")

    watched.on_complete = on_complete
    watched.intake.start()
    watched.intake.add(spool.store(*instance(1)))
    watched.wait_for(IntakeEventKind.POSTPONED)
    assert _rows(engine)[0].state is SeriesState.RECEIVING
    allowed.set()
    watched.wait_for(IntakeEventKind.COMPLETE)
    assert len(watched.handed_over) == 1


def test_one_series_that_cannot_be_handed_over_does_not_hold_up_others(watched: Watched, spool: Spool) -> None:
    def on_complete(_connection: Connection, series: ReceivedSeries) -> None:
        if series.key == KEY:
            raise RuntimeError("never")

    watched.on_complete = on_complete
    watched.intake.start()
    watched.intake.add(spool.store(*instance(1)))
    watched.intake.add(spool.store(*instance(1, series=SERIES + ".4")))
    assert watched.wait_for(IntakeEventKind.COMPLETE).series_key != KEY


def test_a_locked_database_delays_and_loses_nothing(
    spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'locked.sqlite'}")
    event.listen(engine, "begin", lambda one: one.exec_driver_sql("PRAGMA busy_timeout=50"), insert=True)
    state.metadata.create_all(engine)
    watched = Watched(spool, engine)
    watched.intake.start()
    complained = threading.Event()
    monkeypatch.setattr(intake_module.LOGGER, "error", lambda *_: complained.set())
    other = sqlite3.connect(tmp_path / "locked.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    watched.intake.add(spool.store(*instance(1)))
    assert complained.wait(PATIENCE)
    watched.intake.add(spool.store(*instance(2)))
    other.execute("COMMIT")
    other.close()
    watched.wait_for(IntakeEventKind.COMPLETE)
    watched.intake.stop()
    engine.dispose()
    assert len(watched.handed_over[0].instances) == 2
    assert caplog.text.count(SERIES) == 0


def test_an_observer_that_fails_is_not_heard(spool: Spool, engine: Engine) -> None:
    done = threading.Event()

    def observe(_event: IntakeEvent) -> None:
        done.set()
        raise RuntimeError("observer")

    intake = Intake(
        spool, engine, rule=CompletionRule(0.1), on_complete=lambda _connection, _series: None, observe=observe
    )
    intake.start()
    intake.add(spool.store(*instance(1)))
    assert done.wait(PATIENCE)
    done.clear()
    intake.add(spool.store(*instance(1, series=SERIES + ".4")))
    assert done.wait(PATIENCE)
    intake.stop()


def test_two_intakes_on_one_spool_are_refused(watched: Watched, engine: Engine, spool: Spool) -> None:
    watched.intake.start()
    other = Watched(Spool(spool.root), engine)
    with pytest.raises(SpoolError, match="another listener"):
        other.intake.start()
    watched.intake.stop()
    other.intake.start()
    other.intake.stop()


def test_stop_without_start_and_twice_is_harmless(watched: Watched) -> None:
    watched.intake.stop()
    watched.intake.start()
    watched.intake.stop()
    watched.intake.stop()
