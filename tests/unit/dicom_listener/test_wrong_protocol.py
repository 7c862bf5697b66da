"""What the log says where TLS or HTTP is spoken to the port for plain DICOM."""

import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.network.wrong_protocol import FIRST_BYTES, SeldomTold, WrongProtocol, recognise
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="segwatch").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("first", "spoken"),
    [
        (client_hello(), WrongProtocol.TLS),
        (b"GET / HTTP/1.1\r\n", WrongProtocol.HTTP),
        (b"POST /studies HTTP/1.1\r\n", WrongProtocol.HTTP),
        (b"OPTIONS * HTTP/1.1\r\n", WrongProtocol.HTTP),
        (b"PRI * HTTP/2.0\r\n", WrongProtocol.HTTP),
        (b"\x01\0\0\0\x01\0", None),  # an A-ASSOCIATE-RQ
        (b"\x16\x03\x01", None),  # too little of it to be sure
        (b"\x16\x03\x01\0\x05\x02", None),  # a handshake that no client begins with
        (b"GETTING", None),
        (b"SSH-2.0-", None),
        (b"", None),
    ],
)
def test_it_is_recognised_by_its_first_bytes(first: bytes, spoken: WrongProtocol | None) -> None:
    assert recognise(first) is spoken
    assert recognise(first[:FIRST_BYTES]) is spoken


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "fe80::1"])


@given(st.lists(st.tuples(ADDRESSES, st.floats(0, 40)), max_size=50))
def test_an_address_is_told_of_once_a_minute(events: list[tuple[str, float]]) -> None:
    seldom, now = SeldomTold(), 0.0
    told: dict[str, float] = {}
    for address, pause in events:
        now += pause
        is_due = seldom.is_due(address, now)
        assert is_due == (address not in told or now - told[address] >= 60)
        if is_due:
            told[address] = now


def test_a_scan_from_very_many_addresses_fills_neither_log_nor_memory() -> None:
    seldom = SeldomTold()
    lines = sum(seldom.is_due(f"2001:db8::{number:x}", number / 1000) for number in range(20_000))
    assert lines == 1000
    assert seldom.is_due("10.0.0.1", 90.0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_a_sender_with_tls_on_the_plain_port_leaves_one_line(
    listeners: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    listener = listeners()
    context = ssl.create_default_context()
    for _ in range(3):
        with socket.create_connection((LOOPBACK, listener.scp.port), PATIENCE) as connection, pytest.raises(OSError):
            context.wrap_socket(connection, server_hostname="of-a-patient.example")
    wait_until(lambda: sum(listener.scp.connections().refused.values()) == 3, "all were refused")
    (line,) = warnings(caplog)
    assert line.startswith("connection closed: address=127.0.0.1: it speaks TLS on the port for plain DICOM")
    assert "listener.tls.port" in line
    assert "of-a-patient" not in line


def test_http_on_the_plain_port_leaves_one_line(
    listeners: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    listener = listeners()
    for _ in range(3):
        with socket.create_connection((LOOPBACK, listener.scp.port), PATIENCE) as connection, suppress(OSError):
            connection.sendall(b"GET /patient HTTP/1.1\r\nHost: segwatch\r\n\r\n")
            assert connection.recv(1) == b""
    for _ in range(3):  # a probe says nothing, and nothing is said of it
        socket.create_connection((LOOPBACK, listener.scp.port), PATIENCE).close()
    association = listener.associate()
    association.release()
    wait_until(lambda: sum(listener.scp.connections().refused.values()) == 6, "all were refused")
    (line,) = warnings(caplog)
    assert "it speaks HTTP on the port for plain DICOM" in line
    assert "listener.stow.port" in line
    assert "patient" not in line
