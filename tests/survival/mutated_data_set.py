"""Mutations of data sets in otherwise honest C-STORE requests: each gets a response, and Success is kept to."""

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from pydicom.filereader import read_file_meta_info

from tests.survival import wire
from tests.survival.case import Case, Ending, Store
from tests.survival.values import NASTY_UIDS, mutate_bytes, nasty_text, wrong_length

HEAD_BYTES = 6000
"""How much of a real file is taken: its identifiers lie there, its pixels are never read."""
Base = tuple[str, bytes]
"""Transfer syntax and encoded data set."""

_SYNTAXES = (wire.EXPLICIT, wire.IMPLICIT, wire.BIG_ENDIAN, wire.DEFLATED, wire.JPEG_LOSSLESS)
_VRS = b"AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()


def load_bases(test_data: Path) -> list[Base]:
    """Heads of the real files that are odd in some way; generated ones where there are none."""
    bases = [(syntax, _generated("1.2.826.68.1", syntax)) for syntax in _SYNTAXES]
    for path in sorted(test_data.glob("odd_*/**/*")) if test_data.is_dir() else []:
        if not path.is_file():
            continue
        content = path.read_bytes()
        if content[128:132] != b"DICM":
            continue
        syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", ""))
        if syntax in wire.CONTEXT_OF:
            offset = 144 + int.from_bytes(content[140:144], "little")
            bases.append((syntax, content[offset : offset + HEAD_BYTES]))
    return bases


def data_set_case(random: Random, number: int, bases: Sequence[Base]) -> Case:
    """Make a case of this family; `number` makes its UID, so that instances are as many as cases."""
    name, syntax, uid, data_set = mutated_data_set(random, number, bases)
    message = random.randrange(1, 0x7000)
    content = wire.store_message(
        uid,
        data_set,
        context=wire.CONTEXT_OF[syntax],
        message=message,
        fragment=random.choice((7, 100, 1000, 16000, 16000)) if len(data_set) < 2000 else 16000,
    )
    store = Store(uid, data_set, message)
    return Case(f"data set/{name}", True, (content,), Ending.ANSWER, store)


def mutated_data_set(random: Random, number: int, bases: Sequence[Base]) -> tuple[str, str, str, bytes]:
    """Make a data set: the name of its mutation, its transfer syntax, the UID it is sent under, and its bytes."""
    make = random.choice(_MUTATIONS)
    uid = f"1.2.826.68.{number}" if random.random() < 0.9 else f"1.2.826.69.{random.randrange(20)}"
    return make.__name__.lstrip("_"), *make(random, uid, bases)


def _generated(uid: str, syntax: str) -> bytes:
    encoded = wire.ct_data_set(uid, syntax=wire.EXPLICIT if syntax == wire.DEFLATED else syntax)
    return deflated(encoded) if syntax == wire.DEFLATED else encoded


