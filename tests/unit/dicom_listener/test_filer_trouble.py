"""What cannot be filed, now or ever."""

import errno
import logging
from pathlib import Path

import pytest

from dicom_listener.errors import SpoolError
from dicom_listener.series import series_key
from dicom_listener.spool.journal import burst, filer
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import FIRST_BYTE
from dicom_listener.spool.journal.lanes import Lanes, damaged_paths
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import SERIES, STUDY, instance, uid
from tests.unit.dicom_listener.journal_room import (
    JournalRoom,
    Naming,
    flip,
    front_of,
    is_free,
    lane_with_instances,
    refuse_patient_data,
)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), SpoolError("purged again"), KeyError("odd")]
)
def test_what_cannot_be_filed_now_is_kept_and_filed_later(
    room: JournalRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    naming = Naming(monkeypatch)
    naming.errors = [None, error, error, None]
    for number in (1, 2, 3):
        room.store(number)
    with caplog.at_level(logging.ERROR):
        room.journal.start()
        room.file_all()
    assert room.told_numbers() == [1, 2, 3]
    assert naming.n_calls == 5
    assert len(room.files()) == 3
    assert room.spool.journal.is_filed
    assert list((room.spool.root / ".incoming").iterdir()) == []
    assert len(caplog.records) == 1  # the same trouble is told once
    assert "wait in the journal" in caplog.text
    refuse_patient_data(caplog.text)


def test_it_is_tried_again_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burst, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(filer, "TROUBLE_SECONDS", 0.01)
    room = JournalRoom(tmp_path / "spool")
    Naming(monkeypatch).errors = [OSError(errno.EIO, "broken"), OSError(errno.ENOSPC, "full"), None]
    room.store(1)
    room.journal.start()
    wait_until(lambda: room.told_numbers() == [1], "it has its file", interval=0.001)
    assert len(room.files()) == 1


def test_one_that_cannot_be_filed_holds_up_no_other(room: JournalRoom, caplog: pytest.LogCaptureFixture) -> None:
    in_the_way = room.spool.root / series_key(STUDY, f"{SERIES}.2")
    in_the_way.write_bytes(b"where the folder of a series should be")
    room.store(1)
    room.store(2, series=f"{SERIES}.2")
    room.store(3)
    path = lane_with_instances(room)
    with caplog.at_level(logging.ERROR):
        room.journal.start()
        assert not room.try_to_file()
        assert room.told_numbers() == [1, 3]
        room.store(4)
        assert not room.try_to_file()
        assert room.told_numbers() == [1, 3, 4]  # one that comes later, too
    assert FIRST_BYTE < front_of(path).filed_to < path.stat().st_size  # 2 is looked for there after a crash
    assert front_of(path).filed_to < path.read_bytes().index(uid(2, f"{SERIES}.2").encode())
    in_the_way.unlink()
    room.file_all()
    assert room.told_numbers() == [1, 3, 4, 2]
    assert room.spool.journal.is_filed
    assert len(caplog.records) == 1
    refuse_patient_data(caplog.text)


def test_a_listener_that_cannot_be_told_is_told_again(room: JournalRoom) -> None:
    told: list[StoredInstance] = []

    def tell(stored: StoredInstance) -> None:
        told.append(stored)
        if len(told) == 1:
            raise RuntimeError("once")

    room.store(1, on_filed=tell)
    room.journal.start()
    room.file_all()
    assert [one.outcome for one in told] == [StoreOutcome.STORED, StoreOutcome.DUPLICATE]
    assert len(room.files()) == 1


@pytest.mark.parametrize("damaged", [1, 2, 3])
def test_a_damaged_instance_is_told_of_and_its_lane_kept(
    room: JournalRoom, caplog: pytest.LogCaptureFixture, damaged: int
) -> None:
    for number in (1, 2, 3):
        room.store(number)
    path, content = lane_with_instances(room), lane_with_instances(room).read_bytes()
    flip(path, content.index(uid(damaged).encode() + b"\0"))
    with caplog.at_level(logging.ERROR):
        room.journal.start()
        room.file_all()
        room.store(4)  # in another lane
        room.file_all()
    assert room.told_numbers() == [number for number in (1, 2, 3, 4) if number != damaged]
    assert len(room.files()) == 3
    assert path not in room.lanes
    assert [kept.name.startswith(f"damaged-{path.name}-") for kept in damaged_paths(room.folder)] == [True]
    assert len(caplog.records) == 1
    assert "cannot be read any more" in caplog.text
    refuse_patient_data(caplog.text)


def test_one_lane_that_cannot_be_marked_keeps_no_other(
    room: JournalRoom, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave = Lanes.leave
    failed: list[Lane] = []
    one, other = (room.journal.receive(instance(n)[0], room.told.append) for n in (1, 2))
    assert one is not None
    assert other is not None
    for number, incoming in ((1, one), (2, other)):  # each in a lane of its own
        incoming.write(instance(number)[1])
        assert incoming.commit() is None
    one.close()
    other.close()

    def fail_once(self: Lanes, lane: Lane) -> bool:
        if not failed:
            failed.append(lane)
            raise OSError(errno.EIO, "broken")
        return leave(self, lane)

    monkeypatch.setattr(Lanes, "leave", fail_once)
    with caplog.at_level(logging.ERROR):
        room.journal.start()
        room.file_all()
    assert room.told_numbers() == [1, 2]
    wait_until(lambda: room.spool.journal.is_filed, "both lanes are clean", interval=0.001)
    wait_until(lambda: all(is_free(path) for path in room.lanes), "nobody has a lane", interval=0.001)
