"""Content negotiation of STOW-RS (PS3.18 sections 8.7 and 10.5.1): what is sent, and in what form we may answer."""

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from python_multipart.multipart import parse_options_header

from dicom_listener.errors import RequestRefusedError

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,199}[0-9A-Za-z'()+_,\-./:=?]")
"""RFC 2046 section 5.1.1, but up to 200 characters: Orthanc's boundaries have 73."""
_DICOM = b"application/dicom"


class AnswerType(StrEnum):
    """Forms of the Store Instances Response Module, the preferred one first."""

    JSON = "application/dicom+json"
    XML = "application/dicom+xml"


_NAMES = {
    AnswerType.JSON: ("application/dicom+json", "application/json", "application/*", "*/*"),
    AnswerType.XML: ("application/dicom+xml", "application/xml", "text/xml"),
}


@dataclass(frozen=True, slots=True)
class SentType:
    """How the instances are packed."""

    boundary: bytes | None
    """Of multipart/related; None: the body is one instance."""


def sent_type(content_type: str, content_encoding: str) -> SentType:
    """Read how a body is packed.

    Raises:
        RequestRefusedError: 415 for what is not taken, 400 for a multipart without a boundary.
    """
    if content_encoding.strip().lower() not in ("", "identity"):
        raise RequestRefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not supported")
    kind, options = parse_options_header(content_type)
    if kind == _DICOM:
        return SentType(None)
    if kind != b"multipart/related" or options.get(b"type", _DICOM).lower() != _DICOM:
        raise RequestRefusedError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            'Content-Type must be multipart/related; type="application/dicom", or application/dicom',
        )
    boundary = options.get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise RequestRefusedError(HTTPStatus.BAD_REQUEST, "Content-Type: the boundary is missing or malformed")
    return SentType(boundary)


def check_part_type(headers: dict[bytes, bytes]) -> None:
    """Refuse a part that is something else than a DICOM file; `headers` by lower-case name.

    Raises:
        RequestRefusedError: 415.
    """
    kind, _ = parse_options_header(headers.get(b"content-type", _DICOM))
    if kind != _DICOM:
        raise RequestRefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "every part must be application/dicom")
    if headers.get(b"content-transfer-encoding", b"binary").strip().lower() not in (b"binary", b"8bit", b"7bit"):
        raise RequestRefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Transfer-Encoding must be binary")


def answer_type(accept: str) -> AnswerType:
    """Choose the form of the answer from an Accept header (RFC 9110 section 12.5.1); empty: any.

    Raises:
        RequestRefusedError: 406 when the client takes neither.
    """
    wanted = _accepted(accept or "*/*")
    ranked = [(max((wanted.get(name, 0.0) for name in names), default=0.0), kind) for kind, names in _NAMES.items()]
    quality, best = max(ranked, key=lambda rank: rank[0])
    if quality <= 0:
        raise RequestRefusedError(HTTPStatus.NOT_ACCEPTABLE, "answers come as application/dicom+json or dicom+xml")
    return best


def _accepted(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _quality(value)
        found[kind] = max(quality, found.get(kind, 0.0))
    return found


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"\s*(0(\.\d{0,3})?|1(\.0{0,3})?)\s*", text) else 0.0
