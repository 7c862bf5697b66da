"""What the metrics ask of the intake: open series with the age of the oldest, the backlog, and what a series had."""

import queue
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from dicom_listener import state
from dicom_listener.completion import intake as intake_module
from dicom_listener.completion.books import IntakeEvent, IntakeEventKind, OpenSeries
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake import Intake, IntakeProgress
from dicom_listener.series import series_key
from dicom_listener.spool.spool import Spool
from segwatch.database import make_engine
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance

BEGAN = 1_750_000_000.0
PATIENCE = 20.0
MakeIntake = Callable[..., Intake]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", high_watermark=1.1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'state.sqlite'}")
    event.listen(engine, "begin", lambda one: one.exec_driver_sql("PRAGMA busy_timeout=50"), insert=True)
    state.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def events() -> "queue.Queue[IntakeEvent]":
    return queue.Queue()


@pytest.fixture
def intake(spool: Spool, engine: Engine, events: "queue.Queue[IntakeEvent]") -> Iterator[MakeIntake]:
    """A function that makes an intake and starts it; `at` is what its clock shows."""
    made: list[Intake] = []

    def make(*, quiet_seconds: float = 3600.0, at: float = BEGAN) -> Intake:
        for one in made:
            one.stop()
        made.append(
            Intake(
                spool,
                engine,
                rule=CompletionRule(quiet_seconds),
                on_complete=lambda _connection, _series: None,
                observe=events.put,
                clock=lambda: at,
            )
        )
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.stop()


def wait_for_progress(intake: Intake, expected: IntakeProgress) -> None:
    wait_until(lambda: intake.progress() == expected, f"the intake's progress is {expected}", timeout=PATIENCE)


def test_the_oldest_open_series_keeps_its_age_over_a_restart(intake: MakeIntake, spool: Spool) -> None:
    first = intake()
    assert first.is_running
    assert first.progress() == IntakeProgress(OpenSeries(0, None), 0)
    first.add(spool.store(*instance(1)))
    wait_for_progress(first, IntakeProgress(OpenSeries(1, BEGAN), 0))
    second = intake(at=BEGAN + 500)
    assert not first.is_running
    assert second.progress() == IntakeProgress(OpenSeries(1, BEGAN), 0)
    second.add(spool.store(*instance(1, series=SERIES + ".4")))
    wait_for_progress(second, IntakeProgress(OpenSeries(2, BEGAN), 0))


def test_a_complete_series_is_not_open_and_tells_what_it_had(
    intake: MakeIntake, spool: Spool, events: "queue.Queue[IntakeEvent]"
) -> None:
    running = intake(quiet_seconds=0.2)
    stored = [spool.store(*instance(number)) for number in (1, 2)]
    for one in stored:
        running.add(one)
    while (told := events.get(timeout=PATIENCE)).kind is not IntakeEventKind.COMPLETE:
        pass
    wait_for_progress(running, IntakeProgress(OpenSeries(0, None), 0))
    assert told.series is not None
    assert (told.series.key, told.series.version, told.series.calling_ae_title) == (
        series_key(STUDY, SERIES),
        1,
        "PACS",
    )
    assert (told.series.instances, told.series.conflicts) == (2, 0)
    assert told.series.bytes == sum(one.instance.size_bytes for one in stored)
    assert told.series.seconds == 0.0  # its clock stands still


def test_what_a_locked_database_holds_up_shows_as_backlog(
    intake: MakeIntake, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "RETRY_SECONDS", 0.1)
    running = intake()
    other = sqlite3.connect(tmp_path / "state.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for number in (1, 2, 3):
        running.add(spool.store(*instance(number)))
    wait_for_progress(running, IntakeProgress(OpenSeries(0, None), 3))
    other.execute("COMMIT")
    other.close()
    wait_for_progress(running, IntakeProgress(OpenSeries(1, BEGAN), 0))
