import errno
import logging
import os
import shutil
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_listener.errors import SpoolError
from dicom_listener.spool.journal import keeper as keeper_module
from dicom_listener.spool.journal import spool_journal
from dicom_listener.spool.journal.keeper import JournalKeeper
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lanes import lane_path, lane_paths
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.journal_keeping import Looks, always, nobody
from tests.unit.dicom_listener.journal_room import LONG, MIB, JournalRoom, flip, part10

GB = 1024**3
Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture(autouse=True)
def _small_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (keeper_module, spool_journal):
        monkeypatch.setattr(module, "LANE_BYTES", MIB)
    monkeypatch.setattr(keeper_module, "LOOK_SECONDS", 3600.0)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", high_watermark=1.1)


@pytest.fixture
def keep() -> Iterator[Callable[..., Looks]]:
    made: list[Looks] = []

    def make(keeper: JournalKeeper) -> Looks:
        made.append(Looks(keeper))
        return made[-1]

    yield make
    for looks in made:
        looks.keeper.stop()


Keep = Callable[[JournalKeeper], Looks]


def _names(spool: Spool) -> list[str]:
    return sorted(path.name for path in spool.journal.folder.iterdir())


def test_lanes_are_made_as_many_as_there_shall_be(spool: Spool, keep: Keep, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        looks = keep(spool.journal.keep(3 * MIB + 5, nobody))
        assert _names(spool) == ["lane-000", "lane-001", "lane-002"]
        assert all(path.stat().st_size == MIB for path in lane_paths(spool.journal.folder))
        assert spool.journal.is_filed
        looks.again()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "has 3 lanes" in caplog.text
    lane_path(spool.journal.folder, 1).unlink()
    looks.again()
    assert _names(spool) == ["lane-000", "lane-001", "lane-002"]


def test_the_folder_of_the_lanes_is_durable_before_a_lane_is(
    spool: Spool, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    keep(spool.journal.keep(MIB, nobody))
    assert synced == ["spool", "lane-000.new", ".journal"]


def test_lanes_take_no_more_than_a_twentieth_of_the_disk(
    spool: Spool, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(60 * MIB, 0, 60 * MIB))
    keep(spool.journal.keep(16 * MIB, nobody))
    assert len(_names(spool)) == 3
    assert spool.journal.further_lanes(16) == 0


@pytest.mark.parametrize("limit", ["high_watermark", "minimum_free_bytes"])
def test_lanes_and_the_files_of_what_they_hold_leave_the_limits_of_the_disk(
    tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    free = 100 * MIB
    if limit == "high_watermark":
        spool = Spool(tmp_path / "spool", high_watermark=(GB - free + 6.5 * MIB) / GB)
    else:
        spool = Spool(tmp_path / "spool", high_watermark=1.1, minimum_free_bytes=int(free - 6.5 * MIB))

    def usage(_path: Path) -> Usage:
        used = GB - free + MIB * sum(1 for path in lane_paths(spool.journal.folder))
        return Usage(GB, used, GB - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    keep(spool.journal.keep(16 * MIB, nobody))
    assert len(_names(spool)) == 3  # and files of as much, together 6 MiB
    journal = spool.journal.open(3600.0)
    assert journal._lanes.take(1000) is not None
    assert spool.disk().refusal is None


def test_over_a_limit_nothing_is_made(tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool", high_watermark=0.5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(100 * GB, 60 * GB, 40 * GB))
    keep(spool.journal.keep(16 * MIB, nobody))
    assert not spool.journal.folder.exists()
    assert not spool.journal.exists


def test_lanes_too_many_are_removed_once_they_are_clean(spool: Spool, keep: Keep) -> None:
    room = JournalRoom(spool.root, n_lanes=4, lane_bytes=MIB)
    held = Lane.claim(lane_path(room.folder, 2))
    unclean = Lane.claim(lane_path(room.folder, 3))
    assert held is not None
    assert unclean is not None
    unclean.begin()
    looks = keep(spool.journal.keep(MIB, nobody))
    assert _names(spool) == ["lane-000", "lane-002", "lane-003"]
    held.close()
    looks.again()
    assert _names(spool) == ["lane-000", "lane-003"]
    unclean.close()  # of a process that ended: nothing is in it, and whoever recovers it says so
    looks.again()
    assert _names(spool) == ["lane-000"]


def test_an_unclean_lane_that_cannot_be_recovered_is_not_removed(
    spool: Spool, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    room = JournalRoom(spool.root, n_lanes=2, lane_bytes=MIB)
    for _ in room.lanes:
        other = JournalRoom(spool.root, n_lanes=0)
        other.store(1)
        other.die()
    calls: list[None] = []

    def fail() -> None:
        calls.append(None)
        raise SpoolError("the disk is full")

    with caplog.at_level(logging.ERROR):
        looks = keep(JournalKeeper(spool.root, room.folder, 0, may_make=always, recover=fail))
        looks.again()
        looks.again()
    assert len(calls) == 3
    assert len(caplog.records) == 1  # told once
    assert _names(spool) == ["lane-000", "lane-001"]
    assert not any(Lane.says_clean(path) for path in room.lanes)
    looks.keeper.stop()
    keep(JournalKeeper(spool.root, room.folder, 0, may_make=always, recover=lambda: None))
    assert _names(spool) == ["lane-000", "lane-001"]


def test_another_trouble_is_told_and_the_same_after_it_was_over(
    spool: Spool, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    troubles: list[Exception | None] = [
        SpoolError("one"),
        SpoolError("one"),
        SpoolError("two"),
        None,
        SpoolError("two"),
        RuntimeError("1.2.3.4"),
        RuntimeError("1.2.3.4"),
        None,
    ]

    def recover() -> None:
        trouble = troubles.pop(0)
        if trouble is not None:
            raise trouble

    with caplog.at_level(logging.ERROR):
        looks = keep(JournalKeeper(spool.root, spool.journal.folder, 1, may_make=always, recover=recover))
        while troubles:
            looks.again()
    told = [record.getMessage().removeprefix("the journal of the spool: ") for record in caplog.records]
    assert told[:3] == ["one", "two", "two"]
    assert len(told) == 4
    assert told[3].startswith("RuntimeError at")
    assert _names(spool) == ["lane-000"]  # it goes on


def test_what_an_ended_process_left_gets_files_and_its_lanes_are_used_again(spool: Spool, keep: Keep) -> None:
    told: list[StoredInstance] = []
    looks = keep(spool.journal.keep(2 * MIB, told.append))
    room = JournalRoom(spool.root, n_lanes=0)
    room.store(1)
    looks.again()
    assert told == []  # it lives
    room.die()
    looks.again()
    assert [one.outcome for one in told] == [StoreOutcome.STORED]
    assert told[0].instance.path.read_bytes() == part10(1)
    assert spool.journal.is_filed


def test_lanes_of_an_earlier_run_are_emptied_and_removed_where_there_shall_be_none(spool: Spool, keep: Keep) -> None:
    room = JournalRoom(spool.root, n_lanes=2, lane_bytes=MIB)
    room.store(1)
    room.die()
    assert spool.journal.exists
    told: list[StoredInstance] = []
    keep(spool.journal.keep(0, told.append))
    assert len(told) == 1
    assert _names(spool) == []
    assert not spool.journal.exists


def test_half_made_lanes_are_no_lanes_and_are_removed(spool: Spool, keep: Keep) -> None:
    folder = spool.journal.folder
    folder.mkdir()
    for number in (0, 7):
        (folder / f"lane-{number:03}.new").write_bytes(b"half")
    assert not spool.journal.exists
    assert spool.journal.state().lanes == 0
    keep(spool.journal.keep(MIB, nobody))
    assert _names(spool) == ["lane-000"]


def test_a_full_disk_leaves_no_half_made_lane_and_is_told_once(
    spool: Spool, keep: Keep, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr("dicom_listener.spool.journal.lane.write_all", full)
        looks = keep(spool.journal.keep(2 * MIB, nobody))
        looks.again()
        assert _names(spool) == []
    assert len(caplog.records) == 1
    assert "is full" in caplog.text
    looks.again()
    assert _names(spool) == ["lane-000", "lane-001"]


def test_a_damaged_lane_is_replaced_and_kept_for_people(
    spool: Spool, keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    room = JournalRoom(spool.root, n_lanes=2, lane_bytes=MIB)
    for offset in (10, 4096 + 10):
        flip(room.lanes[1], offset)
    with caplog.at_level(logging.ERROR):
        looks = keep(spool.journal.keep(2 * MIB, nobody))
        looks.again()
    assert len(caplog.records) == 1
    assert [name[:16] for name in _names(spool)] == ["damaged-lane-001", "lane-000", "lane-001"]
    looks.keeper.stop()
    keep(spool.journal.keep(0, nobody))
    assert [name[:16] for name in _names(spool)] == ["damaged-lane-001"]


def test_a_keeper_that_stops_begins_no_further_lane_and_may_start_again(
    spool: Spool, keep: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, looks = Lane.make, None
    made, go_on = threading.Event(), threading.Event()

    def slow(path: Path, n_bytes: int) -> None:
        make(path, n_bytes)
        made.set()
        assert go_on.wait(LONG)

    monkeypatch.setattr(Lane, "make", slow)
    keeper = spool.journal.keep(4 * MIB, nobody)
    keeper.start()
    assert made.wait(LONG)
    stopper = threading.Thread(target=keeper.stop)
    stopper.start()
    wait_until(keeper._stop.is_set, "it is asked to stop", interval=0.001)
    go_on.set()
    stopper.join(LONG)
    assert _names(spool) == ["lane-000"]
    looks = keep(keeper)
    assert len(_names(spool)) == 4
    looks.keeper.stop()
    looks.keeper.stop()
