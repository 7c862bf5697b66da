import errno
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_listener.errors import SpoolError, SpoolFullError
from dicom_listener.spool.block_writer import BLOCK_BYTES, SLACK_BYTES, Blocks
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.journal.journal import Journal
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_draft import LaneDraft
from dicom_listener.spool.journal.lane_format import FIRST_BYTE, Trailer
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome, StoreRequest
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import data_set, encode, instance
from tests.unit.dicom_listener.journal_room import LANE_BYTES, MIB, JournalRoom, front_of, part10

PIECES = st.lists(
    st.tuples(
        st.sampled_from(["append", "room"]),
        st.one_of(
            st.integers(0, 5000),
            st.sampled_from([1, 4096, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, BLOCK_BYTES + SLACK_BYTES]),
        ),
    ),
    max_size=6,
)


@pytest.fixture(scope="module")
def lane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    path = tmp_path_factory.mktemp("lanes") / "lane-000"
    Lane.make(path, 4 * MIB)
    lane = Lane.claim(path)
    assert lane is not None
    yield lane
    lane.close()


def _draft(lane: Lane, spool: Spool | None = None, given_back: list[Lane] | None = None) -> LaneDraft:
    def no_file() -> Any:
        raise SpoolError("no file is wanted here")

    return LaneDraft(
        lane,
        Blocks(),
        make_file=no_file if spool is None else spool.draft,
        give_back=lambda lane: None if given_back is None else given_back.append(lane),
        retire=lambda _lane: None,
        errors=disk_errors_in_words(Path("spool")),
    )


def _feed(draft: LaneDraft, pieces: list[tuple[str, int]]) -> bytes:
    """Hand over pieces as `append` and `room` take them; returns what came."""
    content = b""
    for way, n_bytes in pieces:
        data = os.urandom(n_bytes)
        if way == "append":
            draft.append(memoryview(data))
        else:
            place = draft.room(max(n_bytes, 1))
            data = data[: len(place)]
            place[: len(data)] = data
            draft.advance(len(data))
        content += data
    return content


@settings(max_examples=60, deadline=None)
@given(PIECES)
def test_pieces_of_any_length_give_the_bytes_of_the_file(lane: Lane, pieces: list[tuple[str, int]]) -> None:
    lane.begin()
    sealed: list[Trailer] = []
    for _ in range(2):  # one behind the other
        draft = _draft(lane)
        begin = lane.end
        content = _feed(draft, pieces)
        draft.complete(7)
        with draft.read_back() as file:
            assert file.read() == content
        trailer = draft.seal()
        sealed.append(trailer)
        draft.close()
        assert (trailer.start, trailer.size, trailer.data_set_offset) == (begin, len(content), 7)
        assert lane.read_at(begin, len(content)) == content
        assert lane.end == trailer.end
    assert list(lane.unfiled()) == sealed


@settings(max_examples=30, deadline=None)
@given(PIECES, st.integers(1, 400_000))
def test_what_is_too_long_for_the_lane_goes_to_a_file(lane: Lane, pieces: list[tuple[str, int]], room: int) -> None:
    lane.begin()
    lane.end = (lane.capacity - room) // 4096 * 4096
    given_back: list[Lane] = []
    with TemporaryDirectory() as folder:
        draft = _draft(lane, Spool(Path(folder), high_watermark=1.1), given_back)
        draft.append(memoryview(b"\0" * 8))  # the length of the data set, which is filled in
        content, left = bytes(8) + _feed(draft, pieces), lane.room
        draft.complete(8)
        assert (draft.file is not None) == (len(content) > left)
        with draft.read_back() as file:
            kept = file.read()
        draft.close()
        draft.close()
        assert list((Path(folder) / ".incoming").iterdir()) == []
    assert kept[8:] == content[8:]
    assert kept[:8] == (bytes(8) if len(content) <= left else (len(content) - 8).to_bytes(8, "little"))
    assert given_back == [lane]


def test_an_instance_that_is_too_long_is_placed_at_once(room: JournalRoom) -> None:
    pixels = os.urandom(LANE_BYTES)
    request, data_set = instance(1, pixels=pixels)
    incoming = room.journal.receive(request, room.told.append)
    assert incoming is not None
    with incoming:
        for start in range(0, len(data_set), 99_999):
            incoming.write(data_set[start : start + 99_999])
        stored = incoming.commit()
    assert stored is not None
    assert stored.outcome is StoreOutcome.STORED
    assert stored.instance.path.read_bytes() == part10(1, pixels)
    assert list((room.spool.root / ".incoming").iterdir()) == []
    assert room.told == []


def test_an_instance_fills_a_lane_to_its_last_block(room: JournalRoom) -> None:
    empty = len(part10(1, b""))
    largest = LANE_BYTES - FIRST_BYTE - 4096
    room.store(1, bytes(largest - empty))
    request, data_set = instance(2, pixels=bytes(largest + 2 - empty))  # values are of even length
    incoming = room.journal.receive(request, room.told.append)
    assert incoming is not None
    with incoming:
        incoming.write(data_set)
        assert incoming.commit() is not None
    assert room.lanes[0].stat().st_size == room.lanes[1].stat().st_size == LANE_BYTES
    room.journal.start()
    room.file_all()
    assert sorted(path.stat().st_size for path in room.files()) == [largest, largest + 2]


