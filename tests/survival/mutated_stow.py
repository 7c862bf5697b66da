"""Mutations of the bodies of STOW-RS requests: data sets, files, parts and what holds them together."""

from collections.abc import Callable, Sequence
from random import Random

from tests.survival import http_wire, wire
from tests.survival.case import Case, Ending, Store
from tests.survival.mutated_data_set import Base, mutated_data_set
from tests.survival.values import NASTY_UIDS, mutate_bytes, nasty_text, wrong_length

UID = "1.2.826.90.1"
STUDY = "1.2.3"
_NASTY_BOUNDARIES = (
    b"", b" ", b'""', b"a" * 200, b"a" * 201, b"a" * 5000, b"-", b"--", b"a-boundary--", b"a\0b", b"a b", b"a;b",
    b"\xff\xfe", b'"a-boundary', b"'(),/:=?", b"a-boundary; boundary=b", b"=", b"a\tb",
)  # fmt: skip
_NASTY_KINDS = (
    b"", b"application/dicom; x=" + b"y" * 2000, b"text/plain", b"multipart/related", b"application/dicom+json",
    b"application/dicom;;;;", b'application/dicom; a="', b"APPLICATION/DICOM", b"\xff\xfe/\x80",
    b"application/octet-stream",
)  # fmt: skip


def data_set_push(random: Random, number: int, bases: Sequence[Base]) -> Case:
    """Make a push, honest but for one data set; each gets an answer, and 200 is kept to."""
    name, syntax, uid, data_set = mutated_data_set(random, number, bases)
    file = http_wire.part10(uid, data_set, syntax=syntax)
    path = random.choice((b"/studies", b"/studies", b"/studies/" + STUDY.encode(), b"/studies/1.9"))
    if random.random() < 0.3:
        content = http_wire.push(file, kind=http_wire.DICOM, path=path)
    else:
        before = [http_wire.part(_file(f"{UID}.{n}")) for n in range(random.choice((0, 0, 1, 3)))]
        content = http_wire.push(http_wire.multipart([*before, http_wire.part(file)]), path=path)
    store = Store(uid, data_set, 0)
    return Case(f"stow data set/{name}", True, _cut(random, content), Ending.ANSWER, store)


def body_push(random: Random) -> Case:
    """Make a push whose body is wrong beneath its data sets, and whose head fits the body."""
    make = random.choice(_BODIES)
    body = make(random)
    kind = http_wire.content_type()
    if isinstance(body, tuple):
        body, kind = body
    content = http_wire.push(body, kind=kind)
    return Case(f"stow body/{make.__name__.lstrip('_')}", True, _cut(random, content), Ending.ANSWER)


def _cut(random: Random, content: bytes) -> tuple[bytes, ...]:
    """Cut what is sent into pieces, so that delimiters come in halves."""
    cuts = sorted(random.randrange(len(content) + 1) for _ in range(random.choice((0, 0, 1, 3, 12))))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return tuple(piece for piece in pieces if piece)


def _file(uid: str = UID) -> bytes:
    return http_wire.part10(uid, wire.ct_data_set(uid))


def _honest(random: Random) -> bytes:
    return http_wire.multipart(http_wire.part(_file(f"{UID}.{n}")) for n in range(random.randrange(1, 4)))


def _bytes_changed(random: Random) -> bytes:
    return mutate_bytes(random, _honest(random))


def _cut_off(random: Random) -> bytes:
    body = _honest(random)
    return body[: random.randrange(len(body))]


def _boundary_in_the_head(random: Random) -> tuple[bytes, bytes]:
    boundary = random.choice(_NASTY_BOUNDARIES)
    used = random.choice((boundary, boundary.strip(b'"'), http_wire.BOUNDARY))
    return http_wire.multipart([http_wire.part(_file())], used), http_wire.content_type(boundary)


def _content_type(random: Random) -> tuple[bytes, bytes]:
    kind = random.choice((*_NASTY_KINDS, nasty_text(random).replace(b"\r", b"").replace(b"\n", b"")[:3000]))
    return _honest(random), kind


def _delimiters(random: Random) -> bytes:
    """Delimiters left out, doubled, too long, or with other line ends."""
    parts = [http_wire.part(_file(f"{UID}.{n}")) for n in range(3)]
    pieces = []
    for one in parts:
        line = b"--" + http_wire.BOUNDARY
        delimiter = random.choice((line, line, line, line * 2, line + b"x", line[:-1], b"", line + b"  ", line + b"--"))
        pieces.append(delimiter + random.choice((b"\r\n", b"\r\n", b"\n", b"\r", b"")) + one)
    end = b"\r\n--" + http_wire.BOUNDARY
    tail = random.choice((b"--\r\n", b"--", b"--\n", b"-", b"", b"--\r\nmore after the end", b"--" + end + b"--\r\n"))
    return (
        random.choice((b"", b"a preamble\r\n", b"\r\n"))
        + random.choice((b"\r\n", b"\n", b"")).join(pieces)
        + end
        + tail
    )


