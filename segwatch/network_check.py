"""`segwatch doctor` looks at what the listener needs of the network: TLS, and open files."""

import datetime as dt
import hmac
import socket
import ssl

from dicom_listener.network.descriptor_limit import hard_limit, needed_descriptors
from dicom_listener.network.tls import TlsSettings, make_context
from dicom_listener.network.tls_files import own_certificate, validity
from segwatch.binding import bind_error, reachable, refuse_address
from segwatch.errors import UsageError
from segwatch.findings import Caution
from segwatch.listener_settings import make_tls
from segwatch.settings import SiteSettings

TIMEOUT_S = 5.0


def check_tls(settings: SiteSettings) -> str | Caution:
    """The port for TLS is ours or free, and its files can be used, today and for some time."""
    tls = make_tls(settings)
    if tls is None:
        return "off"
    make_context(tls)
    host, port = settings.listener.host, settings.listener.tls.port
    error = bind_error(host, port)
    if error is not None and not (port and _shows_certificate(reachable(host), port, tls)):
        raise refuse_address(error, host, port, ("listener.host", "listener.tls.port")) from error
    now = validity(tls.certificate, tls.key, dt.datetime.now(dt.UTC))
    if now.is_bad:
        raise UsageError(now.text)
    text = f"port {port} {'is free' if error is None else 'answers with our certificate'}; {now.text}"
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


def _shows_certificate(host: str, port: int, tls: TlsSettings) -> bool:
    """Whether who listens there has our certificate; a C-ECHO would need one that it trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is compared below
    context.minimum_version = ssl.TLSVersion.TLSv1_3  # there the server shows it before it asks for ours
    context.load_cert_chain(tls.certificate, tls.key)  # where both are of one authority, nothing is refused and logged
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            context.wrap_socket(plain) as connection,
        ):
            shown = connection.getpeercert(binary_form=True) or b""
    except OSError:
        return False
    return hmac.compare_digest(shown, own_certificate(tls.certificate))
