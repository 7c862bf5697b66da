import errno
import logging
import os
from pathlib import Path

import pytest

from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.spool.journal.lanes import LANE_BYTES as FULL_LANE_BYTES
from dicom_listener.spool.journal.lanes import Lanes, damaged_paths, lane_path, lane_paths
from tests.unit.dicom_listener.journal_room import MIB, front_of, make_lanes, n_descriptors

N_LANES = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_lanes(tmp_path, N_LANES)


@pytest.fixture
def lanes(folder: Path) -> Lanes:
    return Lanes(folder, may_claim=lambda: True)


def _take(lanes: Lanes, n_bytes: int = 1000) -> Lane:
    lane = lanes.take(n_bytes)
    assert lane is not None
    return lane


def test_a_lane_is_for_one_at_a_time_and_used_again(lanes: Lanes) -> None:
    first, second = _take(lanes), _take(lanes)
    assert first is not second
    lanes.give_back(first)
    assert _take(lanes) is first


def test_what_does_not_fit_goes_to_the_next_lane(lanes: Lanes) -> None:
    first = _take(lanes)
    first.end = MIB - 8192
    lanes.give_back(first)
    assert _take(lanes, 4097) is not first
    assert _take(lanes, 4096) is first


def test_what_is_half_as_long_as_a_lane_claims_none(lanes: Lanes) -> None:
    assert lanes.take(FULL_LANE_BYTES // 2 + 1) is None


def test_without_room_on_the_disk_no_lane_is_begun(folder: Path) -> None:
    may_claim = [True]
    lanes = Lanes(folder, may_claim=lambda: may_claim[0])
    lane = _take(lanes)
    lanes.give_back(lane)
    may_claim[0] = False
    assert _take(lanes) is lane  # this one has its room
    assert lanes.take(1) is None


def test_another_process_gets_a_lane_when_all_in_it_has_files(folder: Path, lanes: Lanes) -> None:
    taken = [_take(lanes) for _ in range(N_LANES)]
    assert Lanes(folder, may_claim=lambda: True).take(1) is None
    lane = taken[0]
    assert not lanes.leave(lane)  # it is in use
    lanes.add_unfiled(lane)
    lanes.add_unfiled(lane)
    lanes.give_back(lane)
    assert lanes.idle() == []
    assert not lanes.leave(lane)  # something has no file yet
    lanes.filed(lane, 1)
    assert not lanes.leave(lane)
    lanes.filed(lane, 1)
    assert lanes.idle() == [lane]
    assert lanes.leave(lane)
    assert Lane.says_clean(lane.path)
    assert _take(Lanes(folder, may_claim=lambda: True)).path == lane.path


def test_a_lane_of_a_process_that_ended_is_left_to_who_recovers_it(folder: Path) -> None:
    for path in lane_paths(folder):
        lane = Lane.claim(path)
        assert lane is not None
        lane.begin()
        lane.close()
    before = n_descriptors()
    assert Lanes(folder, may_claim=lambda: True).take(1) is None
    assert n_descriptors() == before


def test_a_lane_that_is_filed_in_part_says_how_far(lanes: Lanes) -> None:
    lane = _take(lanes)
    lanes.add_unfiled(lane)
    lanes.mark_filed(lane, FIRST_BYTE + 4096)
    assert front_of(lane.path).filed_to == FIRST_BYTE + 4096


def test_a_damaged_lane_is_kept_under_another_name_once_the_rest_has_files(folder: Path, lanes: Lanes) -> None:
    lane = _take(lanes)
    for _ in range(2):
        lanes.add_unfiled(lane)
    lanes.set_aside(lane)
    lanes.give_back(lane)
    lanes.filed(lane, 1)
    lanes.mark_filed(lane, FIRST_BYTE + 4096)
    assert front_of(lane.path).filed_to == FIRST_BYTE  # who recovers it after a crash finds the damage too
    assert _take(lanes) is not lane
    lanes.filed(lane, 1)
    lanes.mark_filed(lane, FIRST_BYTE + 8192)
    assert [path.stat().st_size for path in damaged_paths(folder)] == [MIB]
    assert lane.path not in lane_paths(folder)


def test_a_faulty_lane_is_told_once_and_the_others_are_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begin = Lane.begin
    bad = lane_path(folder, 1)

    def fail(self: Lane) -> None:
        if self.path == bad:
            raise OSError(errno.EIO, "broken")
        begin(self)

    monkeypatch.setattr(Lane, "begin", fail)
    lane_path(folder, 2).write_bytes(b"")
    before = n_descriptors()
    lanes = Lanes(folder, may_claim=lambda: True)
    with caplog.at_level(logging.ERROR):
        assert _take(lanes).path == lane_path(folder, 0)
        monkeypatch.setattr("dicom_listener.spool.journal.lanes._PAUSE_SECONDS", 0.0)
        for _ in range(3):
            assert lanes.take(1) is None
    assert len(caplog.records) == 2
    assert n_descriptors() == before + 2  # those of the lane that is used


def test_where_the_lanes_cannot_be_listed_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "lanes").write_text("no folder")
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert Lanes(tmp_path / "lanes", may_claim=lambda: True).take(1) is None
    assert {record.getMessage() for record in caplog.records} == {
        f"a lane of the journal of the spool is not used: [Errno 20] Not a directory: '{tmp_path / 'lanes'}'"
    }


def test_a_disk_that_fails_at_the_mark_lets_the_lane_go(lanes: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    before = n_descriptors()
    lane = _take(lanes)
    lanes.give_back(lane)

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="broken"):
            lanes.leave(lane)
    assert lanes.idle() == []
    assert n_descriptors() == before
    free = Lane.claim(lane.path)
    assert free is not None
    free.close()
