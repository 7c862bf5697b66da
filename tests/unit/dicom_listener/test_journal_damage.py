import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_listener.spool.block_writer import Blocks
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_draft import LaneDraft
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.spool.journal.lanes import damaged_paths
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoreOutcome
from tests.unit.dicom_listener.journal_room import (
    JournalRoom,
    flip,
    lane_with_instances,
    recovered,
    refuse_patient_data,
)


@pytest.fixture
def spool(room: JournalRoom) -> Spool:
    """As another process has it."""
    return Spool(room.spool.root, high_watermark=1.1)


def test_a_lane_without_a_front_is_kept_and_the_others_arerecovered(
    room: JournalRoom, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    room.store(1)
    bad = lane_with_instances(room)
    other = JournalRoom(room.spool.root)
    other.store(2)
    room.die()
    other.die()
    content = bad.read_bytes()
    for offset in (10, 4096 + 10):
        flip(bad, offset)
    with caplog.at_level(logging.ERROR):
        assert recovered(spool) == {2: StoreOutcome.STORED}
        assert recovered(spool) == {}
    assert [record.getMessage().split(" ")[0] for record in caplog.records] == [str(bad)]  # told once
    [kept] = damaged_paths(room.folder)
    assert kept.read_bytes()[FIRST_BYTE:] == content[FIRST_BYTE:]
    assert str(kept) in caplog.text
    assert spool.journal.is_filed
    assert spool.journal.state().damaged == 1


def _damage(path: Path, number: int, *, trailer: bool) -> None:
    """Destroy one of the instances in a lane, or what stands behind it."""
    lane = Lane.claim(path)
    assert lane is not None
    found = list(lane.unfiled())[number - 1]
    lane.close()
    flip(path, found.offset + 30 if trailer else found.start + found.size - 1)


@pytest.mark.parametrize("trailer", [False, True], ids=["content", "trailer"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_instance_that_was_acknowledged_is_told_of_and_its_lane_kept(
    room: JournalRoom, spool: Spool, caplog: pytest.LogCaptureFixture, number: int, trailer: bool
) -> None:
    """Those behind it were begun once it was durable, so it was no loss of power."""
    for each in (1, 2, 3):
        room.store(each)
    path = lane_with_instances(room)
    room.die()
    _damage(path, number, trailer=trailer)
    content = path.read_bytes()
    with caplog.at_level(logging.ERROR):
        assert sorted(recovered(spool)) == [each for each in (1, 2, 3) if each != number]
        assert recovered(spool) == {}
    assert [kept.read_bytes() == content for kept in damaged_paths(room.folder)] == [True]
    assert len(caplog.records) == 1
    assert "cannot be read any more" in caplog.text
    refuse_patient_data(caplog.text)


@pytest.mark.parametrize("trailer", [False, True], ids=["content", "trailer"])
def test_the_last_instance_may_be_torn_and_was_acknowledged_to_nobody(
    room: JournalRoom, spool: Spool, caplog: pytest.LogCaptureFixture, trailer: bool
) -> None:
    for each in (1, 2):
        room.store(each)
    path = lane_with_instances(room)
    room.die()
    _damage(path, 2, trailer=trailer)
    with caplog.at_level(logging.WARNING):
        assert recovered(spool) == {1: StoreOutcome.STORED}
    assert caplog.records == []
    assert Lane.says_clean(path)
    assert damaged_paths(room.folder) == []


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 30)))
def test_any_blocks_of_the_last_instance_may_be_lost(tmp_path_factory: pytest.TempPathFactory, lost: set[int]) -> None:
    room = JournalRoom(tmp_path_factory.mktemp("spool"), n_lanes=1)
    room.store(1)
    path = room.lanes[0]
    before = path.read_bytes()
    room.store(2, os.urandom(100_000))
    room.die()
    after = path.read_bytes()
    changed = [block for block in range(len(after) // 4096) if _block(after, block) != _block(before, block)]
    with path.open("r+b") as file:
        for number in lost & set(range(len(changed))):
            file.seek(changed[number] * 4096)
            file.write(_block(before, changed[number]))
    is_whole = not lost & set(range(len(changed)))
    spool = Spool(room.spool.root, high_watermark=1.1)
    assert sorted(recovered(spool)) == ([1, 2] if is_whole else [1])
    assert spool.journal.state().damaged == 0


def _block(content: bytes, number: int) -> bytes:
    return content[number * 4096 : (number + 1) * 4096]


def test_what_is_whole_and_no_instance_is_kept(
    room: JournalRoom, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    room.store(1)
    [lane] = room.journal._lanes._held
    draft = LaneDraft(
        lane,
        Blocks(),
        make_file=spool.draft,
        give_back=lambda _lane: None,
        retire=lambda _lane: None,
        errors=disk_errors_in_words(spool.root),
    )
    draft.append(memoryview(b"no instance" * 100))
    draft.complete(500)
    draft.seal()
    draft.close()
    room.die()
    with caplog.at_level(logging.ERROR):
        assert recovered(spool) == {1: StoreOutcome.STORED}
    assert len(damaged_paths(room.folder)) == 1
    assert len(caplog.records) == 1
