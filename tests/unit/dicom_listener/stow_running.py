"""A STOW-RS server for tests, with real sockets, and what it told about."""

import http.client
import socket
from contextlib import closing
from pathlib import Path

from dicom_listener.network.scp import ScpSettings
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance
from dicom_listener.stow.report import StowReport
from dicom_listener.stow.server import StowServer
from dicom_listener.stow.settings import StowLimits, StowSettings
from tests.peers.ports import LOOPBACK
from tests.unit.dicom_listener.stow_pushing import MULTIPART

PATIENCE = 20.0


def head(length: int) -> bytes:
    """The head of a push whose body has that many bytes."""
    lines = ("POST /studies HTTP/1.1", "Host: x", f"Content-Type: {MULTIPART}", f"Content-Length: {length}", "", "")
    return "\r\n".join(lines).encode()


class Running:
    """A server on a free port, and what it told about."""

    def __init__(self, root: Path, limits: StowLimits) -> None:
        self.stored: list[StoredInstance] = []
        self.reports: list[StowReport] = []
        self.spool = Spool(root, high_watermark=1.1)
        settings = StowSettings(limits=limits, sop_classes=ScpSettings().sop_classes)
        service = StoreService(self.spool, self.stored.append)
        self.server = StowServer(service, settings, ae_title="SEGWATCH", on_request_end=self.reports.append)
        self.server.start()

    def connect(self, source: str = LOOPBACK) -> socket.socket:
        return socket.create_connection((LOOPBACK, self.server.port), timeout=PATIENCE, source_address=(source, 0))

    def post(self, body: bytes, path: str = "/studies", **headers: str) -> http.client.HTTPResponse:
        with closing(http.client.HTTPConnection(LOOPBACK, self.server.port, timeout=PATIENCE)) as connection:
            connection.request("POST", path, body, {"Content-Type": MULTIPART, **headers})
            answer = connection.getresponse()
            answer.read()
            return answer


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side closes."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True
