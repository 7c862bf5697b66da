"""Who may push: by bearer token, by client certificate, by both where both are set."""

import re
from http import HTTPStatus
from typing import Any

from dicom_listener.errors import RequestRefusedError
from dicom_listener.stow.tokens import TokenFile, bearer_token

ANONYMOUS = "STOW-RS"
"""Calling AE title of whoever pushes to a loopback address without authentication."""
_AE_TITLE_LENGTH = 16


class Gate:
    """Names the client of a request."""

    def __init__(self, tokens: TokenFile | None) -> None:
        """`tokens` None: none is asked for. Client certificates are asked for by TLS, before any request."""
        self._tokens = tokens

    def name_client(self, authorization: str, certificate_name: str | None) -> str:
        """By which calling AE title the client is known, 1 to 16 characters.

        Args:
            authorization: the header; empty when there was none.
            certificate_name: Common Name of the certificate that the client proved to have; None: it has none.

        Raises:
            RequestRefusedError: 401, there is no token or one that is not known.
        """
        if self._tokens is None:
            return ae_title(certificate_name or ANONYMOUS)
        token = bearer_token(authorization)
        name = None if token is None else self._tokens.find_name(token)
        if name is None:
            error = "" if token is None else ', error="invalid_token"'
            headers = {"WWW-Authenticate": f'Bearer realm="segwatch"{error}'}  # RFC 6750 section 3
            raise RequestRefusedError(HTTPStatus.UNAUTHORIZED, "a bearer token that is known here is needed", headers)
        return name


def ae_title(name: str) -> str:
    """Make an AE title (PS3.5 section 6.2) of a name, the same at each call."""
    allowed = re.sub(r"[^ -\[\]-~]", "_", name)[:_AE_TITLE_LENGTH].strip()
    return allowed or ANONYMOUS


def common_name(certificate: dict[str, Any]) -> str:
    """Common Name of the subject of a certificate, as `ssl` gives it; empty when it has none."""
    subject = (pair for relative in certificate.get("subject", ()) for pair in relative)
    return next((str(value) for key, value in subject if key == "commonName"), "")
