"""TLS on the listener's port, with Python's ssl as the peer: what is accepted, what is refused, and who is hindered."""

import logging
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from dicom_listener.network.tls import CIPHER_SUITES, TlsProfile, TlsSettings
from tests.peers.certificates import DAY, Authority, Identity
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import data_set
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener, send, threads
from tests.unit.dicom_listener.tls_room import TlsRoom, associate, refuses, tls_port, turned_away


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def room(listeners: Callable[..., Listener], authority: Authority) -> TlsRoom:
    return TlsRoom(listeners, authority)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "ec256", "ec384"])
def test_a_trusted_certificate_is_accepted(
    room: TlsRoom,
    version: ssl.TLSVersion,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="dicom_listener")
    listener = room.listen()
    context = room.client(room.authority.issue(kind))
    context.minimum_version = context.maximum_version = version
    association = associate(listener, context)
    for number in range(1, 4):
        assert send(association, data_set(number, pixels=b"\1\2" * 300_000)).Status == 0x0000
    association.release()
    listener.scp.stop()
    assert listener.stored.qsize() == 3
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("dicom_listener")]
    assert not any("Nobody" in line for line in ours)


REFUSED = {
    "none": "the peer has sent no certificate",
    "expired": "certificate has expired",
    "not yet valid": "certificate is not yet valid",
    "of another authority": "unable to get local issuer certificate",
    "of another authority of the same name": "certificate signature failure",
    "rsa1024": "certificate key too weak",
    "ec224": "on a curve that is too small",
    "signed with SHA-1": "CA signature digest algorithm too weak",
}
"""Of a sender's certificate, with what the log says."""


@pytest.mark.parametrize(
    ("version", "peer"),
    [
        *((ssl.TLSVersion.TLSv1_2, peer) for peer in REFUSED),
        # TLS 1.3 has no signature by a key of 224 bits
        *((ssl.TLSVersion.TLSv1_3, peer) for peer in REFUSED if peer != "ec224"),
    ],
)
def test_other_certificates_are_refused_in_words(
    room: TlsRoom,
    version: ssl.TLSVersion,
    peer: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    identities: dict[str, Callable[[], Identity | None]] = {
        "none": lambda: None,
        "expired": lambda: room.authority.issue(ends=-DAY / 48),
        "not yet valid": lambda: room.authority.issue(begins=2 * DAY),
        "of another authority": lambda: Authority(tmp_path / "other", "Another").issue(),
        "signed with SHA-1": room.authority.issue_by_sha1,
        "of another authority of the same name": lambda: Authority(tmp_path / "other").issue(),
    }
    context = room.client(identities.get(peer, lambda: room.authority.issue(peer))())
    context.minimum_version = context.maximum_version = version
    listener = room.listen()
    with turned_away(listener):
        assert refuses(listener, context)
    (line,) = (one.getMessage() for one in caplog.records if "TLS refused" in one.getMessage())
    assert line.startswith("TLS refused: address=127.0.0.1: ")
    assert REFUSED[peer] in line
    assert "Nobody" not in line


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_protocols_are_refused(
    room: TlsRoom,
    version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = room.client(room.sender)
    context.minimum_version = context.maximum_version = version
    listener = room.listen()
    with turned_away(listener):
        assert refuses(listener, context)
    assert "the peer speaks no TLS 1.2 or later" in caplog.text


@pytest.mark.parametrize(
    "suite", ["AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES256-GCM-SHA384"]
)
def test_weak_cipher_suites_are_refused(room: TlsRoom, suite: str) -> None:
    context = room.client(room.sender)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")
    listener = room.listen()
    with turned_away(listener):
        assert refuses(listener, context)


@pytest.mark.parametrize("profile", TlsProfile)
def test_every_cipher_suite_of_a_profile_is_served(
    room: TlsRoom,
    profile: TlsProfile,
) -> None:
    for identity in (room.own, room.authority.issue("rsa2048")):
        tls = TlsSettings(identity.certificate, identity.key, room.authority.certificate, profile=profile)
        listener = room.listen(tls=tls)
        kind = "ECDSA" if identity is room.own else "RSA"
        for suite in (one for one in CIPHER_SUITES[profile] if kind in one):
            context = room.client(room.sender)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suite)
            association = associate(listener, context)
            assert association.is_established, suite
            association.release()


def test_a_certificate_is_not_asked_for_where_that_is_set(room: TlsRoom) -> None:
    open_to_all = TlsSettings(room.own.certificate, room.own.key, None, require_client_certificate=False)
    association = associate(room.listen(tls=open_to_all), room.client(None))
    assert association.is_established
    association.release()


def test_a_sender_may_be_trusted_by_its_own_certificate(room: TlsRoom) -> None:
    pinned = TlsSettings(room.own.certificate, room.own.key, room.sender.certificate)
    listener = room.listen(tls=pinned)
    association = associate(listener, room.client(room.sender))
    assert association.is_established
    association.release()
    assert refuses(listener, room.client(room.authority.issue()))


def test_plain_dicom_and_tls_each_have_their_port(room: TlsRoom) -> None:
    listener = room.listen()
    assert listener.scp.port != tls_port(listener)
    plain, over_tls = listener.associate(), associate(listener, room.client(room.sender))
    assert send(plain, data_set(1)).Status == send(over_tls, data_set(2)).Status == 0x0000
    assert listener.scp.connections().associations == 2
    for one in (plain, over_tls):
        one.release()
    only = room.listen(serve_without_tls=False)
    assert only.scp.port == tls_port(only)
    assert not only.associate().is_established  # it speaks no TLS


def test_limits_count_over_both_ports(room: TlsRoom) -> None:
    listener = room.listen(maximum_associations=1)
    running = listener.associate()
    assert associate(listener, room.client(room.sender)).is_rejected
    running.release()


@pytest.mark.parametrize("what", ["silence", "dribble"])
def test_who_never_ends_the_handshake_hinders_nobody_and_is_cut_after_the_artim_time(room: TlsRoom, what: str) -> None:
    listener = room.listen(first_pdu_seconds=1.0)
    began = time.monotonic()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection((LOOPBACK, tls_port(listener)))) for _ in range(5)]
        association = associate(listener, room.client(room.sender))
        assert send(association, data_set()).Status == 0x0000
        association.release()
        for one in slow:
            one.settimeout(0.02)
        sent, still_open = 0, list(slow)
        while still_open:
            assert time.monotonic() - began < PATIENCE
            for one in list(still_open):
                try:
                    if what == "dribble":
                        one.sendall(hello[sent : sent + 1])
                    if one.recv(100) == b"":
                        still_open.remove(one)
                except TimeoutError:
                    continue
                except OSError:
                    still_open.remove(one)
            sent += 1
    wait_until(lambda: listener.scp.connections().open == 0, "every connection is closed here too")


