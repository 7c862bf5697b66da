"""The server as a process meets it: real sockets, honest and dishonest clients."""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dicom_listener.errors import PortError
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stow.server import StowServer
from dicom_listener.stow.settings import StowSettings
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import STUDY, uid
from tests.unit.dicom_listener.stow_pushing import MULTIPART, multipart, part10
from tests.unit.dicom_listener.stow_running import PATIENCE, Running, is_closed


def test_a_push_over_the_network(servers: Callable[..., Running]) -> None:
    running = servers()
    answer = running.post(multipart(part10(1), part10(2)))

    assert (answer.status, answer.getheader("Server")) == (200, "Segwatch")
    assert [stored.instance.sop_instance_uid for stored in running.stored] == [uid(1), uid(2)]
    wait_until(lambda: len(running.reports) == 1, "the request is told about")
    assert (running.reports[0].status, running.reports[0].address) == (200, LOOPBACK)


def test_no_uid_and_no_path_in_the_log(servers: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    running = servers()
    running.post(multipart(part10(1)), f"/studies/{STUDY}?name=Nobody")
    running.post(multipart(part10(1), part10(2))[:-50], f"/studies/{STUDY}")
    running.post(b"", f"/{STUDY}", **{"Content-Length": "0"})
    running.server.stop()

    ours = [record for record in caplog.records if record.name.startswith("dicom_listener")]
    assert [record.getMessage().split(":")[0] for record in ours if "stow request" in record.getMessage()] == [
        "stow request 200",
        "stow request 400",
        "stow request 404",
    ]
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert STUDY not in text
    assert "Nobody" not in text


def test_what_a_client_claims_of_its_address_is_not_believed(servers: Callable[..., Running]) -> None:
    running = servers()
    running.post(multipart(part10(1)), **{"X-Forwarded-For": "192.0.2.7"})
    wait_until(lambda: len(running.reports) == 1, "the request is told about")
    assert running.reports[0].address == LOOPBACK


def test_a_refusal_reaches_a_client_that_is_still_sending(servers: Callable[..., Running]) -> None:
    running = servers()
    big = multipart(part10(1, pixels=bytes(20_000_000)))
    assert running.post(big, **{"Content-Type": "text/plain"}).status == 415


def test_a_body_cut_off_by_the_network_leaves_nothing_half_done(servers: Callable[..., Running]) -> None:
    running = servers()
    body = multipart(part10(1), part10(2))
    head = f"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n"
    with closing(running.connect()) as connection:
        connection.sendall(head.encode() + body[:-100])
        wait_until(lambda: len(running.stored) == 1, "the first instance is stored")
    wait_until(lambda: len(running.reports) == 1, "the request has ended")
    assert running.reports[0].status is None
    assert not list((running.spool.root / ".incoming").iterdir())


def test_a_stop_cuts_off_who_never_ends(servers: Callable[..., Running]) -> None:
    running = servers()
    head = f"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: 9999\r\n\r\n"
    with closing(running.connect()) as connection:
        connection.sendall(head.encode() + multipart(part10(1), part10(2))[:-100])
        wait_until(lambda: len(running.stored) == 1, "the first instance is stored")
        running.server.stop()
    assert not list((running.spool.root / ".incoming").iterdir())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stow")]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /studies HTTP/1.1\r\nHost: x\r\n",
        f"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: 999\r\n\r\n--a".encode(),
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nabc",
        b"GET /studies HTTP/1.1\r\nHost: x\r\n\r\nGET /stud",
    ],
    ids=["nothing", "half a head", "half a body", "a body that nobody reads", "half a second head"],
)
def test_silent_clients_are_cut_off(servers: Callable[..., Running], sent: bytes) -> None:
    running = servers(idle_seconds=0.2)
    with closing(running.connect()) as connection:
        connection.sendall(sent)
        assert is_closed(connection)
    wait_until(lambda: running.server.connections().open == 0, "the place is free again")


def test_what_is_no_http_is_closed(servers: Callable[..., Running], caplog: pytest.LogCaptureFixture) -> None:
    running = servers()
    for sent in (
        b"\x01\x00\x00\x00\x00\xff" * 20,
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01" * 50 + b"\r\n\r\n",
    ):
        with closing(running.connect()) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert is_closed(connection)
    assert running.post(multipart(part10(1))).status == 200
    assert "Traceback" not in caplog.text


def test_a_stop_cuts_nobody_off_who_is_nearly_done(servers: Callable[..., Running]) -> None:
    running = servers()
    body = multipart(part10(1))
    head = f"POST /studies HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nContent-Length: {len(body)}\r\n\r\n"
    with closing(running.connect()) as connection:
        connection.sendall(head.encode() + body[:-4])
        wait_until(lambda: len(running.stored) == 0 and running.server.connections().open == 1, "the request runs")
        stopping = threading.Thread(target=running.server.stop)
        stopping.start()
        connection.sendall(body[-4:])
        answer = connection.recv(65536)
        stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert answer.startswith(b"HTTP/1.1 200")
    with pytest.raises(ConnectionRefusedError):
        running.connect()


def test_a_taken_port_is_named(servers: Callable[..., Running], tmp_path: Path) -> None:
    port = servers().server.port
    second = StowServer(
        StoreService(Spool(tmp_path / "other"), lambda _stored: None), StowSettings(port=port), ae_title="SEGWATCH"
    )
    with pytest.raises(PortError, match=rf"127\.0\.0\.1:{port}.*listener\.stow\.port"):
        second.start()


def test_threads_and_connections_are_back_to_the_start_after_a_stop(servers: Callable[..., Running]) -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith("stow")}
    running = servers()
    assert running.server.is_serving
    for number in range(1, 6):
        assert running.post(multipart(part10(number))).status == 200
    running.server.stop()
    after = {thread for thread in threading.enumerate() if thread.name.startswith("stow")}
    assert after == before
    assert not running.server.is_serving
