"""Mutations of STOW-RS requests around their bodies: heads, paths, lengths, chunks, and where they end."""

from collections.abc import Callable
from random import Random
from urllib.parse import quote

from tests.survival import http_wire, wire
from tests.survival.case import Case, Ending
from tests.survival.values import NASTY_UIDS, mutate_bytes, nasty_text

UID = "1.2.826.91.1"
_LENGTHS = (
    b"", b"-1", b"+5", b"0", b"1", b"1e3", b"0x10", b"00000000000000000000001", b"9" * 18, b"9" * 19, b"9" * 5000,
    b"18446744073709551616", b"5, 5", b"5,6", b" 7", b"\xb2", "٣".encode(), b"NaN",
)  # fmt: skip
_SIZES = (
    b"", b"-1", b"+5", b"g", b"0x5", b"ffffffff", b"ffffffffffffffff", b"f" * 300, b"0", b"5;a=b", b"5;" + b"x" * 20000,
    b" 5", b"5 ", b"\0", b"00000000000000000005",
)  # fmt: skip
_METHODS = (
    b"GET",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"HEAD",
    b"TRACE",
    b"CONNECT",
    b"PATCH",
    b"post",
    b"",
    b"P\0ST",
    b"A" * 9000,
)
_PATHS = (
    b"", b"/", b"//", b"*", b"/studies/", b"/studies//", b"/studies/..", b"/studies/../../../etc/passwd", b"/studies/%",
    b"/studies/%00", b"/studies/%2e%2e%2f", b"/studies/1.2.3/series", b"/studies?x=1", b"/studies#x", b"studies",
    b"http://segwatch/studies", b"/studies/" + b"1" * 65, b"/" + b"a" * 15_000, b"/" + b"a" * 70_000, b"/\xff\xfe",
    b"/ studies",
)  # fmt: skip


def http_push(random: Random) -> Case:
    """Make a case of this family."""
    make = random.choice(_MUTATIONS)
    content = make(random)
    # most leave the listener to wait for more, or want nothing of it
    ending = random.choices((Ending.CLOSE, Ending.WAIT), (60, 1))[0]
    cuts = sorted(random.randrange(len(content) + 1) for _ in range(random.choice((0, 0, 1, 3))))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return Case(f"stow http/{make.__name__.lstrip('_')}", False, tuple(piece for piece in pieces if piece), ending)


def _body(random: Random) -> bytes:
    uids = [f"{UID}.{n}" for n in range(random.choice((1, 1, 3)))]
    return http_wire.multipart(http_wire.part(http_wire.part10(uid, wire.ct_data_set(uid))) for uid in uids)


def _with(random: Random, changes: dict[bytes, bytes | None], *more: http_wire.Header) -> bytes:
    """Encode a request with other values of headers, None leaves one out, and further headers."""
    body = _body(random)
    headers = [(name, changes.get(name, value)) for name, value in http_wire.usual_headers(body)]
    return http_wire.head([*((name, value) for name, value in headers if value is not None), *more]) + body


def _bytes_changed(random: Random) -> bytes:
    return mutate_bytes(random, http_wire.push(_body(random)))


def _head_changed(random: Random) -> bytes:
    body = _body(random)
    return mutate_bytes(random, http_wire.head(http_wire.usual_headers(body))) + body


def _cut_off(random: Random) -> bytes:
    content = http_wire.push(_body(random))
    return content[: random.randrange(len(content))]


def _content_length(random: Random) -> bytes:
    return _with(random, {b"Content-Length": random.choice((*_LENGTHS, str(random.randrange(5000)).encode()))})


def _two_lengths(random: Random) -> bytes:
    """What requests are smuggled by (RFC 9112 section 11.2)."""
    more = random.choice(
        (
            ((b"Content-Length", random.choice(_LENGTHS)),),
            ((b"Transfer-Encoding", b"chunked"),),
            ((b"Transfer-Encoding", b"chunked, identity"),),
            ((b"Transfer-Encoding", b"gzip, chunked"),),
            ((b"Transfer-Encoding", b"\x0bchunked"), (b"Transfer-Encoding", b"chunked")),
        )
    )
    return _with(random, {}, *more)


