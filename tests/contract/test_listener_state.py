"""The listener's rows, on every database that the state may live in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from dicom_listener import state
from dicom_listener.ending import Ending
from dicom_listener.errors import UnknownSeriesError
from dicom_listener.series import ReceivedInstance, ReceivedSeries
from dicom_listener.spool.shelf import instance_path
from dicom_listener.state import SeriesProgress, SeriesState
from dicom_listener.state_tables import received_instances
from segwatch.database import make_engine

KEY, OTHER = "a" * 32, "ab" + "0" * 30
ROOT = Path("/spool")


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = make_engine(database_url)
    try:
        state.metadata.create_all(engine)
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _progress(key: str = KEY, version: int = 1, n_instances: int = 2, last_at: float = 20.0) -> SeriesProgress:
    return SeriesProgress(key, version, "1.2", "1.2.3", "PACS", n_instances, 0, 5_000_000_000, 10.0, last_at)


def _series(key: str = KEY, version: int = 1) -> ReceivedSeries:
    instances = tuple(
        ReceivedInstance(uid, "1.2.840", "1.2.840.1", "1.2", "1.2.3", instance_path(ROOT, key, uid), 2_500_000_000)
        for uid in sorted(("1.2.3.10", "1.2.3.9"))
    )
    return ReceivedSeries(key, version, "1.2", "1.2.3", instances, "PACS", 30.0)


def test_progress_is_one_row_that_follows(connection: Connection) -> None:
    assert state.save_progress(connection, _progress(n_instances=1))
    assert state.save_progress(connection, _progress(n_instances=2, last_at=21.5))
    (row,) = state.list_series(connection)
    assert (row.state, row.n_instances, row.last_at, row.bytes) == (SeriesState.RECEIVING, 2, 21.5, 5_000_000_000)
    assert (row.n_late, row.completed_at, row.purged_at, row.decided_by) == (0, None, None, None)


def test_a_completed_version_is_loaded_as_it_was(connection: Connection) -> None:
    assert state.complete(connection, _series(), _progress())
    assert state.load_series(connection, ROOT, KEY, 1) == _series()
    assert state.member_uids(connection, KEY, 1) == {"1.2.3.9", "1.2.3.10"}


@pytest.mark.parametrize("version", [1, 2])
def test_only_a_complete_version_is_loaded(connection: Connection, version: int) -> None:
    state.save_progress(connection, _progress())
    with pytest.raises(UnknownSeriesError, match="not complete" if version == 1 else "not known"):
        state.load_series(connection, ROOT, KEY, version)


def test_a_purged_series_is_known_but_not_loaded(connection: Connection) -> None:
    state.complete(connection, _series(), _progress())
    state.mark_purged(connection, KEY, now=99.0)
    state.mark_purged(connection, KEY, now=100.0)
    assert state.find_by_prefix(connection, KEY).purged_at == 99.0
    with pytest.raises(UnknownSeriesError, match="send the series again"):
        state.load_series(connection, ROOT, KEY, 1)


def test_a_prefix_finds_the_newest_version_of_one_series(connection: Connection) -> None:
    for key, version in ((KEY, 1), (KEY, 2), (OTHER, 1)):
        state.complete(connection, _series(key, version), _progress(key, version))
    assert state.find_by_prefix(connection, "aa").version == 2
    assert state.find_by_prefix(connection, OTHER).series_key == OTHER


@pytest.mark.parametrize("prefix", ["a", "b", "", "%", "_", "a%"])
def test_a_prefix_of_no_or_several_series_is_refused(connection: Connection, prefix: str) -> None:
    for key in (KEY, OTHER):
        state.save_progress(connection, _progress(key))
    with pytest.raises(UnknownSeriesError, match="segwatch status"):
        state.find_by_prefix(connection, prefix)


def test_a_version_rejected_while_it_is_received_goes_on_and_is_not_handed_over(connection: Connection) -> None:
    state.save_progress(connection, _progress())
    state.mark_rejected(connection, KEY, 1, by="dr", why="wrong patient", now=50.0)
    assert state.save_progress(connection, _progress(n_instances=9))
    assert not state.complete(connection, _series(), _progress())
    (row,) = state.list_series(connection, [SeriesState.REJECTED])
    assert (row.n_instances, row.decided_by, row.decided_why, row.decided_at) == (2, "dr", "wrong patient", 50.0)
    assert row.completed_at == 30.0
    assert state.list_series(connection, [SeriesState.RECEIVING]) == []
    state.mark_accepted(connection, KEY, 1)
    assert state.load_series(connection, ROOT, KEY, 1) == _series(), "it is known what belongs to it"


@pytest.mark.parametrize("end", ["complete", "forgotten"])
def test_a_version_that_is_over_takes_no_progress(connection: Connection, end: str) -> None:
    state.complete(connection, _series(), _progress())
    if end == "forgotten":
        state.mark_forgotten(connection, KEY, 1, by="dr", why="consent withdrawn", now=50.0)
    before = state.list_series(connection)
    assert not state.save_progress(connection, _progress(n_instances=9))
    assert not state.complete(connection, _series(), _progress(n_instances=9))
    assert state.list_series(connection) == before


def test_what_ended_the_wait_is_kept_with_the_version(connection: Connection) -> None:
    state.complete(connection, _series(), _progress(), ended_by=Ending.COUNT, expected=2)
    state.complete(connection, _series(version=2), _progress(version=2), ended_by=Ending.QUIET)
    state.complete(connection, _series(OTHER), _progress(OTHER))
    known = [(row.series_key, row.version, row.ended_by, row.expected) for row in state.list_series(connection)]
    assert known == [(KEY, 1, Ending.COUNT, 2), (KEY, 2, Ending.QUIET, None), (OTHER, 1, None, None)]
    newest = state.latest(connection, KEY)
    assert newest is not None
    assert (newest.version, newest.ended_by) == (2, Ending.QUIET)


def test_the_first_row_of_a_further_version_takes_over_what_lay_beside_the_one_before(connection: Connection) -> None:
    state.complete(connection, _series(), _progress())
    state.count_extra(connection, KEY, 1, n_late=3, n_conflicts=1, last_at=77.0)
    state.save_progress(connection, _progress(version=2))
    first, second = state.list_series(connection)
    assert (first.n_late, first.n_conflicts, first.state) == (0, 0, SeriesState.COMPLETE)
    assert (second.version, second.state) == (2, SeriesState.RECEIVING)


def test_the_instances_of_every_version_are_known(connection: Connection) -> None:
    state.complete(connection, _series(), _progress())
    later = _series(version=2)
    further = replace(later.instances[0], sop_instance_uid="1.2.3.11")
    state.complete(connection, replace(later, instances=(further,)), _progress(version=2))
    assert state.known_uids(connection, KEY) == {"1.2.3.9", "1.2.3.10", "1.2.3.11"}
    assert state.known_uids(connection, OTHER) == frozenset()


def test_the_newest_row_can_be_locked(connection: Connection) -> None:
    assert state.latest(connection, KEY, lock=True) is None
    state.complete(connection, _series(), _progress(), ended_by=Ending.QUIET)
    assert state.latest(connection, KEY, lock=True) == state.latest(connection, KEY)


@pytest.mark.parametrize("completed", [True, False])
def test_a_rejection_may_be_taken_back(connection: Connection, completed: bool) -> None:
    if completed:
        state.complete(connection, _series(), _progress())
    else:
        state.save_progress(connection, _progress())
    before = state.list_series(connection)
    state.mark_accepted(connection, KEY, 1)
    assert state.list_series(connection) == before
    state.mark_rejected(connection, KEY, 1, by="dr", why="by mistake", now=50.0)
    state.mark_accepted(connection, KEY, 1)
    assert state.list_series(connection) == before


def test_a_forgotten_version_keeps_no_uid(connection: Connection) -> None:
    state.complete(connection, _series(), _progress())
    state.mark_forgotten(connection, KEY, 1, by="dr", why="consent withdrawn", now=50.0)
    (row,) = state.list_series(connection)
    assert (row.state, row.study_instance_uid, row.series_instance_uid) == (SeriesState.FORGOTTEN, "", "")
    assert connection.execute(select(received_instances)).all() == []
    with pytest.raises(UnknownSeriesError):
        state.load_series(connection, ROOT, KEY, 1)


def test_deciding_about_an_unknown_series_is_refused(connection: Connection) -> None:
    with pytest.raises(UnknownSeriesError):
        state.mark_rejected(connection, KEY, 1, by="dr", why="", now=0.0)


def test_what_lies_beside_a_version_is_counted(connection: Connection) -> None:
    state.complete(connection, _series(), _progress())
    state.count_extra(connection, KEY, 1, n_late=3, n_conflicts=1, last_at=77.0)
    row = state.find_by_prefix(connection, KEY)
    assert (row.n_late, row.n_conflicts, row.last_at, row.n_instances) == (3, 1, 77.0, 2)
