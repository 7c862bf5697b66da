import logging
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from dicom_listener.series_rows import SeriesState
from dicom_listener.stored import StoredInstance
from tests.unit.dicom_listener.desk import KEY, QUIET, Desk, uids
from tests.unit.dicom_listener.instances import SERIES, uid


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.engine.dispose()


def test_a_series_is_handed_over_once_with_all_its_instances(desk: Desk) -> None:
    for number in (3, 1, 2, 1):
        desk.receive(number)
        desk.turn(1)
    assert desk.rows()[0].state is SeriesState.RECEIVING
    desk.turn(QUIET)
    desk.turn(QUIET)
    (series,) = desk.handed_over
    assert uids(series) == [uid(1), uid(2), uid(3)]
    assert (series.key, series.version, series.calling_ae_title) == (KEY, 1, "PACS")
    assert all(one.path.exists() for one in series.instances)
    (row,) = desk.rows()
    assert (row.state, row.n_instances, row.first_at, row.last_at) == (SeriesState.COMPLETE, 3, 1e9, 1e9 + 3)
    assert row.bytes == sum(one.size_bytes for one in series.instances)


def test_after_a_restart_the_sender_gets_the_quiet_time_again(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET - 1)
    desk.restart()
    desk.turn(QUIET - 1)
    assert desk.handed_over == []
    desk.receive(2)
    desk.turn(QUIET)
    assert uids(desk.handed_over[0]) == [uid(1), uid(2)]


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


def test_files_of_instances_that_are_told_next_are_not_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []
    load = desk.spool.load

    def watched(key: str, *, without: Collection[str] = ()) -> tuple[StoredInstance, ...]:
        found = load(key, without=without)
        read.append([one.instance.sop_instance_uid for one in found])
        return found

    desk.store(4)  # its receiver died before it could tell of it
    monkeypatch.setattr(desk.spool, "load", watched)
    desk.receive_together(*(desk.store(number) for number in (2, 3, 1)))
    assert read == [[uid(2), uid(4)]]
    desk.turn(QUIET)
    assert uids(desk.handed_over[0]) == [uid(1), uid(2), uid(3), uid(4)]


def test_a_conflicting_instance_that_is_told_next_does_not_hide_the_one_it_conflicts_with(desk: Desk) -> None:
    desk.store(1)  # as above
    desk.receive_together(desk.store(2), desk.store(1, pixels=b"another"))
    desk.turn(QUIET)
    assert uids(desk.handed_over[0]) == [uid(1), uid(2)]


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("again", [(1,), (1, 2)], ids=["as it was", "with more"])
def test_a_series_sent_again_after_its_purge_is_the_next_version(
    desk: Desk, remembered: bool, again: tuple[int, ...]
) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.purge()
    if not remembered:
        desk.turn(QUIET)
    for number in again:
        desk.receive(number)
    desk.turn(QUIET)
    assert [(series.version, uids(series)) for series in desk.handed_over] == [(1, [uid(1)]), (2, [*map(uid, again)])]


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
    desk.reject()
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
