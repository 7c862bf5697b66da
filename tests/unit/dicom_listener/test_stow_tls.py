"""STOW-RS over TLS: who is let in by which certificate, and with which protocol."""

import datetime as dt
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from dicom_listener.errors import TlsError
from dicom_listener.network.scp import ScpSettings
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance
from dicom_listener.stow.server import StowServer
from dicom_listener.stow.settings import StowLimits, StowSettings
from dicom_listener.stow.tokens import new_token, token_line
from tests.peers.certificates import Authority, Identity
from tests.peers.ports import LOOPBACK
from tests.unit.dicom_listener.stow_pushing import MULTIPART, multipart, part10

REFUSED = (ssl.SSLError, ConnectionError, http.client.HTTPException)


class Room:
    """A server with a certificate, and clients with good and bad ones."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "authority")
        self.own = self.authority.issue()
        self.stored: list[StoredInstance] = []
        self._service = StoreService(Spool(folder / "spool", high_watermark=1.1), self.stored.append)
        self._servers: list[StowServer] = []

    def serve(
        self, *, trusted: Path | None, tokens: Path | None = None, limits: StowLimits | None = None
    ) -> StowServer:
        settings = StowSettings(
            certificate=self.own.certificate,
            key=self.own.key,
            trusted=trusted,
            tokens_file=tokens,
            limits=limits or StowLimits(),
            sop_classes=ScpSettings().sop_classes,
        )
        self._servers.append(StowServer(self._service, settings, ae_title="SEGWATCH"))
        self._servers[-1].start()
        return self._servers[-1]

    def post(
        self,
        server: StowServer,
        identity: Identity | None,
        *,
        newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
        token: str = "",
    ) -> int:
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.check_hostname = False
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        headers = {"Content-Type": MULTIPART, **({"Authorization": f"Bearer {token}"} if token else {})}
        connection = http.client.HTTPSConnection(LOOPBACK, server.port, timeout=20, context=context)
        with closing(connection):
            connection.request("POST", "/studies", multipart(part10(1)), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def close(self) -> None:
        for server in self._servers:
            server.stop()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.close()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_trusted_certificate_lets_in_and_names_its_client(room: Room, newest: ssl.TLSVersion) -> None:
    server = room.serve(trusted=room.authority.certificate)
    assert room.post(server, room.authority.issue("rsa2048"), newest=newest) == 200
    assert [stored.calling_ae_title for stored in room.stored] == ["Nobody Test 2"]


BAD: dict[str, Callable[[Room, Path], Identity | None]] = {
    "none": lambda _room, _folder: None,
    "of another authority": lambda _room, folder: Authority(folder / "other").issue(),
    "expired": lambda room, _folder: room.authority.issue(begins=dt.timedelta(days=-9), ends=dt.timedelta(days=-1)),
    "too weak": lambda room, _folder: room.authority.issue("rsa1024"),
}


@pytest.mark.parametrize("why", BAD)
def test_any_other_certificate_is_refused(room: Room, tmp_path: Path, why: str) -> None:
    server = room.serve(trusted=room.authority.certificate)
    with pytest.raises(REFUSED):
        room.post(server, BAD[why](room, tmp_path))
    assert room.stored == []
    assert room.post(server, room.authority.issue()) == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_protocol_is_refused(room: Room) -> None:
    server = room.serve(trusted=None)
    with pytest.raises(REFUSED):
        room.post(server, None, newest=ssl.TLSVersion.TLSv1_1)
    assert room.post(server, None) == 200


def test_no_tls_is_refused_where_tls_is_spoken(room: Room) -> None:
    server = room.serve(trusted=None)
    with closing(http.client.HTTPConnection(LOOPBACK, server.port, timeout=20)) as connection:
        connection.request("GET", "/studies")
        with pytest.raises(REFUSED):
            connection.getresponse()


def test_where_both_are_set_both_are_needed(room: Room, tmp_path: Path) -> None:
    token, tokens = new_token(), tmp_path / "tokens"
    tokens.write_text(token_line("PACS", token))
    server = room.serve(trusted=room.authority.certificate, tokens=tokens)
    client = room.authority.issue()

    assert room.post(server, client) == 401
    with pytest.raises(REFUSED):
        room.post(server, None, token=token)
    assert room.post(server, client, token=token) == 200
    assert [stored.calling_ae_title for stored in room.stored] == ["PACS"]


def test_files_that_cannot_be_used_are_named(room: Room, tmp_path: Path) -> None:
    with pytest.raises(TlsError, match=r"none\.pem"):
        room.serve(trusted=tmp_path / "none.pem")


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a ClientHello"])
def test_a_handshake_that_does_not_end_is_given_up(room: Room, sent: bytes) -> None:
    server = room.serve(trusted=None, limits=StowLimits(handshake_seconds=0.2))
    with closing(socket.create_connection((LOOPBACK, server.port), timeout=20)) as connection:
        connection.sendall(sent)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert room.post(server, None) == 200
