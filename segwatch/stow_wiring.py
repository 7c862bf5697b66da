"""Makes the STOW-RS server of a site from its settings."""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from dicom_listener.errors import PortError
from dicom_listener.spool.claims import is_claimed
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance
from dicom_listener.stow.report import StowReport
from dicom_listener.stow.server import SERVER_NAME, StowServer
from dicom_listener.stow.settings import StowLimits, StowSettings
from segwatch.binding import ANOTHER_SEGWATCH, reachable
from segwatch.errors import UsageError
from segwatch.settings import SiteSettings

_PROBE_SECONDS = 5.0


def make_stow_settings(settings: SiteSettings, sop_classes: tuple[str, ...]) -> StowSettings | None:
    """What the server needs to know; None when it is off."""
    stow = settings.listener.stow
    if stow.port is None:
        return None
    return StowSettings(
        host=stow.host,
        port=stow.port,
        tokens_file=stow.tokens_file,
        certificate=stow.certificate,
        key=stow.key,
        trusted=stow.trusted,
        limits=StowLimits(
            maximum_request_bytes=stow.maximum_request_bytes,
            maximum_instance_bytes=settings.listener.maximum_instance_bytes,
            maximum_instances=stow.maximum_instances,
            maximum_requests=stow.maximum_requests,
            maximum_requests_per_peer=stow.maximum_requests_per_peer,
            maximum_connections=stow.maximum_connections,
            maximum_connections_per_address=stow.maximum_connections_per_address,
            handshake_seconds=settings.listener.artim_seconds,
            idle_seconds=stow.idle_seconds,
        ),
        sop_classes=sop_classes,
    )


def make_stow_server(
    settings: SiteSettings,
    spool: Spool,
    on_stored: Callable[[StoredInstance], None],
    sop_classes: tuple[str, ...],
    on_request_end: Callable[[StowReport], None] | None = None,
) -> StowServer | None:
    """The server, not started; None when it is off. Raises `StowSettingsError`, `TlsError`."""
    stow = make_stow_settings(settings, sop_classes)
    if stow is None:
        return None
    service = StoreService(spool, on_stored)
    return StowServer(service, stow, ae_title=settings.listener.ae_title, on_request_end=on_request_end)


@contextmanager
def running(server: StowServer | None) -> Iterator[None]:
    """Run the server, where there is one, while the block runs. Raises `PortError`."""
    if server is None:
        yield
        return
    server.start()
    try:
        yield
    finally:
        server.stop()


def describe(settings: SiteSettings, server: StowServer | None) -> str:
    """What the ready line says of STOW-RS; empty when it is off."""
    if server is None:
        return ""
    stow = settings.listener.stow
    return f"; STOW-RS on {'https' if stow.certificate else 'http'}://{stow.host}:{server.port}/studies"


def examine(settings: SiteSettings) -> str:
    """For `segwatch doctor`: whether the server can run with these settings, or runs.

    Raises:
        StowSettingsError: settings or tokens cannot be used.
        TlsError: certificate, key or trusted certificates cannot be used.
        UsageError: the port is taken by something else, or another Segwatch.
        SpoolError: the spool cannot be used.
    """
    stow = settings.listener.stow
    if stow.port is None:
        return "off (listener.stow.port is not set)"
    root = settings.site.data_dir / "spool"
    server = make_stow_server(settings, Spool(root), lambda _stored: None, ())
    assert server is not None  # noqa: S101 (it has a port)
    asked = [name for name, file in (("a token", stow.tokens_file), ("a certificate", stow.trusted)) if file]
    how = f"{'https' if stow.certificate else 'http'}, clients need {' and '.join(asked) or 'nothing: loopback'}"
    try:
        server.check_address()
    except PortError as error:
        if not stow.port or not _answers(reachable(stow.host), stow.port, tls=stow.certificate is not None):
            raise UsageError(str(error)) from error
        if is_claimed(root) is False:
            raise UsageError(f"{error} (it is of {ANOTHER_SEGWATCH})") from error
        return f"a STOW-RS server answers on port {stow.port}; {how}"
    return f"port {stow.port} is free; {how}"


def _answers(host: str, port: int, *, tls: bool) -> bool:
    """Whether something that may be our server answers: ours names itself; of TLS only the handshake is tried."""
    try:
        if not tls:
            with closing(http.client.HTTPConnection(host, port, timeout=_PROBE_SECONDS)) as connection:
                connection.request("GET", "/studies")
                return connection.getresponse().getheader("Server") == SERVER_NAME
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((host, port), timeout=_PROBE_SECONDS) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except (OSError, http.client.HTTPException):
        return False
