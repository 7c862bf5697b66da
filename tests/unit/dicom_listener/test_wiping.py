"""Nothing of an instance that has its file stays in a lane."""

from pathlib import Path

import pytest

from dicom_listener.series import series_key
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.spool.journal.lanes import LANE_BYTES as FULL_LANE_BYTES
from dicom_listener.spool.journal.wiping import Wiping
from dicom_listener.stored import StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, STUDY
from tests.unit.dicom_listener.journal_room import LANE_BYTES, JournalRoom, lane_with_instances, recovered

KEY = series_key(STUDY, SERIES)
PIXELS = bytes(range(256)) * 1500


@pytest.fixture
def room(tmp_path: Path) -> JournalRoom:
    room = JournalRoom(tmp_path / "spool")
    room.journal.start()
    return room


def remains(room: JournalRoom) -> int:
    """How many lanes hold anything but zeros behind their fronts."""
    return sum(any(path.read_bytes()[FIRST_BYTE:]) for path in room.lanes)


def test_a_filed_lane_is_wiped_and_can_be_used_again(room: JournalRoom) -> None:
    for number in (1, 2):
        room.store(number, PIXELS)
    room.file_all()
    assert remains(room) == 1
    room.spool.journal.wipe()
    assert remains(room) == 0
    assert all(path.stat().st_size == LANE_BYTES == 512 * path.stat().st_blocks for path in room.lanes)

    again = JournalRoom(room.spool.root)
    again.store(3, PIXELS)
    again.die()
    assert recovered(room.spool) == {3: StoreOutcome.STORED}


def test_what_broke_off_is_wiped_too(room: JournalRoom) -> None:
    room.break_off(1, PIXELS)
    room.file_all()
    assert remains(room) == 1
    room.spool.journal.wipe()
    assert remains(room) == 0


def test_a_recovered_lane_is_wiped_as_far_as_anybody_may_have_written(tmp_path: Path) -> None:
    room = JournalRoom(tmp_path / "spool")
    room.store(1)
    room.break_off(2, PIXELS)
    room.die()
    recovered(room.spool)
    room.spool.journal.wipe()
    assert remains(room) == 0


def test_a_lane_with_instances_that_have_no_file_is_not_wiped(tmp_path: Path) -> None:
    room = JournalRoom(tmp_path / "spool")
    room.store(1)
    room.spool.journal.wipe()  # it is held
    room.die()
    room.spool.journal.wipe()  # and now it is not
    assert recovered(room.spool) == {1: StoreOutcome.STORED}


def test_a_lane_is_wiped_when_it_was_clean_for_a_turn(room: JournalRoom) -> None:
    wiping = Wiping(room.folder)
    room.store(1)
    room.file_all()
    wiping.turn()
    assert remains(room) == 1
    room.store(2)  # the same lane, or another
    room.file_all()
    wiping.turn()
    assert remains(room) >= 1
    wiping.turn()
    assert remains(room) == 0


def test_a_lane_that_was_cut_off_while_it_was_wiped_is_wiped_again(
    room: JournalRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.store(1)
    path = lane_with_instances(room)
    room.file_all()
    monkeypatch.setattr(Lane, "mark_clean", _power_fails)
    with pytest.raises(KeyboardInterrupt):
        room.spool.journal.wipe()
    monkeypatch.undo()
    lane = Lane.claim(path)
    assert lane is not None
    assert (lane.is_clean, lane.is_blank) == (True, False)
    lane.close()
    room.spool.journal.wipe()
    assert remains(room) == 0


def _power_fails(_lane: Lane) -> None:
    raise KeyboardInterrupt


def test_what_is_purged_is_not_in_a_lane_either(room: JournalRoom) -> None:
    room.store(1)
    room.file_all()
    assert remains(room) == 1
    assert room.spool.purge(KEY)
    assert remains(room) == 0


def test_a_keeper_that_ends_leaves_no_image_behind(room: JournalRoom) -> None:
    room.store(1)
    room.file_all()
    keeper = room.spool.journal.keep(len(room.lanes) * FULL_LANE_BYTES, room.told.append)
    keeper.start()
    keeper.stop()
    assert remains(room) == 0
    assert len(room.lanes) == 2