@pytest.mark.parametrize("bytes_sent", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\x00\x00\x00\xcd", b"\x16\x03"])
def test_probes_of_the_port_for_tls_leave_nothing_behind(room: TlsRoom, bytes_sent: bytes) -> None:
    listener = room.listen()
    before = threads()
    for _ in range(10):
        with socket.create_connection((LOOPBACK, tls_port(listener))) as probe:
            probe.settimeout(PATIENCE)
            with suppress(OSError):  # the listener may be faster than we are
                probe.sendall(bytes_sent)
                probe.shutdown(socket.SHUT_WR)
                while probe.recv(1000):
                    pass
    for thread in threads() - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert listener.scp.connections().open == 0


def test_who_shakes_hands_and_says_nothing_is_no_association(room: TlsRoom) -> None:
    listener = room.listen(first_pdu_seconds=0.5)
    with (
        socket.create_connection((LOOPBACK, tls_port(listener))) as plain,
        room.client(room.sender).wrap_socket(plain) as connection,
    ):
        connection.settimeout(PATIENCE)
        assert listener.scp.connections().associations == 0
        with pytest.raises((ssl.SSLEOFError, ssl.SSLError, ConnectionError)):
            if connection.recv(1) == b"":
                raise ssl.SSLEOFError


def test_stop_ends_what_runs_over_tls(room: TlsRoom) -> None:
    listener = room.listen()
    association = associate(listener, room.client(room.sender))
    with socket.create_connection((LOOPBACK, tls_port(listener))):
        listener.scp.stop()
    association.join(PATIENCE)
    assert association.is_aborted


def test_no_session_is_resumed(room: TlsRoom) -> None:
    context = room.client(room.sender)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    listener = room.listen()
    session = None
    for _ in range(2):
        with (
            socket.create_connection((LOOPBACK, tls_port(listener))) as plain,
            context.wrap_socket(plain, session=session) as connection,
        ):
            session = connection.session
            assert session is not None
            assert not session.has_ticket
