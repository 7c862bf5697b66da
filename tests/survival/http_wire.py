"""A STOW-RS request byte by byte (RFC 9112, RFC 2387, PS3.18 section 10.5), so that every byte of it can be wrong."""

from collections.abc import Iterable, Sequence

from tests.survival import wire

BOUNDARY = b"a-boundary"
END = b"\r\n"
DICOM = b"application/dicom"
Header = tuple[bytes, bytes]


def part10(uid: str, data_set: bytes, *, syntax: str = wire.EXPLICIT, sop_class: str = wire.CT) -> bytes:
    """Encode a file (PS3.10 section 7.1) around a data set."""
    elements = b"".join(
        (
            wire.element(0x00020002, b"UI", wire.text_value(sop_class)),
            wire.element(0x00020003, b"UI", wire.text_value(uid)),
            wire.element(0x00020010, b"UI", wire.text_value(syntax)),
        )
    )
    length = wire.element(0x00020000, b"UL", len(elements).to_bytes(4, "little"))
    return bytes(128) + b"DICM" + length + elements + data_set


def content_type(boundary: bytes = BOUNDARY) -> bytes:
    """Encode the value of the header of a multipart request."""
    return b'multipart/related; type="application/dicom"; boundary=' + boundary


def part(content: bytes, headers: Sequence[Header] = ((b"Content-Type", DICOM),), *, end: bytes = END) -> bytes:
    """Encode a part, from after its delimiter to before the next."""
    return b"".join(name + b": " + value + end for name, value in headers) + end + content


def multipart(parts: Iterable[bytes], boundary: bytes = BOUNDARY, *, end: bytes = END) -> bytes:
    """Encode a whole multipart body."""
    return b"".join(b"--" + boundary + end + one + end for one in parts) + b"--" + boundary + b"--" + end


def head(headers: Sequence[Header], *, path: bytes = b"/studies", method: bytes = b"POST") -> bytes:
    """Encode a request head, without adding anything to these headers."""
    lines = [method + b" " + path + b" HTTP/1.1", *(name + b": " + value for name, value in headers)]
    return END.join(lines) + END + END


def usual_headers(body: bytes, kind: bytes = content_type()) -> list[Header]:
    """Give the headers of an honest request."""
    length = str(len(body)).encode()
    return [(b"Host", b"segwatch"), (b"Content-Type", kind), (b"Content-Length", length)]


def push(body: bytes, *, kind: bytes = content_type(), path: bytes = b"/studies") -> bytes:
    """Encode a request with an honest head."""
    return head(usual_headers(body, kind), path=path) + body


def chunk(content: bytes, size: bytes | None = None) -> bytes:
    """Encode a chunk, with another size than its own if wished."""
    return (f"{len(content):x}".encode() if size is None else size) + END + content + END
