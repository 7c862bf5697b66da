"""A listener that speaks TLS, and peers with certificates of all kinds."""

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_listener.association_report import ConnectionRefusal
from dicom_listener.network.scp import ScpSettings
from dicom_listener.network.tls import TlsSettings
from tests.peers.certificates import Authority, Identity
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener


class TlsRoom:
    """Listeners with a certificate of the authority, and contexts for peers."""

    def __init__(self, listeners: Callable[..., Listener], authority: Authority) -> None:
        self._listeners = listeners
        self.authority = authority

    @cached_property
    def own(self) -> Identity:
        return self.authority.issue()

    @cached_property
    def sender(self) -> Identity:
        return self.authority.issue("rsa2048")

    @cached_property
    def tls(self) -> TlsSettings:
        return TlsSettings(self.own.certificate, self.own.key, self.authority.certificate)

    def listen(self, tls: TlsSettings | None = None, **settings: Any) -> Listener:
        return self._listeners(replace(ScpSettings(tls=tls or self.tls, tls_port=0), **settings))

    def client(self, identity: Identity | None) -> ssl.SSLContext:
        """A peer that would take anything for itself, so that what is refused is refused by the listener."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.check_hostname = False
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context


def tls_port(listener: Listener) -> int:
    port = listener.scp.tls_port
    assert port is not None
    return port


def associate(listener: Listener, context: ssl.SSLContext) -> Association:
    ae = AE("PACS")
    ae.add_requested_context(CTImageStorage, EXPLICIT_LITTLE)
    return ae.associate(LOOPBACK, tls_port(listener), ae_title="SEGWATCH", tls_args=(context, LOOPBACK))


def refuses(listener: Listener, context: ssl.SSLContext) -> bool:
    """Whether the listener ends the handshake; of TLS 1.3 the peer learns that only when it reads."""
    with socket.create_connection((LOOPBACK, tls_port(listener))) as plain:
        plain.settimeout(PATIENCE)
        try:
            with context.wrap_socket(plain) as connection:
                connection.sendall(b"\x01")
                return connection.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            return True


@contextmanager
def turned_away(listener: Listener) -> Iterator[None]:
    """What happens within is counted as a refused handshake, and stores nothing."""

    def count() -> int:
        return listener.scp.connections().refused.get(ConnectionRefusal.TLS, 0)

    before = count()
    yield
    wait_until(lambda: count() > before, "the refused handshake is counted")
    assert listener.told() == []
