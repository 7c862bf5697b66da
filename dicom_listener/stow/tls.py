"""TLS of the STOW-RS server: the profile of the DICOM port (PS3.15 annexes B.12 and B.13)."""

import ssl

from dicom_listener.network import tls
from dicom_listener.stow.settings import StowSettings


def make_context(settings: StowSettings) -> ssl.SSLContext | None:
    """The server's side of TLS 1.2 and 1.3; None where no certificate is set.

    Raises:
        TlsError: a file cannot be used; the text says which, why, and what to do.
    """
    if settings.certificate is None or settings.key is None:
        return None
    return tls.make_context(
        tls.TlsSettings(
            certificate=settings.certificate,
            key=settings.key,
            trusted=settings.trusted,
            require_client_certificate=settings.trusted is not None,
        )
    )