def _chunks(random: Random) -> bytes:
    body, at, chunks = _body(random), 0, []
    while at < len(body):
        size = random.choice((1, 5, 100, 1000))
        wrong = random.choice(_SIZES) if random.random() < 0.05 else None
        chunks.append(http_wire.chunk(body[at : at + size], wrong))
        at += size
    trailers = (b"\r\n", b"Content-Length: 5\r\n\r\n", b"X: " + b"y" * 30_000 + b"\r\n\r\n", b"", b"no colon\r\n\r\n")
    last = random.choice((b"0\r\n", b"0\r\n", b"0\r\n", b"", b"00\r\n", b"-0\r\n")) + random.choice(trailers)
    headers = [(b"Host", b"x"), (b"Content-Type", http_wire.content_type()), (b"Transfer-Encoding", b"chunked")]
    return http_wire.head(headers) + b"".join(chunks) + last


def _path(random: Random) -> bytes:
    uid = random.choice(NASTY_UIDS)
    shown = uid.encode("utf-8", "surrogateescape")[:20_000]
    paths = (random.choice(_PATHS), b"/studies/" + quote(shown).encode()[:20_000], b"/studies/" + shown)
    body = _body(random)
    return http_wire.head(http_wire.usual_headers(body), path=random.choice(paths)) + body


def _method(random: Random) -> bytes:
    body = _body(random)
    return http_wire.head(http_wire.usual_headers(body), method=random.choice(_METHODS)) + random.choice((b"", body))


def _version(random: Random) -> bytes:
    versions = (b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/9" * 100, b"", b"ICY", b"HTTP/1.1\0")
    return http_wire.push(_body(random)).replace(b"HTTP/1.1", random.choice(versions), 1)


def _other_headers(random: Random) -> bytes:
    def header() -> http_wire.Header:
        names = (
            b"Accept", b"Expect", b"Content-Encoding", b"Authorization", b"Connection", b"Upgrade", b"X-Forwarded-For",
            b"Host", b"Cookie", b"Content-Type", b"Sec-WebSocket-Key", b"HTTP2-Settings", b"", b" ", b"a b", b"\xff",
        )  # fmt: skip
        values = (
            b"", b"*/*;q=0", b"application/dicom+xml", b"100-continue", b"gzip", b"Bearer x", b"Bearer " + b"x" * 9000,
            b"close", b"upgrade, HTTP2-Settings", b"h2c", b"websocket", b"127.0.0.1", b"a,b" * 2000, b";q=" * 100,
            b"\0",
        )  # fmt: skip
        return random.choice(names), random.choice((*values, nasty_text(random)[:20_000]))

    return _with(random, {}, *(header() for _ in range(random.choice((1, 1, 3, 30, 3000)))))


def _head_too_long(random: Random) -> bytes:
    size = random.choice((15_000, 16_000, 16_384, 20_000, 200_000))
    return _with(random, {}, (b"X" * random.choice((1, size)), b"y" * size))


def _header_left_out(random: Random) -> bytes:
    return _with(random, {random.choice((b"Host", b"Content-Type", b"Content-Length")): None})


def _line_ends(random: Random) -> bytes:
    body = _body(random)
    head = http_wire.head(http_wire.usual_headers(body))
    return head.replace(b"\r\n", random.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n "))) + body


def _several_requests(random: Random) -> bytes:
    ends = (b"", b"", b"\r\n", random.randbytes(20), b"GET / HTTP/1.1\r\n")
    return b"".join(http_wire.push(_body(random)) + random.choice(ends) for _ in range(random.choice((2, 3, 20))))


def _not_http(random: Random) -> bytes:
    hello = bytes.fromhex("16030100050100000100")
    return random.choice(
        (
            random.randbytes(random.randrange(1, 3000)),
            wire.associate_rq(),
            hello,
            b"\r\n" * 500,
            b"PRI * HTTP/2.0\r\n\r\n",
        )
    )


_MUTATIONS: tuple[Callable[[Random], bytes], ...] = (
    _bytes_changed, _bytes_changed, _head_changed, _head_changed, _cut_off, _cut_off, _content_length, _content_length,
    _two_lengths, _chunks, _chunks, _chunks, _path, _path, _method, _version, _other_headers, _other_headers,
    _head_too_long, _header_left_out, _line_ends, _several_requests, _not_http,
)  # fmt: skip
