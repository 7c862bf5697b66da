"""However a connection cuts what it brings, each data set is stored as it was sent, and answered once."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_listener.association_report import Tally
from dicom_listener.receiving.accepted_context import AcceptedContext
from dicom_listener.receiving.plain_store import PlainStores, StorePeer
from dicom_listener.receiving.receive_buffer import BUFFER_BYTES, ReceiveBuffer
from dicom_listener.receiving.store_loop import LoopEnd, take_stores
from dicom_listener.spool.block_writer import BLOCK_BYTES
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance
from tests.survival import wire
from tests.survival.peer import command_elements

CONTEXT = AcceptedContext(wire.CT, wire.EXPLICIT)


class CutWire:
    """A connection that brings so many bytes at a time, over and over, and nothing now and then."""

    def __init__(self, content: bytes, cuts: Sequence[int]) -> None:
        self.buffer = ReceiveBuffer()
        self.answers: list[bytes] = []
        self.rooms = 0
        self.buffered = 0
        """Bytes that were received into the buffer, from where they have to be copied."""
        self._left = memoryview(content)
        self._cuts, self._turn = cuts, 0

    def fill(self, room: memoryview | None = None) -> int | None:
        self.rooms += room is not None
        return self.buffer.fill(self._receive, room)

    def _receive(self, views: Sequence[memoryview]) -> int:
        cut = self._cuts[self._turn % len(self._cuts)]
        self._turn += 1
        if cut == 0:
            raise BlockingIOError
        count = 0
        for view in views:
            fits = min(len(view), cut - count, len(self._left))
            view[:fits], self._left = self._left[:fits], self._left[fits:]
            count += fits
        self.buffered += fits
        return count

    def send(self, answer: bytes) -> None:
        self.answers.append(answer)


def take(content: bytes, cuts: Sequence[int], root: Path) -> tuple[CutWire, LoopEnd, list[StoredInstance]]:
    told: list[StoredInstance] = []
    connection = CutWire(content, cuts)
    stores = PlainStores(
        StoreService(Spool(root, high_watermark=1.1), told.append),
        StorePeer("A", "B", {1: CONTEXT}.get),
        Tally(0.0),
        maximum_pdu_bytes=2**20,
        maximum_instance_bytes=2**30,
    )
    end = take_stores(connection, stores, may_go_on=lambda: True, wait=lambda: None, on_progress=lambda: None)
    stores.close()
    return connection, end, told


sizes = st.one_of(st.integers(0, 3000), st.integers(BLOCK_BYTES - 9000, 2 * BLOCK_BYTES))
cuttings = st.lists(st.one_of(st.just(0), st.integers(1, 300), st.integers(1, 200_000)), min_size=1, max_size=8).filter(
    any
)


@settings(max_examples=60, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=3), st.integers(200, 140_000), cuttings)
def test_every_cutting_gives_the_same_files(lengths: list[int], fragment: int, cuts: list[int]) -> None:
    if max(cuts) < 300:
        cuts = [*cuts, 100_000]  # a byte at a time takes minutes
    uids = [f"1.2.826.5.{number}" for number in range(len(lengths))]
    pixels = [bytes(map(hash, range(251))) * (length // 251 + 1) for length in lengths]
    sent = {
        uid: wire.ct_data_set(uid, pixels=one[: length // 2 * 2])
        for uid, one, length in zip(uids, pixels, lengths, strict=True)
    }
    content = b"".join(wire.store_message(uid, data_set, fragment=fragment) for uid, data_set in sent.items())
    with tempfile.TemporaryDirectory() as folder:
        connection, end, told = take(content, cuts, Path(folder) / "spool")
        assert end is LoopEnd.CLOSED
        assert [command_elements(answer[12:]).get(0x0900) for answer in connection.answers] == [0] * len(uids)
        assert [one.instance.sop_instance_uid for one in told] == uids
        for one in told:
            data_set = sent[one.instance.sop_instance_uid]
            assert one.instance.path.read_bytes().endswith(data_set)
            assert one.instance.size_bytes == one.instance.path.stat().st_size
        assert list((Path(folder) / "spool" / ".incoming").iterdir()) == []


def test_large_fragments_go_past_the_buffer(tmp_path: Path) -> None:
    data_set = wire.ct_data_set("1.2.826.5.1", pixels=bytes(400_000))
    content = wire.store_message("1.2.826.5.1", data_set, fragment=130_000)
    connection, _, told = take(content, [2**20], tmp_path / "spool")
    assert connection.rooms > 0
    assert told[0].instance.path.read_bytes().endswith(data_set)


def test_of_full_pdus_only_the_first_bytes_and_the_headers_go_through_the_buffer(tmp_path: Path) -> None:
    data_set = wire.ct_data_set("1.2.826.5.1", pixels=bytes(map(hash, range(251))) * 4000)
    content = wire.store_message("1.2.826.5.1", data_set, fragment=131072 - 6)
    connection, _, told = take(content, [2**21], tmp_path / "spool")
    assert connection.buffered <= BUFFER_BYTES + 12 * (1 + len(data_set) // 131066)
    assert told[0].instance.path.read_bytes().endswith(data_set)


def test_what_follows_is_left_where_it_is(tmp_path: Path) -> None:
    content = wire.store_message("1.2.826.5.1", wire.ct_data_set("1.2.826.5.1")) + wire.echo(7)
    connection, end, told = take(content, [5000], tmp_path / "spool")
    assert (end, len(told)) == (LoopEnd.NOT_PLAIN, 1)
    assert bytes(connection.buffer.view) == wire.echo(7)
