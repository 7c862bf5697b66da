"""TLS for the listener's port, as PS3.15 annexes B.12 and B.13 want it.

Both profiles are BCP 195: TLS 1.2 and 1.3, authenticated encryption with ephemeral elliptic curve keys, nothing older.
Minimum key sizes are those of B.13 for both. OpenSSL's security level 2 enforces them: RSA of 2048 bits or more, no
SHA-1, in the peer's certificate and in those above it; of elliptic curves OpenSSL offers none below 256 bits.
"""

import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicom_listener.errors import TlsError
from dicom_listener.network.tls_files import check_files


class TlsProfile(StrEnum):
    """Secure Transport Connection Profile."""

    BCP195 = "bcp195"
    """BCP 195 RFC 8996, 9325 (PS3.15 annex B.12)."""
    MODIFIED = "modified"
    """Modified BCP 195 RFC 8996, 9325 (PS3.15 annex B.13): no cipher suite beyond those that it names."""


_RECOMMENDED = (
    # RFC 9325 section 4.2
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
)
CIPHER_SUITES = {
    TlsProfile.BCP195: _RECOMMENDED,
    TlsProfile.MODIFIED: (
        *_RECOMMENDED,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES128-CCM",
    ),
}
"""Of TLS 1.2, best first, as OpenSSL names them. Those of TLS 1.3 are OpenSSL's own; all of them are allowed."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What a port needs to speak TLS."""

    certificate: Path
    """Own certificate (PEM), followed by those that lead to its authority."""
    key: Path
    """Own private key (PEM), without a passphrase."""
    trusted: Path | None = None
    """Certificates (PEM) of the authorities, or of the senders themselves, that are trusted."""
    require_client_certificate: bool = True
    profile: TlsProfile = TlsProfile.BCP195


class HandshakeError(Exception):
    """A connection on which TLS did not come about; its text names no person and no host."""

    def __init__(self, text: str, *, is_telling: bool) -> None:
        """`is_telling`: it is a peer that tried, rather than a probe."""
        super().__init__(text)
        self.is_telling = is_telling


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """What a port needs for its handshakes.

    Raises:
        TlsError: a file cannot be used; the text says which, why, and what to do.
    """
    check_files(settings.certificate, settings.key, settings.trusted)
    if settings.require_client_certificate and settings.trusted is None:
        raise TlsError("certificates of senders are required, but no trusted ones are named")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(CIPHER_SUITES[settings.profile]) + ":@SECLEVEL=2")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # a resumed session would not look at the certificate again; associations are too few to gain from one
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except ssl.SSLError as error:
        raise TlsError(f"{settings.certificate}: refused by OpenSSL: {_words(error)}") from error
    if settings.trusted is not None:
        context.load_verify_locations(settings.trusted)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    return context


def wrap(context: ssl.SSLContext, connection: socket.socket) -> ssl.SSLSocket:
    """Take a connection over; nothing is sent or read yet.

    Raises:
        HandshakeError: it is closed already.
    """
    try:
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
    except (OSError, ValueError) as error:
        raise HandshakeError("closed by the peer", is_telling=False) from error


def shake_hands(connection: ssl.SSLSocket, seconds: float) -> None:
    """Shake hands within so many seconds, however the peer's bytes come.

    Raises:
        HandshakeError: the peer and we do not agree, or it took too long.
    """
    connection.settimeout(seconds)  # of the whole handshake: that is how Python takes it there
    try:
        connection.do_handshake()
    except TimeoutError as error:
        raise HandshakeError("the handshake took too long", is_telling=False) from error
    except ssl.SSLEOFError as error:
        raise HandshakeError("closed by the peer", is_telling=False) from error
    except ssl.SSLError as error:
        raise HandshakeError(_words(error), is_telling=True) from error
    except (OSError, ValueError) as error:
        raise HandshakeError("closed by the peer", is_telling=False) from error


_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the peer has sent no certificate",
    "UNSUPPORTED_PROTOCOL": "the peer speaks no TLS 1.2 or later",
    "VERSION_TOO_LOW": "the peer speaks no TLS 1.2 or later",
    "NO_SHARED_CIPHER": "the peer offers no cipher suite of the profile",
    "NO_SHARED_GROUP": "the peer offers no elliptic curve of 256 bits or more",
    "WRONG_CURVE": "the peer's certificate has a key on a curve that is too small",
    "WRONG_VERSION_NUMBER": "the peer speaks no TLS",
    "HTTP_REQUEST": "the peer speaks no TLS",
    "TLSV1_ALERT_UNKNOWN_CA": "the peer does not trust our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the peer refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the peer refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the peer says that our certificate has expired",
}


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the peer's certificate is refused: {error.verify_message}"
    reason = error.reason or "unknown reason"
    return _REASONS.get(reason, reason.lower().replace("_", " "))
