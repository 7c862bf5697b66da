import logging
import os
import resource
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pydicom.uid import (
    ImplicitVRLittleEndian,
)
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # pynetdicom makes it at run time

from dicom_listener.network.scp import ScpSettings
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.associate_pdu import associate_request
from tests.unit.dicom_listener.instances import data_set
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener, send, threads


@pytest.mark.parametrize(
    ("bytes_sent", "n_lines"),  # of 20 probes; what speaks something else is told of once a minute
    [
        (b"", 0),
        (b"GET / HTTP/1.1\r\n\r\n", 1),
        (b"\x16\x03\x01\x02\x00\x01\x00", 1),
        (b"\x01\x00\xff\xff\xff\xff", 0),
        (b"\x01\x00\x00", 0),
    ],
    ids=["nothing", "HTTP", "TLS", "4 GB", "half a header"],
)
def test_probes_leave_nothing_behind(
    listener: Listener,
    bytes_sent: bytes,
    n_lines: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = threads()
    for _ in range(20):
        with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
            probe.settimeout(PATIENCE)
            probe.sendall(bytes_sent)
            with suppress(OSError):  # the listener may be faster than we are
                probe.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while probe.recv(1000):  # until the listener closes, long before its ARTIM timer
                    pass
    for thread in threads() - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert len([record for record in caplog.records if record.name.startswith("dicom_listener")]) == n_lines
    assert "Traceback" not in capfd.readouterr().err
    association = listener.associate()
    assert association.is_established
    association.release()


def test_a_connection_that_says_nothing_is_closed_after_the_artim_time(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(first_pdu_seconds=0.2))
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.settimeout(PATIENCE)
        assert probe.recv(1) == b""


def test_half_a_pdu_does_not_hold_a_thread_for_ever(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(idle_seconds=0.3))
    before = threads()
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.settimeout(PATIENCE)
        probe.sendall(struct.pack(">BBL", 1, 0, 500) + bytes(100))
        while probe.recv(1000):
            pass
        for thread in threads() - before:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_who_only_connects_gives_way_and_keeps_nobody_out(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(maximum_associations=2))
    first = listener.associate()
    with ExitStack() as opened:
        silent = [opened.enter_context(socket.create_connection((LOOPBACK, listener.scp.port))) for _ in range(30)]
        second = listener.associate()
        assert second.is_established
        silent[0].settimeout(PATIENCE)
        assert silent[0].recv(1) == b""
    for one in (first, second):
        one.release()


def test_descriptors_beyond_those_of_select_are_served(listener: Listener) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with ExitStack() as opened, Path("/dev/null").open("rb") as nothing:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            opened.callback(os.close, os.dup(nothing.fileno()))
        connection = opened.enter_context(socket.create_connection((LOOPBACK, listener.scp.port)))
        connection.settimeout(PATIENCE)
        connection.sendall(associate_request())
        assert connection.recv(1000)[0] == 0x02  # A-ASSOCIATE-AC
        connection.sendall(struct.pack(">BBLL", 5, 0, 4, 0))
        assert connection.recv(1000)[0] == 0x06  # A-RELEASE-RP


def test_without_descriptors_connections_wait_and_the_log_says_why(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as opened:
        connection = opened.enter_context(socket.socket())
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        # below all that is open but the standard streams: what other threads close meanwhile frees none
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        connection.connect((LOOPBACK, listener.scp.port))
        before = time.process_time()
        wait_until(lambda: "connections have to wait" in caplog.text, "it is told", timeout=PATIENCE, interval=0.01)
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        assert poll.poll(1000) == []  # neither closed nor served
        assert time.process_time() - before < 0.5  # of a second and more
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connection.settimeout(PATIENCE)
        connection.sendall(associate_request())
        assert connection.recv(1000)[0] == 0x02  # A-ASSOCIATE-AC
    assert caplog.text.count("connections have to wait") == 1


def test_an_association_never_gives_way(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(maximum_associations=1))
    running = listener.associate()
    for _ in range(5):
        with socket.create_connection((LOOPBACK, listener.scp.port)):
            pass
    assert send(running, data_set()).Status == 0x0000
    running.release()


@pytest.mark.parametrize("first_bytes", [b"", b"\x01", struct.pack(">BBL", 1, 0, 500)], ids=["0", "1", "header"])
def test_dribbled_bytes_do_not_prolong_the_artim_time(listeners: Callable[..., Listener], first_bytes: bytes) -> None:
    listener = listeners(ScpSettings(first_pdu_seconds=0.5, idle_seconds=60))
    before = threads()
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.sendall(first_bytes)
        probe.settimeout(0.05)
        began = time.monotonic()
        is_open = True
        while is_open:
            assert time.monotonic() - began < PATIENCE
            try:
                probe.sendall(b"\x01" if first_bytes == b"" else b"\x00")
                is_open = probe.recv(1) != b""
            except TimeoutError:
                continue
            except OSError:
                is_open = False
    for thread in threads() - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_stop_does_not_wait_for_peers_that_say_nothing(listener: Listener) -> None:
    began = time.monotonic()
    with (
        socket.create_connection((LOOPBACK, listener.scp.port)) as silent,
        socket.create_connection((LOOPBACK, listener.scp.port)) as half,
    ):
        half.sendall(struct.pack(">BBL", 1, 0, 500) + bytes(100))
        listener.associate((Verification, ImplicitVRLittleEndian)).release()  # both were accepted before it
        listener.scp.stop()
        silent.settimeout(PATIENCE)
        assert silent.recv(1) == b""
    assert time.monotonic() - began < ScpSettings().stop_seconds / 2


def test_stop_aborts_what_runs_and_frees_the_port(listener: Listener) -> None:
    association = listener.associate()
    port = listener.scp.port
    before = threads()
    listener.scp.stop()
    association.join(PATIENCE)
    assert association.is_aborted
    assert not any("accept" in thread.name for thread in threads() - before)
    with pytest.raises(ConnectionRefusedError), socket.create_connection((LOOPBACK, port)):
        pass
    listener.scp.start()
    listener.scp.stop()
    listener.scp.stop()


def test_an_association_makes_one_log_line_without_identifiers(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="dicom_listener")
    association = listener.associate()
    dataset = data_set()
    send(association, dataset)
    send(association, dataset)
    del dataset.StudyInstanceUID
    send(association, dataset)
    association.release()
    listener.scp.stop()  # waits for the end of the connection, where the line is written
    (line,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("association")]
    assert line.startswith("association released: calling=PACS address=127.0.0.1 ")
    assert line.endswith("duplicate=1 refused=1 stored=1")
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("dicom_listener"))
    assert "Nobody" not in ours
    assert data_set().SeriesInstanceUID not in ours
