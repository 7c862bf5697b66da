"""Ways in which a peer comes and goes, most of them bad manners."""

import random
import socket
import struct
from collections.abc import Callable, Mapping

from benchmarks.intake.wire import A_ASSOCIATE_AC, ABORT, RELEASE, Wire
from tests.peers.ports import LOOPBACK

ANSWER_TIMEOUT_S = 60.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a TCP reset."""


class NotAcceptedError(RuntimeError):
    """The listener did not accept the association."""


Visit = Callable[[int, Wire, random.Random], None]
"""Comes to a port on loopback and goes; raises NotAcceptedError or OSError when it was not served."""


def _connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=ANSWER_TIMEOUT_S)


def _associate(port: int, wire: Wire) -> socket.socket:
    connection = _connect(port)
    connection.sendall(wire.associate)
    answer = _read_pdu(connection)
    if answer[:1] != bytes([A_ASSOCIATE_AC]):
        connection.close()
        raise NotAcceptedError(f"the answer is a PDU of type {answer[:1].hex() or 'nothing'}")
    return connection


def _read_pdu(connection: socket.socket) -> bytes:
    head = _read(connection, 6)
    return head + _read(connection, int.from_bytes(head[2:6]))


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := connection.recv(count - len(data))):
        data += more
    return data


def _leave(connection: socket.socket, chance: random.Random) -> None:
    """Close, or reset, without a word."""
    if chance.random() < 0.5:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    connection.close()


def _released(port: int, wire: Wire, _chance: random.Random) -> None:
    with _associate(port, wire) as connection:
        connection.sendall(RELEASE)
        _read_pdu(connection)


def _stored_and_released(port: int, wire: Wire, _chance: random.Random) -> None:
    with _associate(port, wire) as connection:
        connection.sendall(wire.store)
        _read_pdu(connection)
        connection.sendall(RELEASE)
        _read_pdu(connection)


def _aborted(port: int, wire: Wire, _chance: random.Random) -> None:
    with _associate(port, wire) as connection:
        connection.sendall(ABORT)


def _aborted_in_a_data_set(port: int, wire: Wire, chance: random.Random) -> None:
    with _associate(port, wire) as connection:
        connection.sendall(wire.store[: chance.randrange(1, len(wire.store))])
        connection.sendall(ABORT)


def _dropped_in_the_request(port: int, wire: Wire, chance: random.Random) -> None:
    connection = _connect(port)
    connection.sendall(wire.associate[: chance.randrange(1, len(wire.associate))])
    _leave(connection, chance)


def _dropped_before_the_answer(port: int, wire: Wire, chance: random.Random) -> None:
    connection = _connect(port)
    connection.sendall(wire.associate)
    _leave(connection, chance)


def _dropped_after_the_accept(port: int, wire: Wire, chance: random.Random) -> None:
    _leave(_associate(port, wire), chance)


def _dropped_in_a_data_set(port: int, wire: Wire, chance: random.Random) -> None:
    connection = _associate(port, wire)
    connection.sendall(wire.store[: chance.randrange(1, len(wire.store))])
    _leave(connection, chance)


def _dropped_before_the_response(port: int, wire: Wire, chance: random.Random) -> None:
    connection = _associate(port, wire)
    connection.sendall(wire.store)
    _leave(connection, chance)


def _probe(port: int, _wire: Wire, chance: random.Random) -> None:
    _leave(_connect(port), chance)


def _probe_of_another_protocol(port: int, _wire: Wire, chance: random.Random) -> None:
    connection = _connect(port)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: probe\r\n\r\n")
    _leave(connection, chance)


ASSOCIATIONS: Mapping[str, Visit] = {
    "released": _released,
    "stored and released": _stored_and_released,
    "aborted": _aborted,
    "aborted in a data set": _aborted_in_a_data_set,
    "dropped in the A-ASSOCIATE-RQ": _dropped_in_the_request,
    "dropped before the answer": _dropped_before_the_answer,
    "dropped after the accept": _dropped_after_the_accept,
    "dropped in a data set": _dropped_in_a_data_set,
    "dropped before the C-STORE response": _dropped_before_the_response,
}
PROBES: Mapping[str, Visit] = {"TCP probe": _probe, "probe of another protocol": _probe_of_another_protocol}
EXPECT_AN_ACCEPT = set(ASSOCIATIONS) - {"dropped in the A-ASSOCIATE-RQ", "dropped before the answer"}
