"""What an outsider would try beyond broken bytes: sizes, depths and numbers."""

import itertools
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.survival import wire
from tests.survival.listener import INTAKES, AttackedListener, attacked, missing_ones, wait_until_filed
from tests.survival.mutated_data_set import deflated
from tests.survival.peer import HonestSender, Peer, PeerGoneError, associated

pytestmark = pytest.mark.slow

GROWTH_LIMIT = 100_000_000
"""How much more memory an attack may cost at its peak, bytes."""
CANNOT_UNDERSTAND, DOES_NOT_MATCH = 0xC000, 0xA900


@pytest.fixture(scope="module", params=INTAKES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedListener]:
    # long enough for what the listener itself has to do on a busy machine
    with attacked(tmp_path_factory.mktemp("outsider"), request.param, listener__idle_seconds=6.0) as listener:
        with associated(listener.port) as peer:  # what is loaded for the first instance is no growth
            assert peer.store("1.2.3.4.5", wire.ct_data_set("1.2.3.4.5")) == 0
            peer.release()
        yield listener


@pytest.fixture
def listener(running: AttackedListener) -> Iterator[AttackedListener]:
    """A listener that must be sound, small and useful to others after each attack."""
    before = running.memory_bytes()
    running.forget_peak()
    with HonestSender(running.port, pause=0.05) as honest:
        yield running
    assert honest.failures == []
    assert honest.acknowledged
    assert missing_ones(running.spool_folder, honest.acknowledged) == []
    running.assert_sound()
    assert running.memory_bytes("VmHWM") - before < GROWTH_LIMIT


def test_a_deflate_bomb_is_not_inflated(listener: AttackedListener) -> None:
    bomb = deflated(wire.element(0x00080015, b"UN", bytes(1 << 20)) * 500)
    inside = deflated(wire.ct_data_set("1.2.4.1", pixels=bytes(64)) + bytes(400_000_000))
    with associated(listener.port, patience=60) as peer:
        assert peer.store("1.2.4.0", bomb, context=wire.CONTEXT_OF[wire.DEFLATED]) in {
            CANNOT_UNDERSTAND, DOES_NOT_MATCH,
        }  # fmt: skip
        # its identifiers come first: it is kept as it was sent, and never inflated whole
        assert peer.store("1.2.4.1", inside, context=wire.CONTEXT_OF[wire.DEFLATED]) == 0


def test_what_a_library_warns_of_is_not_printed_for_it_quotes_values(listener: AttackedListener) -> None:
    """A character set that is a name; twice a data set that only pydicom can read."""
    not_for_the_quick_look = wire.element(0x00080006, b"UN", b"", length=0xFFFFFFFF) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    with associated(listener.port) as peer:
        for syntax, behind in ((wire.BIG_ENDIAN, b""), (wire.EXPLICIT, not_for_the_quick_look)):
            uid = f"1.2.14.{len(behind)}"
            character_set = wire.element(0x00080005, b"CS", (wire.PATIENT_NAME + " ").encode(), syntax=syntax)
            data_set = character_set + behind + wire.ct_data_set(uid, syntax=syntax)
            assert peer.store(uid, data_set, context=wire.CONTEXT_OF[syntax]) == 0
        peer.release()


def test_sequences_in_sequences(listener: AttackedListener) -> None:
    for depth in (100, 1000, 10_000):
        _nest(listener, depth)


def _nest(listener: AttackedListener, depth: int) -> None:
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    end = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    uid = f"1.2.5.{depth}"
    with associated(listener.port, patience=60) as peer:
        status = peer.store(uid, start + end + wire.ct_data_set(uid))
        assert status in {0, CANNOT_UNDERSTAND}
        assert peer.store(f"{uid}.1", start + wire.ct_data_set(f"{uid}.1")) == CANNOT_UNDERSTAND
        assert peer.echo() == 0


def test_a_sequence_of_millions_of_items(listener: AttackedListener) -> None:
    """A few megabytes that would be gigabytes and a minute, were an object made of each."""
    sequence = b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff"
    with associated(listener.port, patience=20) as peer:
        for items, uid in ((b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000, "1.2.13.1"), (b"", "1.2.13.2")):
            start = sequence + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
            assert peer.store(uid, start + wire.ct_data_set(uid)) == (CANNOT_UNDERSTAND if items else 0)


def test_an_identifier_of_many_megabytes(listener: AttackedListener) -> None:
    start = wire.element(0x00080016, b"UI", wire.text_value(wire.CT))
    with associated(listener.port, patience=20) as peer:
        for vr in (b"OB", b"UN", b"SQ"):
            data_set = start + wire.element(0x00080018, vr, bytes(30_000_000)) + wire.ct_data_set("1.2.14")
            assert peer.store("1.2.14", data_set) in {CANNOT_UNDERSTAND, DOES_NOT_MATCH}
        assert peer.echo() == 0


def test_a_data_set_without_bytes(listener: AttackedListener) -> None:
    with associated(listener.port) as peer:
        for context in (1, 3, 5, 7, 9):
            assert peer.store("1.2.6.1", b"", context=context) in {CANNOT_UNDERSTAND, DOES_NOT_MATCH}
        assert peer.echo() == 0


