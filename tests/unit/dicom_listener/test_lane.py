import errno
import fcntl
import os
from pathlib import Path

import pytest

from dicom_listener.spool.journal import lane as lane_module
from dicom_listener.spool.journal.lane import DamagedLaneError, Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE, LaneFront
from dicom_listener.spool.journal.lanes import damaged_paths, lane_path, lane_paths
from tests.unit.dicom_listener.journal_room import MIB, flip, front_of, make_lanes, n_descriptors

N_LANES = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_lanes(tmp_path, N_LANES)


def test_a_new_lane_is_whole_and_clean(folder: Path) -> None:
    path = folder / "lane-999"
    Lane.make(path, MIB)
    assert path.stat().st_size == MIB
    assert path.stat().st_blocks * 512 >= MIB  # written in advance: no holes
    assert Lane.says_clean(path)
    lane = Lane.claim(path)
    assert lane is not None
    assert lane.is_clean
    assert list(lane.unfiled()) == []
    lane.close()
    lane.close()


def test_a_lane_has_a_name_once_all_of_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def record_sync(descriptor: int) -> None:
        steps.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def record_name(self: Path, target: Path) -> Path:
        steps.append(f"rename {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "rename", record_name)
    Lane.make(tmp_path / "lane-000", MIB)
    assert steps == ["fsync lane-000.new", "rename lane-000", f"fsync {tmp_path.name}"]


def test_a_disk_without_room_for_a_lane_keeps_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(lane_module, "write_all", full)
    before = n_descriptors()
    with pytest.raises(OSError, match="full"):
        Lane.make(tmp_path / "lane-000", MIB)
    assert list(tmp_path.iterdir()) == []
    assert n_descriptors() == before


def test_a_lane_is_held_by_one(folder: Path) -> None:
    path = lane_path(folder, 0)
    before = n_descriptors()
    first = Lane.claim(path)
    assert first is not None
    assert Lane.claim(path) is None
    first.close()
    second = Lane.claim(path)
    assert second is not None
    second.close()
    assert Lane.claim(folder / "lane-777") is None
    assert n_descriptors() == before


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_lane_that_is_taken_away_while_it_is_claimed_is_not_written_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    """What is written to a file without a name is lost with its process."""
    path = lane_path(folder, 0)
    flock = fcntl.flock

    def take_away(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()  # whoever held it let it go just now
        if is_replaced:
            Lane.make(path, MIB)
        flock(descriptor, operation)

    before = n_descriptors()
    monkeypatch.setattr(fcntl, "flock", take_away)
    assert Lane.claim(path) is None
    assert n_descriptors() == before


def test_a_lane_without_a_front_is_damaged(folder: Path) -> None:
    path = lane_path(folder, 0)
    before = n_descriptors()
    path.write_bytes(bytes(MIB))
    with pytest.raises(DamagedLaneError, match="lane-000 is damaged"):
        Lane.claim(path)
    assert Lane.says_clean(path) is None
    assert n_descriptors() == before


def test_marks_are_read_by_the_next_who_claims(folder: Path) -> None:
    path = lane_path(folder, 0)
    lane = Lane.claim(path)
    assert lane is not None
    lane.begin()
    generation = lane.generation
    assert not lane.is_clean
    assert lane.room == MIB - FIRST_BYTE - 4096
    lane.mark_filed(FIRST_BYTE + 4096)
    assert not Lane.says_clean(path)
    lane.close()
    again = Lane.claim(path)
    assert again is not None
    assert (again.generation, again.filed_to) == (generation, FIRST_BYTE + 4096)
    again.mark_clean()
    again.close()
    assert Lane.says_clean(path)


def test_one_damaged_front_leaves_the_other(folder: Path) -> None:
    path = lane_path(folder, 0)
    lane = Lane.claim(path)
    assert lane is not None
    lane.begin()
    lane.mark_filed(FIRST_BYTE)
    before = lane.filed_to
    lane.mark_filed(FIRST_BYTE + 8192)
    lane.close()
    flip(path, front_of(path).offset + 10)
    assert front_of(path).filed_to == before


def test_other_files_are_no_lanes(folder: Path) -> None:
    for name in ("lane-000.new", "lane-", "lane-x", "damaged-lane-000-00ff", ".lane-001", "other"):
        (folder / name).touch()
    assert [path.name for path in lane_paths(folder)] == ["lane-000", "lane-001", "lane-002"]
    assert [path.name for path in damaged_paths(folder)] == ["damaged-lane-000-00ff"]
    assert lane_paths(folder / "missing") == []
    assert damaged_paths(folder / "missing") == []


def test_the_front_is_never_written_over_the_one_that_counts(folder: Path) -> None:
    path = lane_path(folder, 0)
    lane = Lane.claim(path)
    assert lane is not None
    for _ in range(3):
        for step in (lane.begin, lane.mark_clean):
            before = front_of(path)
            content = path.read_bytes()[before.offset :][:4096]
            step()
            assert path.read_bytes()[before.offset :][:4096] == content
            assert LaneFront.newest(path.read_bytes()[:FIRST_BYTE]) != before
    lane.close()
