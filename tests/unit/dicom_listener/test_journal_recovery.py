import errno
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_listener.errors import SpoolError, SpoolFullError
from dicom_listener.series import series_key
from dicom_listener.spool.block_writer import Blocks
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal import burst
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_draft import LaneDraft
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.spool.journal.lanes import damaged_paths
from dicom_listener.spool.shelf import Shelf
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance, uid
from tests.unit.dicom_listener.journal_room import JournalRoom, flip, front_of, part10

KEY = series_key(STUDY, SERIES)
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _never_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burst, "QUIET_SECONDS", 3600.0)


@pytest.fixture
def room(tmp_path: Path) -> JournalRoom:
    return JournalRoom(tmp_path / "spool")


@pytest.fixture
def spool(room: JournalRoom) -> Spool:
    """As another process has it."""
    return Spool(room.spool.root, high_watermark=1.1)


def _recovered(spool: Spool) -> dict[int, StoreOutcome]:
    told: list[StoredInstance] = []
    spool.journal.recover(told.append)
    return {int(one.instance.sop_instance_uid.rsplit(".", 1)[1]): one.outcome for one in told}


def _lane_with_instances(room: JournalRoom) -> Path:
    [path] = [path for path in room.lanes if front_of(path).sequence % 2]
    return path


def _contents(room: JournalRoom) -> list[bytes]:
    return sorted(path.read_bytes() for path in room.files())


DIE = """
import os, signal, sys
from pathlib import Path
from tests.unit.dicom_listener.instances import instance
from tests.unit.dicom_listener.journal_room import JournalRoom

room = JournalRoom(Path(sys.argv[1]), n_lanes=3)
room.store(1)
room.store(2, b"ab" * 150_000)
half = room.journal.receive(instance(3)[0], print)
half.write(instance(3, pixels=b"cd" * 200_000)[1][:-1000])
room.break_off(4, b"ef" * 100_000)


def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)


setattr(os, sys.argv[2], die)
room.store(5, b"gh" * 50_000)
"""


