import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.books import Books, IntakeEvent, IntakeEventKind
from dicom_listener.completion import CompletionRule
from dicom_listener.series import ReceivedSeries, series_key
from dicom_listener.spool import Spool
from dicom_listener.state import SeriesRow, SeriesState
from segwatch.database import make_engine
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance, uid

QUIET = 10.0
KEY = series_key(STUDY, SERIES)


class Desk:
    """A spool, a state and the books over them, with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder / "spool", high_watermark=1.1)
        self.engine: Engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
        state.metadata.create_all(self.engine)
        self.now = 0.0
        self.handed_over: list[ReceivedSeries] = []
        self.events: list[IntakeEvent] = []
        self.fails = False
        self.restart()

    def restart(self) -> None:
        self.books = Books(
            self.spool,
            self.engine,
            CompletionRule(QUIET),
            self._on_complete,
            self.events.append,
            lambda: 1e9 + self.now,
        )
        self.books.recover(now=self.now)

    def _on_complete(self, connection: Connection, series: ReceivedSeries) -> None:
        assert state.load_series(connection, self.spool.root, series.key, series.version) == series
        if self.fails:
            raise RuntimeError("the queue is down")
        self.handed_over.append(series)

    def receive(self, number: int, *, series: str = SERIES, pixels: bytes = b"xx") -> None:
        stored = self.spool.store(*instance(number, series=series, pixels=pixels))
        self.books.absorb(stored, now=self.now)

    def turn(self, seconds: float = 0.0) -> None:
        self.now += seconds
        for key in self.books.completion.due(self.now):
            self.books.complete(key, now=self.now)
        self.books.save()
        self.books.tidy(now=self.now)

    def rows(self) -> list[SeriesRow]:
        with self.engine.begin() as connection:
            return state.list_series(connection)

    def purge(self, key: str = KEY) -> None:
        self.spool.purge(key)
        with self.engine.begin() as connection:
            state.mark_purged(connection, key, now=self.now)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.engine.dispose()


def _uids(series: ReceivedSeries) -> list[str]:
    return [one.sop_instance_uid for one in series.instances]


def test_a_series_is_handed_over_once_with_all_its_instances(desk: Desk) -> None:
    for number in (3, 1, 2, 1):
        desk.receive(number)
        desk.turn(1)
    assert desk.rows()[0].state is SeriesState.RECEIVING
    desk.turn(QUIET)
    desk.turn(QUIET)
    (series,) = desk.handed_over
    assert _uids(series) == [uid(1), uid(2), uid(3)]
    assert (series.key, series.version, series.calling_ae_title) == (KEY, 1, "PACS")
    assert all(one.path.exists() for one in series.instances)
    (row,) = desk.rows()
    assert (row.state, row.n_instances, row.first_at, row.last_at) == (SeriesState.COMPLETE, 3, 1e9, 1e9 + 3)
    assert row.bytes == sum(one.size_bytes for one in series.instances)


def test_a_late_instance_is_counted_and_kept_but_not_added(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(2)
    desk.receive(1)
    desk.turn(QUIET)
    desk.restart()
    desk.receive(3)
    desk.turn(QUIET)
    assert len(desk.handed_over) == 1
    (row,) = desk.rows()
    assert (row.n_instances, row.n_late) == (1, 2)
    assert len(desk.spool.load(KEY)) == 3
    assert [event.kind for event in desk.events].count(IntakeEventKind.LATE) == 2


def test_late_instances_of_before_a_crash_are_counted_at_the_restart(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.spool.store(*instance(2))  # the crash came before the intake heard of it
    desk.restart()
    assert desk.rows()[0].n_late == 1


def test_after_a_restart_the_sender_gets_the_quiet_time_again(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET - 1)
    desk.restart()
    desk.turn(QUIET - 1)
    assert desk.handed_over == []
    desk.receive(2)
    desk.turn(QUIET)
    assert _uids(desk.handed_over[0]) == [uid(1), uid(2)]


def test_when_the_hand_over_fails_nothing_is_written_and_it_is_made_later(desk: Desk) -> None:
    desk.receive(1)
    desk.fails = True
    with pytest.raises(RuntimeError):
        desk.turn(QUIET)
    assert [row.state for row in desk.rows() if row.state is SeriesState.COMPLETE] == []
    desk.fails = False
    desk.restart()
    desk.turn(QUIET)
    assert len(desk.handed_over) == 1


def test_a_conflicting_instance_is_counted_and_left_out(desk: Desk) -> None:
    desk.receive(1, pixels=b"aa")
    desk.receive(1, pixels=b"bb")
    desk.turn(QUIET)
    assert [one.path for one in desk.handed_over[0].instances] == [desk.spool.load(KEY)[0].instance.path]
    assert desk.rows()[0].n_conflicts == 1
    desk.receive(1, pixels=b"cc")
    desk.turn()
    assert desk.rows()[0].n_conflicts == 2


@pytest.mark.parametrize("remembered", [True, False])
def test_a_series_sent_again_after_its_purge_is_the_next_version(desk: Desk, remembered: bool) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.purge()
    if not remembered:
        desk.turn(QUIET)
    desk.receive(1)
    desk.receive(2)
    desk.turn(QUIET)
    assert [(series.version, _uids(series)) for series in desk.handed_over] == [(1, [uid(1)]), (2, [uid(1), uid(2)])]


def test_late_instances_that_a_person_made_the_next_version_are_not_late_any_more(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(2)
    desk.turn()
    whole = replace(desk.handed_over[0], version=2, instances=tuple(stored.instance for stored in desk.spool.load(KEY)))
    with desk.engine.begin() as connection:
        state.complete(connection, whole, state.SeriesProgress(KEY, 2, STUDY, SERIES, "PACS", 2, 0, 1, 1.0, 2.0))
        state.count_extra(connection, KEY, 1, n_late=0, n_conflicts=0, last_at=2.0)
    desk.receive(3)
    desk.turn(QUIET)
    assert [(row.version, row.n_late) for row in desk.rows()] == [(2, 1), (1, 0)]


def test_a_series_purged_while_it_is_received_is_not_handed_over(desk: Desk) -> None:
    desk.receive(1)
    desk.spool.purge(KEY)
    desk.turn(QUIET)
    assert desk.handed_over == []


def test_a_series_whose_folder_vanished_does_not_stay_open_for_ever(desk: Desk) -> None:
    desk.receive(1)
    desk.turn()
    desk.spool.purge(KEY)
    desk.restart()
    assert desk.rows()[0].purged_at is not None


def test_a_series_that_a_person_rejected_meanwhile_is_not_handed_over(desk: Desk) -> None:
    desk.receive(1)
    desk.turn()
    with desk.engine.begin() as connection:
        state.mark_rejected(connection, KEY, 1, by="dr", why="wrong patient", now=0.0)
    desk.turn(QUIET)
    assert desk.handed_over == []
    assert desk.rows()[0].state is SeriesState.REJECTED


def test_the_log_names_the_series_by_its_key_alone(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(2)
    desk.receive(2, pixels=b"other")
    assert f"series={KEY}" in caplog.text
    assert SERIES not in caplog.text
    assert "Nobody" not in caplog.text


class Interleavings(RuleBasedStateMachine):
    """Random arrivals on real files and a real database, with crashes between the two, purges and restarts."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.desk = Desk(Path(self.folder.name))
        self.acknowledged: set[str] = set()

    @rule(number=st.integers(1, 4), series=st.sampled_from([SERIES, SERIES + ".7"]))
    def receive(self, number: int, series: str) -> None:
        self.desk.receive(number, series=series)
        self.acknowledged.add(uid(number, series))

    @rule(number=st.integers(1, 4))
    def receive_and_crash(self, number: int) -> None:
        self.desk.spool.store(*instance(number, pixels=b"xx"))
        self.acknowledged.add(uid(number))
        self.desk.restart()

    @rule(seconds=st.floats(0, 2 * QUIET))
    def turn(self, seconds: float) -> None:
        self.desk.turn(seconds)

    @rule()
    def fail(self) -> None:
        self.desk.fails = True
        for key in self.desk.books.completion.due(self.desk.now):
            with pytest.raises(RuntimeError):
                self.desk.books.complete(key, now=self.desk.now)
        self.desk.fails = False

    @invariant()
    def nothing_acknowledged_is_lost_and_nothing_is_handed_over_twice(self) -> None:
        if not hasattr(self, "desk"):
            return
        versions = [(series.key, series.version) for series in self.desk.handed_over]
        assert len(versions) == len(set(versions))
        assert all(version == 1 for _, version in versions)
        found = {
            one.instance.sop_instance_uid for key in self.desk.spool.series_keys() for one in self.desk.spool.load(key)
        }
        assert found == self.acknowledged

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        self.desk.restart()
        self.desk.turn(QUIET)
        members = {uid_ for series in self.desk.handed_over for uid_ in _uids(series)}
        rows = self.desk.rows()
        assert all(row.state is SeriesState.COMPLETE for row in rows)
        # every instance is in the one version of its series, or counted as late beside it
        assert len(members) + sum(row.n_late for row in rows) == len(self.acknowledged)
        self.desk.engine.dispose()
        self.folder.cleanup()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
