"""`segwatch doctor` looks at what the listener needs of the network: ports, names in the settings, certificates."""

import datetime as dt
import hmac
import socket
import ssl
from collections.abc import Callable

from dicom_listener.network.descriptor_limit import hard_limit, needed_descriptors
from dicom_listener.network.tls import TlsSettings, make_context
from dicom_listener.network.tls_files import own_certificate, validity
from reporter.association import Destination, echo
from segwatch.errors import ROOM_ERRORS, UsageError
from segwatch.findings import Caution
from segwatch.listener_settings import make_scp_settings, make_tls
from segwatch.settings import SiteSettings

TIMEOUT_S = 5.0


def check_port(settings: SiteSettings) -> str:
    """The plain port is ours, or free; whether a Segwatch listens is asked by C-ECHO."""
    listener = settings.listener
    scp = make_scp_settings(settings)
    if scp.serves_only_tls:
        return f"port {listener.port} stays closed: only TLS is spoken"
    if _is_free(listener.host, listener.port, "listener.port", lambda: _answers_echo(settings)):
        return f"port {listener.port} is free"
    return f"a DICOM listener answers on port {listener.port}"


def check_tls(settings: SiteSettings) -> str | Caution:
    """The port for TLS is ours or free, and its files can be used, today and for some time."""
    tls = make_tls(settings)
    if tls is None:
        return "off"
    make_context(tls)
    port = settings.listener.tls.port
    is_free = _is_free(settings.listener.host, port, "listener.tls.port", lambda: _shows_certificate(port, tls))
    now = validity(tls.certificate, tls.key, dt.datetime.now(dt.UTC))
    if now.is_bad:
        raise UsageError(now.text)
    text = f"port {port} {'is free' if is_free else 'answers with our certificate'}; {now.text}"
    return Caution(text) if now.is_worrying else text


def check_descriptors(settings: SiteSettings) -> str | Caution:
    """The listener may open as many files and sockets as its associations need."""
    needed, hard = needed_descriptors(settings.listener.maximum_associations), hard_limit()
    if hard is None or hard >= needed:
        return f"{needed} may be needed, and may be opened"
    return Caution(
        f"this user may open {hard}, and {settings.listener.maximum_associations} associations may need {needed}: "
        "raise LimitNOFILE (systemd) or ulimit -n, or lower listener.maximum_associations"
    )


def _is_free(host: str, port: int, key: str, is_ours: Callable[[], bool]) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if port and is_ours():
                return False
            reason = error.strerror or type(error).__name__
            raise UsageError(f"{host}:{port}: {reason}; choose another {key} or listener.host") from error
    return True


def _answers_echo(settings: SiteSettings) -> bool:
    listener = settings.listener
    own = Destination("self", listener.ae_title, "127.0.0.1", listener.port, "SEGWATCH-DOCTOR", TIMEOUT_S)
    try:
        echo(own)
    except ROOM_ERRORS:
        return False
    return True


def _shows_certificate(port: int, tls: TlsSettings) -> bool:
    """Whether who listens there has our certificate; a C-ECHO would need one that it trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared below
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # there the server shows it before it asks for ours
    context.load_cert_chain(tls.certificate, tls.key)  # where both are of one authority, nothing is refused and logged
    try:
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as plain,
            context.wrap_socket(plain) as connection,
        ):
            shown = connection.getpeercert(binary_form=True) or b""
    except OSError:
        return False
    return hmac.compare_digest(shown, own_certificate(tls.certificate))