@pytest.mark.parametrize("moment", ["pwrite", "fdatasync"])
def test_after_a_kill_what_was_acknowledged_gets_its_file(room: JournalRoom, spool: Spool, moment: str) -> None:
    ended = subprocess.run([sys.executable, "-c", DIE, room.spool.root, moment], check=False, timeout=60, cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    expected = [part10(1), part10(2, b"ab" * 150_000)]
    if moment == "fdatasync":  # all of it was written, and its sender was told nothing: it may have a file
        expected.append(part10(5, b"gh" * 50_000))
    spool.recover()
    assert _contents(room) == sorted(expected)
    assert spool.journal.is_filed
    assert len(spool.load(KEY)) == len(expected)
    assert list((room.spool.root / ".incoming").iterdir()) == []
    before = {path: path.stat() for path in room.files()}
    spool.recover()
    assert _recovered(spool) == {}
    assert {path: path.stat() for path in room.files()} == before


def test_who_recovers_is_told_of_each_instance(room: JournalRoom, spool: Spool) -> None:
    for number in (1, 2):
        room.store(number)
    room.die()
    told: list[StoredInstance] = []
    spool.journal.recover(told.append)
    room.journal = room.spool.journal.open(3600.0)
    assert [one.instance.path.read_bytes() for one in told] == [part10(1), part10(2)]
    assert tuple(told) == tuple(spool.load(KEY))  # as they are found after a restart
    room.store(3)  # the lane may be used again
    room.die()
    assert _recovered(spool) == {3: StoreOutcome.STORED}


def test_a_lane_of_a_living_process_is_left_alone(room: JournalRoom, spool: Spool) -> None:
    room.store(1)
    spool.recover()
    assert room.files() == []
    assert not spool.journal.is_filed
    room.journal.start()
    room.file_all()
    assert _contents(room) == [part10(1)]
    assert _recovered(spool) == {}


def test_of_a_lane_that_is_filed_in_part_the_rest_gets_files(room: JournalRoom, spool: Spool) -> None:
    for number in (1, 2):
        room.store(number)
    room.journal.start()
    request, data_set = instance(3)
    incoming = room.journal.receive(request, room.told.append)
    assert incoming is not None
    with incoming:
        room.file_all()
        incoming.write(data_set)
        incoming.commit()
        assert front_of(_lane_with_instances_of_part(room)).filed_to > FIRST_BYTE
        room.die()
        assert _recovered(spool) == {3: StoreOutcome.STORED}


def _lane_with_instances_of_part(room: JournalRoom) -> Path:
    [path] = [path for path in room.lanes if not Lane.says_clean(path)]
    return path


def test_an_instance_that_has_its_file_is_a_duplicate_and_another_content_a_conflict(
    room: JournalRoom, spool: Spool
) -> None:
    for number in (1, 2, 3):
        room.store(number)
    room.die()
    spool.store(*instance(1))
    spool.store(*instance(2, pixels=b"other pixels"))
    assert _recovered(spool) == {1: StoreOutcome.DUPLICATE, 2: StoreOutcome.CONFLICT, 3: StoreOutcome.STORED}
    assert _contents(room) == sorted([part10(1), part10(2, b"other pixels"), part10(3)])
    assert [path.read_bytes() for path in spool.conflicts(KEY)] == [part10(2)]


def test_a_lane_without_a_front_is_kept_and_the_others_are_recovered(
    room: JournalRoom, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    room.store(1)
    bad = _lane_with_instances(room)
    other = JournalRoom(room.spool.root)
    other.store(2)
    room.die()
    other.die()
    content = bad.read_bytes()
    for offset in (10, 4096 + 10):
        flip(bad, offset)
    with caplog.at_level(logging.ERROR):
        assert _recovered(spool) == {2: StoreOutcome.STORED}
        assert _recovered(spool) == {}
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
    path = _lane_with_instances(room)
    room.die()
    _damage(path, number, trailer=trailer)
    content = path.read_bytes()
    with caplog.at_level(logging.ERROR):
        assert sorted(_recovered(spool)) == [each for each in (1, 2, 3) if each != number]
        assert _recovered(spool) == {}
    assert [kept.read_bytes() == content for kept in damaged_paths(room.folder)] == [True]
    assert len(caplog.records) == 1
    assert "cannot be read any more" in caplog.text
    for secret in ("Nobody", SERIES, STUDY):
        assert secret not in caplog.text


@pytest.mark.parametrize("trailer", [False, True], ids=["content", "trailer"])
def test_the_last_instance_may_be_torn_and_was_acknowledged_to_nobody(
    room: JournalRoom, spool: Spool, caplog: pytest.LogCaptureFixture, trailer: bool
) -> None:
    for each in (1, 2):
        room.store(each)
    path = _lane_with_instances(room)
    room.die()
    _damage(path, 2, trailer=trailer)
    with caplog.at_level(logging.WARNING):
        assert _recovered(spool) == {1: StoreOutcome.STORED}
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
    assert sorted(_recovered(spool)) == ([1, 2] if is_whole else [1])
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
        assert _recovered(spool) == {1: StoreOutcome.STORED}
    assert len(damaged_paths(room.folder)) == 1
    assert len(caplog.records) == 1


def _two_lanes(room: JournalRoom) -> None:
    room.store(1)
    other = JournalRoom(room.spool.root)
    other.store(2)
    room.die()
    other.die()


def test_a_lane_that_cannot_be_read_does_not_keep_the_others(
    room: JournalRoom, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _two_lanes(room)
    bad, read_at = room.lanes[0], Lane.read_at

    def fail(self: Lane, offset: int, n_bytes: int) -> bytes:
        if self.path == bad and offset >= FIRST_BYTE:
            raise OSError(errno.EIO, "broken")
        return read_at(self, offset, n_bytes)

    told: list[StoredInstance] = []
    with monkeypatch.context() as broken:
        broken.setattr(Lane, "read_at", fail)
        with pytest.raises(SpoolError, match="broken"):
            spool.journal.recover(told.append)
    assert len(told) == 1
    assert not spool.journal.is_filed
    assert len(_recovered(spool)) == 1  # nothing of it was given up
    assert _contents(room) == sorted([part10(1), part10(2)])


def test_a_full_disk_loses_nothing_and_does_not_keep_a_listener_from_its_start(
    room: JournalRoom, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _two_lanes(room)

    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr(Shelf, "_name", full)
        with pytest.raises(SpoolFullError):
            spool.journal.recover(lambda _stored: None)
        spool.recover()
    assert len(caplog.records) == 1
    assert "is full" in caplog.text
    assert room.files() == []
    assert list((room.spool.root / ".incoming").iterdir()) == []
    spool.recover()
    assert _contents(room) == sorted([part10(1), part10(2)])


def test_descriptors_are_closed_whatever_a_lane_holds(room: JournalRoom, spool: Spool) -> None:
    spool.warm_up()
    _two_lanes(room)
    spool.recover()
    before = len(list(Path("/proc/self/fd").iterdir()))
    again = JournalRoom(room.spool.root, n_lanes=4)
    again.store(3)
    again.die()
    for offset in (10, 4096 + 10):
        flip(again.lanes[3], offset)
    spool.recover()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_identifiers_are_told_from_the_file_itself(room: JournalRoom, spool: Spool) -> None:
    room.store(7)
    room.die()
    told: list[StoredInstance] = []
    spool.journal.recover(told.append)
    assert told[0].instance.sop_instance_uid == uid(7)
    assert told[0].calling_ae_title == "PACS"
    assert told[0].series_key == KEY
    assert told[0].instance.size_bytes == len(part10(7))
