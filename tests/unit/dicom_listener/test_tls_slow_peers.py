"""Peers that shake hands for TLS and then dribble or stop within a record: timers end them, and others are served."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.waiting import wait_until
from tests.survival import wire
from tests.unit.dicom_listener.instances import data_set
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener, send, threads
from tests.unit.dicom_listener.tls_room import TlsRoom, associate, tls_port

NEVER = 600.0
"""Of the timer that is not to end a peer."""


class RecordPeer:
    """A peer that has shaken hands, and can send less than a whole TLS record."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                self._incoming.write(self.socket.recv(65536))
        self.socket.sendall(self._outgoing.read())

    def record(self, content: bytes) -> bytes:
        """Encrypt; it is not sent."""
        self._tls.write(content)
        return self._outgoing.read()

    def has_ended(self) -> bool:
        """Whether the listener has closed the connection; what it sent before is skipped."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(65536):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        else:
            return True
        finally:
            self.socket.settimeout(PATIENCE)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def room(listeners: Callable[..., Listener], authority: Authority) -> TlsRoom:
    return TlsRoom(listeners, authority)


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def drafts(listener: Listener) -> list[Path]:
    return list((listener.spool.root / ".incoming").iterdir())


@contextmanager
def slow_peer(room: TlsRoom, listener: Listener) -> Iterator[RecordPeer]:
    """A peer that must have been ended within the block, and leaves nothing."""
    first = associate(listener, room.client(room.sender))  # what is made once is made
    assert send(first, data_set(1)).Status == 0x0000
    first.release()
    wait_until(lambda: listener.scp.connections().open == 0, "the first association is over")
    threads_before, descriptors_before = threads(), descriptors()
    with socket.create_connection((LOOPBACK, tls_port(listener))) as connection:
        connection.settimeout(PATIENCE)
        peer = RecordPeer(connection, room.client(room.sender))
        yield peer
        assert peer.has_ended()
    wait_until(lambda: listener.scp.connections().open == 0, "no connection is left")
    for thread in threads() - threads_before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert drafts(listener) == []
    wait_until(lambda: descriptors() <= descriptors_before, "no descriptor is left")


def serve_others_until_it_ends(room: TlsRoom, listener: Listener, peer: RecordPeer, go_on: Callable[[], None]) -> None:
    """Send instances on another association, and `go_on` after each, until the peer was ended."""
    others = associate(listener, room.client(room.sender))
    served, began = 0, time.monotonic()
    while not peer.has_ended():
        assert time.monotonic() - began < PATIENCE
        assert send(others, data_set(2 + served % 2)).Status == 0x0000
        served += 1
        go_on()
    assert served > 1  # one alone may have waited for the end
    others.release()


def test_half_a_record_in_the_middle_of_a_message_is_cut_after_the_idle_time(room: TlsRoom) -> None:
    listener = room.listen(idle_seconds=1.0, first_pdu_seconds=2.0)
    message = wire.store_message("1.2.3", wire.ct_data_set("1.2.3", pixels=bytes(5000)), fragment=1000)
    with slow_peer(room, listener) as peer:
        peer.socket.sendall(peer.record(wire.associate_rq()))
        assert peer.socket.recv(65536)
        peer.socket.sendall(peer.record(message[:3000]))
        wait_until(lambda: drafts(listener) != [], "the instance has begun")
        rest = peer.record(message[3000:])
        peer.socket.sendall(rest[: len(rest) // 2])
        serve_others_until_it_ends(room, listener, peer, go_on=lambda: None)


def test_a_request_that_dribbles_within_a_record_is_cut_after_the_artim_time(room: TlsRoom) -> None:
    listener = room.listen(idle_seconds=NEVER, first_pdu_seconds=2.0)
    with slow_peer(room, listener) as peer:
        record = peer.record(wire.associate_rq() + bytes(10_000))  # more than is sent in that time
        left = iter(record)
        taken = 0

        def one_byte_more() -> None:
            nonlocal taken
            byte = next(left, None)
            assert byte is not None, "all of it was taken"
            with suppress(OSError):  # ended meanwhile
                peer.socket.sendall(bytes([byte]))
                taken += 1

        serve_others_until_it_ends(room, listener, peer, go_on=one_byte_more)
    assert 0 < taken < len(record)