def _part_headers(random: Random) -> bytes:
    def header() -> http_wire.Header:
        names = (
            b"Content-Type",
            b"content-type",
            b"Content-Transfer-Encoding",
            b"Content-Length",
            b"X",
            b"",
            b" ",
            b"\0",
        )
        values = (http_wire.DICOM, b"base64", b"", b"-1", b"99999999999", b"v" * random.choice((1, 900, 1100, 70_000)))
        return random.choice(names), random.choice((*values, *_NASTY_KINDS, nasty_text(random)))

    headers = [header() for _ in range(random.choice((0, 1, 2, 15, 16, 17, 500)))]
    return http_wire.multipart([http_wire.part(_file(), headers, end=random.choice((b"\r\n", b"\r\n", b"\n")))])


def _header_lines(random: Random) -> bytes:
    line = random.choice((b"no colon", b" folded", b":", b"a:b:c", b"\xff\xff: x", b"Content-Type", b"a" * 3000, b"\r"))
    return http_wire.multipart([line + b"\r\n" + http_wire.part(_file())])


def _many_parts(random: Random) -> bytes:
    small = random.choice((b"", b"\r\n", b"\r\n\r\n", http_wire.part(b""), http_wire.part(bytes(200))))
    return http_wire.multipart([small] * random.choice((1, 50, 1000)))


def _no_parts(random: Random) -> bytes:
    return random.choice(
        (b"", http_wire.multipart([]), b"\r\n", b"--", b"--" + http_wire.BOUNDARY, random.randbytes(500))
    )


def _delimiters_in_files(random: Random) -> bytes:
    line = b"\r\n--" + http_wire.BOUNDARY
    inner = random.choice((line[: random.randrange(1, len(line))], line, line + b"-", line + b"--", line + b"\r\n"))
    pixels = inner * random.choice((1, 2, 30))
    return http_wire.multipart([http_wire.part(http_wire.part10(UID, wire.ct_data_set(UID, pixels=pixels)))])


def _nested(random: Random) -> bytes:
    inner = http_wire.multipart([http_wire.part(_file())], random.choice((http_wire.BOUNDARY, b"inner")))
    kind = http_wire.content_type(b"inner")
    return http_wire.multipart([http_wire.part(inner, ((b"Content-Type", kind),))])


def _file_meta(random: Random) -> bytes:
    """Heads of files: nothing, parts of them, other lengths, values and orders."""
    file, length = _file(), len(_file()) - len(wire.ct_data_set(UID))
    data_set = file[length:]
    nasty = random.choice(NASTY_UIDS)[:60000]
    long = wire.element(
        0x00020102, b"OB", bytes(random.choice((10, 60_000, 70_000))), length=random.choice((None, 1 << 31))
    )
    return http_wire.multipart(
        [
            http_wire.part(
                random.choice(
                    (
                        mutate_bytes(random, file[:length]) + data_set,
                        file[: random.randrange(len(file))],
                        file[random.choice((1, 128, 132, length)) :],
                        http_wire.part10(nasty, data_set),
                        http_wire.part10(UID, data_set, syntax=nasty),
                        http_wire.part10(UID, data_set, sop_class=nasty),
                        file[:140] + wrong_length(random, length).to_bytes(4, "little") + file[144:],
                        file[:length] + long + data_set,
                        bytes(random.choice((0, 131, 132, 70_000))),
                        b"DICM" + random.randbytes(300),
                    )
                )
            )
        ]
    )


def _single(random: Random) -> tuple[bytes, bytes]:
    file = _file()
    return random.choice(
        (mutate_bytes(random, file), file[: random.randrange(len(file))], b"", file * 2)
    ), http_wire.DICOM


_BODIES: tuple[Callable[[Random], bytes | tuple[bytes, bytes]], ...] = (
    _honest, _bytes_changed, _bytes_changed, _bytes_changed, _cut_off, _boundary_in_the_head, _content_type,
    _delimiters, _delimiters, _part_headers, _part_headers, _header_lines, _many_parts, _no_parts, _delimiters_in_files,
    _nested, _file_meta, _file_meta, _single,
)  # fmt: skip
