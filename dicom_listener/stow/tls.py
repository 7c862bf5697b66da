"""TLS of the STOW-RS server."""

import ssl

from dicom_listener.errors import StowSettingsError
from dicom_listener.stow.settings import StowSettings


def make_context(settings: StowSettings) -> ssl.SSLContext | None:
    """The server's side of TLS 1.2 and 1.3; None where no certificate is set.

    Raises:
        StowSettingsError: a file cannot be used.
    """
    if settings.certificate_file is None or settings.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    file = settings.certificate_file
    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file)
        if settings.client_ca_file is not None:
            file = settings.client_ca_file
            context.load_verify_locations(settings.client_ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        raise StowSettingsError(f"listener.stow: the TLS file {file} or its key cannot be used: {reason}") from error
    return context
