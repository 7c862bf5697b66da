"""Values that break programs, and byte-level mutations."""

import string
from random import Random

NASTY_UIDS: tuple[str, ...] = (
    "",
    "/",
    "../../../../tmp/segwatch-escaped",
    "..",
    ".",
    "/etc/passwd",
    "1.2.3/../../4",
    "1.2.3\0.4",
    "\0",
    "1" * 64,
    "1" * 65,
    "1." * 5000,
    "9" * 60000,
    "1.2.3 ",
    " 1.2.3",
    "1.2.3\n4",
    "1..2",
    ".1.2",
    "1.2.",
    "-1.2",
    "1.2.٣",
    "１．２．３",
    "ümlaut",
    "\udce9\udcff",
    "1.2.3\\1.2.4",
    "C:\\temp\\x",
    "~root",
    "$(id)",
    "%s%s%n",
    "1.2.3;rm",
    "1.02.3",
)
"""As UIDs: slashes, dots, nulls, 65 characters and more, empty, not ASCII, several values."""

LENGTHS: tuple[int, ...] = (
    0, 1, 2, 3, 4, 5, 6, 7, 8, 127, 128, 255, 256, 16383, 16384, 16385, 65534, 65535, 65536, 131072, 131078, 1 << 20,
    0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF,
)  # fmt: skip
"""As lengths: nothing, off by one, at the edges of signs and fields, 2 GB and 4 GB."""


def wrong_length(random: Random, right: int) -> int:
    """Return a length that is off by a little, by a factor, or altogether."""
    near = (right + random.choice((-6, -2, -1, 1, 2, 6)), right * 2, right // 2)
    return random.choice((*near, random.choice(LENGTHS))) & 0xFFFFFFFF


def nasty_text(random: Random) -> bytes:
    """Return bytes for a field of text."""
    printable = "".join(random.choices(string.printable, k=random.randrange(40)))
    choices = (
        random.randbytes(random.randrange(70)),
        printable.encode(),
        random.choice(NASTY_UIDS).encode("utf-8", "surrogateescape"),
        b"A" * random.choice((16, 17, 64, 1000, 65000)),
        b"\xff" * 20,
        b"\0" * 16,
    )
    return random.choice(choices)


def mutate_bytes(random: Random, content: bytes) -> bytes:
    """Change some bytes without regard to what they mean."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        at = random.randrange(len(changed) + 1)
        match random.randrange(7):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << random.randrange(8)
            case 1 if changed:
                changed[at % len(changed)] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                changed[at:at] = random.randbytes(random.randrange(1, 9))
            case 3:
                del changed[at : at + random.randrange(1, 9)]
            case 4:
                changed[at : at + 4] = random.choice(LENGTHS).to_bytes(4, random.choice(("little", "big")))
            case 5:
                other = random.randrange(len(changed) + 1)
                changed[at:at] = changed[other : other + random.randrange(1, 200)]
            case _:
                del changed[at:]
    return bytes(changed)