def deflated(content: bytes) -> bytes:
    """Deflate without a header (PS3.5 section A.5)."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(content) + deflate.flush()


Mutated = tuple[str, str, bytes]


def _real_bytes_changed(random: Random, uid: str, bases: Sequence[Base]) -> Mutated:
    syntax, data_set = random.choice(bases)
    return syntax, uid, mutate_bytes(random, data_set)


def _generated_bytes_changed(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    syntax = random.choice(_SYNTAXES)
    return syntax, uid, mutate_bytes(random, _generated(uid, syntax))


def _other_syntax(random: Random, uid: str, bases: Sequence[Base]) -> Mutated:
    """Encoded in another transfer syntax than was negotiated."""
    return random.choice(_SYNTAXES), uid, random.choice((random.choice(bases)[1], _generated(uid, wire.EXPLICIT)))


def _nasty_uids(random: Random, _uid: str, _bases: Sequence[Base]) -> Mutated:
    """The same in command and data set, so that storing goes as far as it can."""
    syntax = random.choice((wire.EXPLICIT, wire.IMPLICIT))
    uids = [random.choice(NASTY_UIDS) if random.random() < 0.6 else "1.2.3" for _ in range(3)]
    short = [one[:60000] for one in uids]
    return syntax, short[0], wire.ct_data_set(short[0], study=short[1], series=short[2], syntax=syntax)


def _elements(uid: str) -> list[tuple[int, bytes, bytes]]:
    values = {
        0x00080005: (b"CS", b"ISO_IR 100"),
        0x00080016: (b"UI", wire.text_value(wire.CT)),
        0x00080018: (b"UI", wire.text_value(uid)),
        0x00080060: (b"CS", b"CT"),
        0x00081140: (b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0"),
        0x00100010: (b"PN", b"A^B "),
        0x0020000D: (b"UI", b"1.2.3\0"),
        0x0020000E: (b"UI", b"1.2.3.4\0"),
        0x7FE00010: (b"OW", bytes(32)),
    }
    return [(tag, vr, value) for tag, (vr, value) in values.items()]


def _elements_changed(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    """Elements left out, repeated, out of order, with another VR, value or length."""
    syntax = random.choice((wire.EXPLICIT, wire.IMPLICIT, wire.BIG_ENDIAN))
    elements = _elements(uid)
    encoded = []
    for tag, vr, value in elements:
        length = None
        if random.random() < 0.15:
            match random.randrange(6):
                case 0:
                    continue
                case 1:
                    vr = random.choice((*_VRS, b"\0\0", b"??", b"  "))  # noqa: PLW2901 (mutating is the purpose)
                case 2:
                    value = nasty_text(random)  # noqa: PLW2901 (mutating is the purpose)
                case 3:
                    length = wrong_length(random, len(value))
                case 4:
                    tag = random.choice((0, 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x00090010, 0xFFFFFFFF))  # noqa: PLW2901 (mutating is the purpose)
                case _:
                    encoded.append(wire.element(tag, vr, value, syntax=syntax))
        encoded.append(wire.element(tag, vr, value, syntax=syntax, length=length))
    if random.random() < 0.1:
        random.shuffle(encoded)
    return syntax, uid, b"".join(encoded)


def _nested(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    """Sequences in sequences before the identifiers, whole or never closed."""
    depth = random.choice((1, 10, 60, 500))
    start = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * depth
    end = (b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0") * random.choice((depth, 0, depth - 1))
    return wire.EXPLICIT, uid, start + end + wire.ct_data_set(uid)


def _empty_or_tiny(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    data_set = random.choice((b"", b"\0", b"\x08\0", bytes(8), bytes(1000), b"\xff" * 1000, random.randbytes(64)))
    return random.choice(_SYNTAXES), uid, data_set


def _bad_deflate(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    whole = deflated(wire.ct_data_set(uid, pixels=bytes(random.choice((10, 100_000)))))
    data_set = random.choice((whole[: random.randrange(len(whole))], mutate_bytes(random, whole), whole + b"more"))
    return wire.DEFLATED, uid, data_set


def _contradiction(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    return wire.EXPLICIT, uid, wire.ct_data_set(random.choice((uid + "1", uid[:-1], uid + ".", "")))


def _same_again(random: Random, _uid: str, _bases: Sequence[Base]) -> Mutated:
    """Instances that were sent before, identical or with another content."""
    uid = f"1.2.826.70.{random.randrange(5)}"
    return wire.EXPLICIT, uid, wire.ct_data_set(uid, pixels=bytes([random.randrange(8)]) * 64)


def _untouched(random: Random, uid: str, _bases: Sequence[Base]) -> Mutated:
    syntax = random.choice(_SYNTAXES)
    return syntax, uid, _generated(uid, syntax)


_MUTATIONS: tuple[Callable[[Random, str, Sequence[Base]], Mutated], ...] = (
    _real_bytes_changed, _real_bytes_changed, _generated_bytes_changed, _generated_bytes_changed, _other_syntax,
    _nasty_uids, _elements_changed, _elements_changed, _elements_changed, _nested, _empty_or_tiny, _bad_deflate,
    _contradiction, _same_again, _untouched,
)  # fmt: skip
