import errno
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.errors import SpoolError, SpoolFullError
from dicom_listener.series import series_key
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.spool.shelf import Shelf
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance, uid
from tests.unit.dicom_listener.journal_room import (
    JournalRoom,
    Naming,
    flip,
    front_of,
    part10,
    recovered,
)

KEY = series_key(STUDY, SERIES)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def spool(room: JournalRoom) -> Spool:
    """As another process has it."""
    return Spool(room.spool.root, high_watermark=1.1)


def _contents(room: JournalRoom) -> list[bytes]:
    return sorted(path.read_bytes() for path in room.files())


DIE = """
import os, signal, sys
from pathlib import Path
from tests.unit.dicom_listener.instances import instance
from tests.unit.dicom_listener.journal_room import JournalRoom, lane_with_instances, recovered

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
    assert recovered(spool) == {}
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
    assert recovered(spool) == {3: StoreOutcome.STORED}


def test_a_lane_of_a_living_process_is_left_alone(room: JournalRoom, spool: Spool) -> None:
    room.store(1)
    spool.recover()
    assert room.files() == []
    assert not spool.journal.is_filed
    room.journal.start()
    room.file_all()
    assert _contents(room) == [part10(1)]
    assert recovered(spool) == {}


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
        assert recovered(spool) == {3: StoreOutcome.STORED}


def _lane_with_instances_of_part(room: JournalRoom) -> Path:
    [path] = [path for path in room.lanes if not Lane.says_clean(path)]
    return path


def test_one_that_cannot_be_filed_holds_up_no_other(room: JournalRoom, spool: Spool) -> None:
    in_the_way = room.spool.root / series_key(STUDY, f"{SERIES}.2")
    in_the_way.write_bytes(b"where the folder of a series should be")
    room.store(1)
    room.store(2, series=f"{SERIES}.2")
    room.store(3)
    room.die()
    told: list[StoredInstance] = []
    for _ in range(2):  # each is told once, though the lane is looked at again
        with pytest.raises(SpoolError):
            spool.journal.recover(told.append)
        assert [one.instance.sop_instance_uid for one in told] == [uid(1), uid(3)]
    assert not spool.journal.is_filed
    in_the_way.unlink()
    assert recovered(spool) == {2: StoreOutcome.STORED}
    assert spool.journal.is_filed


def test_an_instance_that_has_its_file_is_a_duplicate_and_another_content_a_conflict(
    room: JournalRoom, spool: Spool
) -> None:
    for number in (1, 2, 3):
        room.store(number)
    room.die()
    spool.store(*instance(1))
    spool.store(*instance(2, pixels=b"other pixels"))
    assert recovered(spool) == {1: StoreOutcome.DUPLICATE, 2: StoreOutcome.CONFLICT, 3: StoreOutcome.STORED}
    assert _contents(room) == sorted([part10(1), part10(2, b"other pixels"), part10(3)])
    assert [path.read_bytes() for path in spool.conflicts(KEY)] == [part10(2)]


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
    assert len(recovered(spool)) == 1  # nothing of it was given up
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


def test_what_was_recovered_before_the_disk_was_full_is_not_told_again(
    room: JournalRoom, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        room.store(number)
    room.die()
    naming, told = Naming(monkeypatch), list[StoredInstance]()
    naming.errors = [None, OSError(errno.ENOSPC, "full")]
    with pytest.raises(SpoolFullError):
        spool.journal.recover(told.append)
    assert [one.instance.sop_instance_uid for one in told] == [uid(1)]
    assert recovered(spool) == {2: StoreOutcome.STORED, 3: StoreOutcome.STORED}


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