def test_what_breaks_off_leaves_the_end_of_the_lane_where_it_was(room: JournalRoom) -> None:
    room.store(1)
    room.break_off(2, os.urandom(MIB))
    room.store(3, b"ab" * 100_000)
    room.journal.start()
    room.file_all()
    assert [path.read_bytes() for path in room.files()] == [
        stored.instance.path.read_bytes() for stored in sorted(room.told, key=lambda one: one.instance.path)
    ]
    assert sorted(path.read_bytes() for path in room.files()) == sorted([part10(1), part10(3, b"ab" * 100_000)])
    assert sum(1 for path in room.lanes if front_of(path).sequence > 0) == 1  # all in one lane


def test_identifiers_behind_the_first_bytes_are_found_by_reading_back(room: JournalRoom) -> None:
    dataset = data_set(1)
    dataset.add_new(0x00080005, "CS", "ISO_IR 100")
    dataset.add_new(0x00091010, "OB", bytes(600_000))  # before Study and Series Instance UID
    dataset.add_new(0x00090010, "LO", "SOMEBODY")
    request, _ = instance(1)
    incoming = room.journal.receive(request, room.told.append)
    assert incoming is not None
    with incoming:
        incoming.write(encode(dataset))
        assert incoming.commit() is None
    room.journal.start()
    room.file_all()
    assert [path.read_bytes()[-600_000:] == encode(dataset)[-600_000:] for path in room.files()] == [True]


class _Failing:
    """A system call that fails, once, for whoever writes to a lane's own descriptor."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
        self.original, self.number, self.n_left = getattr(os, name), number, 0
        monkeypatch.setattr(os, name, self)

    def __call__(self, *arguments: Any) -> Any:
        if self.n_left:
            self.n_left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return self.original(*arguments)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("n_pixels", [8, 300_000])
def test_a_disk_that_fails_acknowledges_nothing_and_another_lane_is_used(
    room: JournalRoom, monkeypatch: pytest.MonkeyPatch, number: int, call: str, n_pixels: int
) -> None:
    room.store(1)
    failing = _Failing(monkeypatch, call, number)
    before = [front_of(path).sequence for path in room.lanes]
    request, data_set = instance(2, pixels=bytes(n_pixels))
    incoming = room.journal.receive(request, room.told.append)
    assert incoming is not None
    failing.n_left = 1
    with incoming, pytest.raises(SpoolError) as caught:
        incoming.write(data_set)
        incoming.commit()
    assert type(caught.value) is (SpoolFullError if number == errno.ENOSPC else SpoolError)
    room.store(3)  # in the other lane
    assert [front_of(path).sequence - was for path, was in zip(room.lanes, before, strict=True)].count(1) == 1
    room.journal.start()
    room.file_all()
    assert sorted(path.read_bytes() for path in room.files()) == sorted([part10(1), part10(3)])
    assert room.spool.journal.is_filed


def test_a_lane_at_which_the_disk_failed_is_begun_again_later(
    room: JournalRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.journal.start()
    room.lanes[1].unlink()
    failing = _Failing(monkeypatch, "fdatasync", errno.EIO)
    incoming = room.journal.receive(instance(1)[0], room.told.append)
    assert incoming is not None
    failing.n_left = 1
    with incoming, pytest.raises(SpoolError):
        incoming.write(instance(1)[1])
        incoming.commit()
    room.file_all()
    assert room.journal.receive(instance(1)[0], room.told.append) is None
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    room.store(1)


def test_a_request_that_cannot_be_written_down_gives_its_lane_back(room: JournalRoom) -> None:
    monstrous = StoreRequest("1.2", "1" * 70_000, "1.2.840.10008.1.2.1", "PACS")
    for _ in range(3):  # more than there are lanes
        with pytest.raises(Exception, match="format"):
            room.journal.receive(monstrous, room.told.append)
    room.store(1)


def test_threads_share_the_lanes(room: JournalRoom) -> None:
    """Each lane is written to by one at a time; who finds none goes another way."""
    room.journal.start()
    stored: list[StoredInstance] = []

    def send(first: int, journal: Journal) -> None:
        for number in range(first, first + 20):
            request, data_set = instance(number)
            incoming = journal.receive(request, room.told.append)
            if incoming is None:
                stored.append(room.spool.store(request, data_set))
                continue
            with incoming:
                incoming.write(data_set)
                incoming.commit()

    threads = [threading.Thread(target=send, args=(first, room.journal)) for first in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    room.file_all()
    assert len(room.told) + len(stored) == len(room.files()) == 60
    assert sorted(path.read_bytes() for path in room.files()) == sorted(
        part10(number) for first in (100, 200, 300) for number in range(first, first + 20)
    )
    wait_until(lambda: room.spool.journal.is_filed, "the lanes are clean")


def test_what_is_read_back_is_the_whole_file(lane: Lane) -> None:
    lane.begin()
    draft = _draft(lane)
    content = os.urandom(BLOCK_BYTES + 10)
    draft.append(memoryview(content))
    file = draft.read_back()
    assert isinstance(file, io.BytesIO)
    assert file.read() == content
    draft.close()
