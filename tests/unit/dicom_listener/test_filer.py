import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.series import series_key
from dicom_listener.spool.journal import burst
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.stored import StoreOutcome
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance, uid
from tests.unit.dicom_listener.journal_room import (
    LONG,
    JournalRoom,
    front_of,
    is_free,
    lane_with_instances,
    part10,
)

KEY = series_key(STUDY, SERIES)


def test_an_instance_gets_its_file_when_the_burst_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burst, "QUIET_SECONDS", 0.01)
    room = JournalRoom(tmp_path / "spool")
    room.journal.start()
    filed = threading.Event()
    room.store(1, on_filed=lambda _stored: filed.set())
    assert filed.wait(LONG)
    assert [path.read_bytes() for path in room.files()] == [part10(1)]
    wait_until(lambda: room.spool.journal.is_filed, "the lane is clean", interval=0.001)
    assert [stored.instance.sop_instance_uid for stored in room.spool.load(KEY)] == [uid(1)]


def test_while_instances_come_they_wait_no_longer_than_the_longest_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = JournalRoom(tmp_path / "spool")
    room.journal = room.spool.journal.open(0.05)
    monkeypatch.setattr(burst.Burst, "due_at", lambda self, oldest: oldest + self._longest)  # it never becomes quiet
    room.journal.start()
    filed = threading.Event()
    room.store(1, on_filed=lambda _stored: filed.set())
    assert filed.wait(LONG)


def test_a_hurry_waits_for_no_burst_and_files_in_order(room: JournalRoom) -> None:
    for number in range(1, 41):
        room.store(number)
    assert room.files() == []
    room.journal.start()
    room.journal.start()  # once is enough
    room.file_all()
    assert room.told_numbers() == list(range(1, 41))
    assert {one.outcome for one in room.told} == {StoreOutcome.STORED}
    assert room.spool.journal.is_filed
    room.file_all()  # with nothing to do


def test_a_filed_lane_is_clean_on_disk_and_another_process_may_have_it(room: JournalRoom) -> None:
    room.store(1)
    path = lane_with_instances(room)
    assert Lane.claim(path) is None
    room.journal.start()
    room.file_all()
    assert Lane.says_clean(path)
    lane = Lane.claim(path)
    assert lane is not None
    assert lane.is_clean
    lane.close()


def test_a_lane_in_use_is_not_left(room: JournalRoom) -> None:
    room.store(1)
    path = lane_with_instances(room)
    room.journal.start()
    request, data_set = instance(2)
    incoming = room.journal.receive(request, room.told.append)
    assert incoming is not None
    with incoming:
        room.file_all()
        assert room.told_numbers() == [1]
        assert Lane.claim(path) is None
        assert FIRST_BYTE < front_of(path).filed_to < path.stat().st_size
        incoming.write(data_set)
        assert incoming.commit() is None
        room.file_all()
        assert room.told_numbers() == [1, 2]
        assert Lane.claim(path) is None
    wait_until(lambda: Lane.says_clean(path) is True, "it is left once it is given back", interval=0.001)


def test_a_lane_is_left_when_its_only_instance_broke_off(room: JournalRoom) -> None:
    room.journal.start()
    room.break_off(1, bytes(500_000))
    wait_until(lambda: room.spool.journal.is_filed, "the lane is clean", interval=0.001)
    wait_until(lambda: all(is_free(path) for path in room.lanes), "nobody has a lane", interval=0.001)
    assert room.files() == []


def test_told_after_the_file_is_durable_and_before_the_lane_is_marked(
    room: JournalRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    synced = threading.Lock()

    def recorded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(descriptor: int) -> None:
            target = Path(f"/proc/self/fd/{descriptor}").readlink()
            original(descriptor)
            with synced:
                kind = "folder" if target.is_dir() else "lane" if target in room.lanes else "content"
                steps.append(f"{kind} durable")

        return call

    def marked(self: Lane, filed_to: int) -> None:
        steps.append("mark begins")
        mark(self, filed_to)

    room.store(1)
    mark = Lane.mark_filed
    monkeypatch.setattr(Lane, "mark_filed", marked)
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, recorded(getattr(os, name)))
    room.store(2, on_filed=lambda _stored: steps.append("told"))
    assert steps == ["lane durable"]
    room.told = []
    steps.clear()
    room.journal.start()
    room.file_all()
    first, rest = steps[:3], steps[3:]
    assert first[0] == "folder durable"  # of the series, in the spool
    assert sorted(first[1:]) == ["content durable", "folder durable"]
    assert sorted(rest[:2]) == ["content durable", "folder durable"]
    assert rest[2:] == ["told", "mark begins", "lane durable"]


def test_an_instance_that_is_here_already_is_a_duplicate_and_another_content_a_conflict(room: JournalRoom) -> None:
    room.spool.store(*instance(1))
    room.spool.store(*instance(2))
    room.store(1)
    room.store(2, b"other pixels")
    room.journal.start()
    room.file_all()
    assert [one.outcome for one in room.told] == [StoreOutcome.DUPLICATE, StoreOutcome.CONFLICT]
    assert [path.read_bytes() for path in room.spool.conflicts(KEY)] == [part10(2, b"other pixels")]
    assert sorted(path.read_bytes() for path in room.files()) == sorted([part10(1), part10(2)])


def test_a_series_that_was_purged_meanwhile_begins_anew(room: JournalRoom) -> None:
    room.store(1)
    room.journal.start()
    room.file_all()
    room.store(2)
    assert room.spool.purge(KEY)
    room.file_all()
    assert [path.read_bytes() for path in room.files()] == [part10(2)]


def test_no_descriptor_is_left_open(room: JournalRoom) -> None:
    room.journal.start()
    room.spool.warm_up()
    room.store(0)
    room.file_all()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1, 6):
        room.store(number)
        room.break_off(number, bytes(300_000))
        room.file_all()
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) == before, "all are closed", interval=0.001)
