"""A peer made of a bare socket, which can be honest and can be anything else; and an honest sender in a thread."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from tests.peers.ports import LOOPBACK
from tests.survival import wire


class PeerGoneError(ConnectionError):
    """The listener ended the association: by an A-ABORT, or by closing the connection."""


class Peer:
    """One connection to a listener on loopback."""

    def __init__(self, port: int, *, patience: float = 20.0, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.connect((LOOPBACK, port))
        except OSError:
            self.socket.close()
            raise
        self._messages = itertools.cycle(range(1, 30000))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, content: bytes) -> None:
        """Send bytes. Raises `PeerGoneError`; TimeoutError when the listener does not take them."""
        try:
            self.socket.sendall(content)
        except TimeoutError:
            raise
        except OSError as error:
            raise PeerGoneError("the connection was closed") from error

    def half_close(self) -> None:
        """Send nothing more, but read on."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise PeerGoneError("the connection was closed") from error

    def read_pdu(self) -> tuple[int, bytes]:
        """Read a PDU: its type and its body. Raises `PeerGoneError` at the end of the connection."""
        kind, _, length = struct.unpack(">BBL", self._read(6))
        return kind, self._read(length)

    def read_to_end(self) -> None:
        """Read until the listener closes. Raises TimeoutError when it does not."""
        try:
            while True:
                self.read_pdu()
        except PeerGoneError:
            return

    def associate(self, request: bytes | None = None) -> None:
        """Open an association. Raises `PeerGoneError` when it is not accepted."""
        self.send(wire.associate_rq() if request is None else request)
        kind, _ = self.read_pdu()
        if kind != wire.A_ASSOCIATE_AC:
            raise PeerGoneError(f"the association was not accepted: PDU of type {kind}")

    def store(self, uid: str, data_set: bytes, *, context: int = 1, fragment: int = 16000) -> int:
        """Send a C-STORE request and return the status of its response."""
        message = next(self._messages)
        self.send(wire.store_message(uid, data_set, context=context, message=message, fragment=fragment))
        return self.read_status(message)

    def echo(self, message: int = 0x7FFF) -> int:
        """Send a C-ECHO request and return the status of its response."""
        self.send(wire.echo(message))
        return self.read_status(message)

    def read_status(self, message: int) -> int:
        """Read until the response to a message, and return its status. Raises `PeerGoneError` when none can come."""
        while True:
            kind, body = self.read_pdu()
            if kind != wire.P_DATA_TF:
                raise PeerGoneError(f"the association ended: PDU of type {kind}")
            elements = command_elements(body[6:])
            if elements.get(0x0120) == message:
                return elements.get(0x0900, -1)

    def release(self) -> None:
        """Release the association and see the connection closed."""
        self.send(wire.RELEASE_RQ)
        self.read_to_end()

    def _read(self, size: int) -> bytes:
        content = bytearray()
        while len(content) < size:
            try:
                piece = self.socket.recv(size - len(content))
            except TimeoutError:
                raise
            except OSError as error:
                raise PeerGoneError("the connection was reset") from error
            if not piece:
                raise PeerGoneError("the connection was closed")
            content += piece
        return bytes(content)


@contextmanager
def associated(port: int, *, patience: float = 20.0) -> Iterator[Peer]:
    """Give a peer with an open association, and close its connection at the end."""
    with Peer(port, patience=patience) as peer:
        peer.associate()
        yield peer


def command_elements(command: bytes) -> dict[int, int]:
    """Return the elements of a command set that are US, by their numbers."""
    found, at = {}, 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHL", command, at)
        if length == 2:
            found[number] = int.from_bytes(command[at + 8 : at + 10], "little")
        at += 8 + length
    return found


class HonestSender:
    """Sends whole instances without end, on one association after the other; each must be stored."""

    def __init__(self, port: int, *, pause: float = 0.02, per_association: int = 25) -> None:
        self.port, self.pause, self.per_association = port, pause, per_association
        self.acknowledged: dict[str, bytes] = {}
        """Data sets by SOP Instance UID."""
        self.failures: list[str] = []
        self.slowest_seconds = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="honest-sender")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        numbers = itertools.count(1)
        while not self._stop.is_set():
            try:
                with associated(self.port, patience=30) as peer:
                    for number in itertools.islice(numbers, self.per_association):
                        self._store(peer, f"1.2.826.77.{number}")
                        if self._stop.wait(self.pause):
                            break
                    peer.release()
            except OSError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                self._stop.wait(0.5)

    def _store(self, peer: Peer, uid: str) -> None:
        data_set = wire.ct_data_set(uid, study="1.2.826.77", series=f"1.2.826.77.{self.port}")
        began = time.monotonic()
        status = peer.store(uid, data_set)
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
        if status != 0:
            self.failures.append(f"status {status:04X}")
        else:
            self.acknowledged[uid] = data_set