def test_identifiers_behind_large_private_elements(listener: AttackedListener) -> None:
    uid = "1.2.7.1"
    whole = wire.ct_data_set(uid)
    start = whole.index(struct.pack("<HH", 0x0020, 0x000D))
    private = wire.element(0x00190010, b"LO", b"OUTSIDER") + wire.element(0x00191001, b"OB", bytes(20_000_000)) * 3
    with associated(listener.port, patience=60) as peer:
        assert peer.store(uid, whole[:start] + private + whole[start:], fragment=100_000) == 0


def test_an_element_that_announces_more_than_there_is(listener: AttackedListener) -> None:
    with associated(listener.port, patience=60) as peer:
        for number, length in enumerate((0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 30)):
            uid = f"1.2.8.{number}"
            liar = wire.element(0x00080005, b"UN", b"", length=length) + wire.ct_data_set(uid)
            assert peer.store(uid, liar) in {CANNOT_UNDERSTAND, DOES_NOT_MATCH}
        assert peer.echo() == 0


TITLES = (b"A" * 65_000, b"\xff" * 16, b"\0" * 16, b"A\nforged: line", b"", b"\x1b[2J")


def test_titles_that_are_none(listener: AttackedListener) -> None:
    for title in TITLES:
        for request in (wire.associate_rq(calling=title), wire.associate_rq(called=title)):
            with Peer(listener.port) as peer, suppress(PeerGoneError):
                peer.associate(request)
                assert peer.store("1.2.9.1", wire.ct_data_set("1.2.9.1")) == 0
                peer.release()
    log = listener.log()
    assert "\nforged" not in log
    assert "\x1b" not in log
    assert "A" * 100 not in log


def test_hundreds_of_series_of_one_instance(listener: AttackedListener) -> None:
    descriptors = listener.descriptors()
    acknowledged: dict[str, bytes] = {}
    with associated(listener.port, patience=60) as peer:
        for number in range(500):
            uid = f"1.2.10.{number}"
            acknowledged[uid] = wire.ct_data_set(uid, series=f"1.2.10.{number}.1")
            assert peer.store(uid, acknowledged[uid]) == 0
    assert missing_ones(listener.spool_folder, acknowledged) == []
    listener.wait_for_rest(100, descriptors + 20)


def test_one_uid_with_hundreds_of_contents(listener: AttackedListener) -> None:
    """Each is kept, as none can be told to be the wrong one; but memory does not grow with them."""
    uid = "1.2.11.1"
    with associated(listener.port, patience=60) as peer:
        statuses = {peer.store(uid, wire.ct_data_set(uid, pixels=struct.pack("<L", n) * 16)) for n in range(500)}
    assert statuses == {0}
    wait_until_filed(listener.spool_folder)
    (folder,) = listener.spool_folder.glob("*/conflicts")
    assert len(list(folder.iterdir())) == 499


def test_command_fragments_without_end(listener: AttackedListener) -> None:
    """300 MB of a command set that never ends: the association ends before memory does."""
    piece = wire.p_data(wire.pdv(1, wire.COMMAND, bytes(100_000)))
    with associated(listener.port, patience=30) as peer, pytest.raises(PeerGoneError):
        for _ in range(3000):
            peer.send(piece)
        peer.read_status(1)


def test_a_data_set_that_never_ends_is_no_memory(listener: AttackedListener) -> None:
    """It goes to the disk, where the watermark ends it; and it is gone when its sender is."""
    piece = wire.p_data(wire.pdv(1, wire.DATA, bytes(100_000)))
    with associated(listener.port, patience=30) as peer:
        peer.send(wire.p_data(wire.pdv(1, wire.LAST_COMMAND, wire.store_command("1.2.12.1"))))
        for _ in range(4000):
            peer.send(piece)
        peer.send(wire.ABORT)
        peer.read_to_end()


def test_data_without_a_command_is_not_kept(listener: AttackedListener) -> None:
    piece = wire.p_data(wire.pdv(1, wire.DATA, bytes(100_000)))
    with associated(listener.port, patience=30) as peer, pytest.raises(PeerGoneError):
        for _ in range(3000):
            peer.send(piece)
        peer.read_status(1)


def test_lengths_that_are_lies(listener: AttackedListener) -> None:
    """The rest never comes, or comes without end: neither is kept in memory."""
    for kind, length in itertools.product(range(1, 9), (0x7FFFFFFF, 0xFFFFFFFF)):
        with associated(listener.port, patience=20) as peer:
            peer.send(wire.pdu(kind, b"", length))
            with suppress(PeerGoneError):
                for _ in range(3000):
                    peer.send(bytes(100_000))
            peer.read_to_end()


def test_requests_without_reading_the_responses(listener: AttackedListener) -> None:
    """A peer that asks and asks and never reads: it is cut off, and no answer is kept for it without end."""
    with Peer(listener.port, patience=30, receive_buffer=4096) as peer:
        peer.associate()
        with pytest.raises((PeerGoneError, TimeoutError)):
            for _ in itertools.repeat(None, 200_000):
                peer.send(wire.echo(1) * 50)
