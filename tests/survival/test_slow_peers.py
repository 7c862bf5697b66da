"""Peers that are slow, silent, or never end: limits apply, and honest peers are served."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.survival import wire
from tests.survival.listener import ARTIM_SECONDS, IDLE_SECONDS, INTAKES, AttackedListener, attacked
from tests.survival.peer import HonestSender, Peer, PeerGoneError, associated

pytestmark = pytest.mark.slow

PATIENCE = 40.0
"""Above every timer, on a busy machine; that the listener ends something sooner is what is waited for."""


@pytest.fixture(scope="module", params=INTAKES)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedListener]:
    with attacked(tmp_path_factory.mktemp("slow"), request.param) as listener:
        yield listener


@pytest.fixture
def listener(running: AttackedListener) -> Iterator[AttackedListener]:
    """A listener that must be at rest again, and have served others, after each attack."""
    threads, descriptors = running.threads(), running.descriptors()
    with HonestSender(running.port, pause=0.05) as honest:
        yield running
    assert honest.failures == []
    assert honest.acknowledged
    running.wait_for_rest(threads + 2, descriptors + 4)
    running.assert_sound()


def _dribble(peer: Peer, content: bytes, pause: float) -> int:
    """Send byte by byte until the listener has enough of it; how many were taken."""
    peer.socket.settimeout(pause)
    for count, byte in enumerate(content):
        try:
            peer.send(bytes([byte]))
            peer.read_pdu()  # nothing is to be read before the end: this is the pause
        except PeerGoneError:
            return count
        except TimeoutError:
            continue
    return len(content)


def test_a_request_that_dribbles(listener: AttackedListener) -> None:
    """Each byte comes in time, the whole never does."""
    began = time.monotonic()
    with Peer(listener.port, patience=PATIENCE) as peer:
        request = wire.associate_rq()
        assert _dribble(peer, request, pause=0.2) < len(request)
    assert time.monotonic() - began < 0.2 * len(wire.associate_rq())


@pytest.mark.parametrize("start", [0, 1], ids=["command", "data set"])
def test_a_message_that_dribbles(listener: AttackedListener, start: int) -> None:
    message = wire.store_message("1.2.30.1", wire.ct_data_set("1.2.30.1", pixels=bytes(2000)))
    command = 6 + int.from_bytes(message[2:6], "big")
    with associated(listener.port, patience=PATIENCE) as peer:
        at = command + 20 if start else 0
        peer.send(message[:at])
        assert _dribble(peer, message[at:], pause=0.2) < len(message) - at
    incoming = listener.spool_folder / ".incoming"
    wait_until(lambda: sum(one.stat().st_size > 4096 for one in incoming.iterdir()) == 0, "nothing half is kept")


def test_a_peer_that_never_releases(listener: AttackedListener) -> None:
    with associated(listener.port, patience=PATIENCE) as peer:
        assert peer.store("1.2.31.1", wire.ct_data_set("1.2.31.1")) == 0
        peer.read_to_end()


def test_a_peer_that_does_not_close_after_its_release(listener: AttackedListener) -> None:
    with associated(listener.port, patience=PATIENCE) as peer:
        peer.send(wire.RELEASE_RQ)
        kind, _ = peer.read_pdu()
        assert kind == wire.A_RELEASE_RP
        peer.read_to_end()


def test_a_peer_that_was_rejected_and_stays(listener: AttackedListener) -> None:
    unknown = wire.associate_rq(
        wire.item(0x10, b"1.2.3"), wire.context_item(*wire.CONTEXTS[0]), wire.user_information()
    )
    with Peer(listener.port, patience=PATIENCE) as peer, suppress(PeerGoneError):
        peer.send(unknown)
        kind, _ = peer.read_pdu()
        assert kind == wire.A_ASSOCIATE_RJ
        peer.read_to_end()


def test_silent_connections_end_by_the_artim_timer(listener: AttackedListener) -> None:
    with Peer(listener.port, patience=PATIENCE) as silent, Peer(listener.port, patience=PATIENCE) as half:
        half.send(wire.associate_rq()[:40])
        silent.read_to_end()
        half.read_to_end()


def test_a_peer_that_never_reads_its_responses(listener: AttackedListener) -> None:
    """Its window is closed after a few; the listener must neither wait for ever nor gather what it cannot send."""
    before = listener.memory_bytes()
    with Peer(listener.port, patience=PATIENCE, receive_buffer=4096) as peer:
        peer.associate()
        with pytest.raises((PeerGoneError, TimeoutError)):
            for number in range(100_000):
                peer.send(wire.echo(number & 0x7FFF) * 100)
    assert listener.memory_bytes() - before < 50_000_000


def test_a_thousand_idle_connections(running: AttackedListener) -> None:
    """More than the limit are closed at once; those within it at the ARTIM time; then others get in again."""
    threads, descriptors, memory = running.threads(), running.descriptors(), running.memory_bytes()
    with associated(running.port, patience=PATIENCE) as before:
        crowd: list[socket.socket] = []
        try:
            for _ in range(20):
                crowd += [socket.create_connection((LOOPBACK, running.port)) for _ in range(50)]
                assert before.echo() == 0  # who was there goes on
            assert running.threads() < threads + 400
            assert running.memory_bytes() - memory < 100_000_000
            assert before.store("1.2.32.1", wire.ct_data_set("1.2.32.1")) == 0
            wait_until(lambda: _is_let_in(running.port), "others get in again", timeout=PATIENCE)
        finally:
            for one in crowd:
                one.close()
    running.wait_for_rest(threads + 2, descriptors + 4)
    running.assert_sound()


def _is_let_in(port: int) -> bool:
    try:
        with associated(port, patience=5) as peer:
            return peer.echo() == 0
    except (PeerGoneError, OSError):
        return False


def test_timers_are_those_of_the_settings(listener: AttackedListener) -> None:
    """Not sooner than they are: a scanner may take its time between two instances."""
    with associated(listener.port, patience=PATIENCE) as peer:
        began = time.monotonic()
        peer.read_to_end()
        assert time.monotonic() - began > IDLE_SECONDS * 0.9
    with Peer(listener.port, patience=PATIENCE) as silent:
        began = time.monotonic()
        silent.read_to_end()
        assert time.monotonic() - began > ARTIM_SECONDS * 0.9
