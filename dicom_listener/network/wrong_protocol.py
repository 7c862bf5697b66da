"""What speaks to the plain port and is no DICOM: told in the log, so seldom that nobody floods it. Pure."""

from enum import Enum

FIRST_BYTES = 6
"""As many are looked at: the header of a PDU."""
_SECONDS = 60.0
_MOST_ADDRESSES = 1000
"""Told of within that time; of further ones nothing is said, so that neither memory nor the log grows with them."""
_HANDSHAKE_RECORD, _TLS_MAJOR, _CLIENT_HELLO = 0x16, 0x03, 0x01
_METHODS = (
    b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE", b"OPTION", b"PATCH ", b"TRACE ", b"CONNEC",
    b"PRI * ",  # the preface of HTTP/2 (RFC 9113 section 3.4)
)  # fmt: skip


class WrongProtocol(Enum):
    """What is spoken, as the log says it; the value says what to do."""

    TLS = (
        "it speaks TLS on the port for plain DICOM: have it call listener.tls.port, which is served where "
        "listener.tls.certificate is set"
    )
    HTTP = (
        "it speaks HTTP on the port for plain DICOM: DICOMweb (STOW-RS) is for listener.stow.port, metrics and health "
        "for metrics.port"
    )


def recognise(first: bytes) -> WrongProtocol | None:
    """Tell what a connection speaks by its first six bytes; None when it is neither."""
    # the first record holds a ClientHello (RFC 8446 sections 4.1.2 and 5.1): type, version, length, kind of message
    if len(first) >= FIRST_BYTES and (first[0], first[1], first[5]) == (_HANDSHAKE_RECORD, _TLS_MAJOR, _CLIENT_HELLO):
        return WrongProtocol.TLS
    return WrongProtocol.HTTP if first[:FIRST_BYTES].startswith(_METHODS) else None


class SeldomTold:
    """Whether to say something of an address again: once a minute. For one thread at a time."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}
        """By address, the one that was told of first before the others."""

    def is_due(self, address: str, now: float) -> bool:
        """Whether to tell now; then it is not due for a minute. `now` is a clock in seconds that never goes back."""
        while self._told_at and now - next(iter(self._told_at.values())) >= _SECONDS:
            del self._told_at[next(iter(self._told_at))]
        if address in self._told_at or len(self._told_at) >= _MOST_ADDRESSES:
            return False
        self._told_at[address] = now
        return True
