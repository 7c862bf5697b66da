"""Mutations of the A-ASSOCIATE-RQ (PS3.8 section 9.3.2): each is all that its connection sees."""

from collections.abc import Callable
from random import Random

from tests.survival import wire
from tests.survival.case import Case, Ending
from tests.survival.values import mutate_bytes, nasty_text, wrong_length


def associate_case(random: Random) -> Case:
    """Make a case of this family."""
    make = random.choice(_MUTATIONS)
    content = make(random)
    # what is too short leaves the listener to wait for the rest
    ending = random.choices((Ending.CLOSE, Ending.WAIT), (30, 1))[0]
    tail = random.choice((b"", b"", wire.echo(1), wire.RELEASE_RQ, wire.ABORT))
    cut = random.randrange(len(content) + 1) if random.random() < 0.1 else None
    pieces = (content + tail,) if cut is None else (content[:cut], content[cut:] + tail)
    return Case(f"associate/{make.__name__.lstrip('_')}", False, tuple(p for p in pieces if p), ending)


def _contexts() -> list[bytes]:
    return [wire.context_item(*one) for one in wire.CONTEXTS]


def _bytes_changed(random: Random) -> bytes:
    return mutate_bytes(random, wire.associate_rq())


def _cut_off(random: Random) -> bytes:
    content = wire.associate_rq()
    return content[: random.randrange(len(content))]


def _pdu_length(random: Random) -> bytes:
    body = wire.associate_rq()[6:]
    return wire.pdu(wire.A_ASSOCIATE_RQ, body, wrong_length(random, len(body)))


def _other_pdu_first(random: Random) -> bytes:
    body = random.choice((wire.associate_rq()[6:], bytes(4), wire.echo(1)[6:], random.randbytes(100)))
    return wire.pdu(random.randrange(256), body)


def _titles(random: Random) -> bytes:
    titles = [nasty_text(random)[:16].ljust(16, random.choice((b" ", b"\0"))) for _ in range(2)]
    return wire.associate_rq(called=random.choice((titles[0], b"SEGWATCH")), calling=titles[1])


def _long_titles(random: Random) -> bytes:
    return wire.associate_rq(called=nasty_text(random), calling=nasty_text(random))


def _version(random: Random) -> bytes:
    head = wire.associate_head(version=random.choice((0, 2, 3, 0x8000, 0xFFFF)))
    return wire.pdu(wire.A_ASSOCIATE_RQ, head + b"".join((wire.APPLICATION_CONTEXT, *_contexts())))


def _items_left_out(random: Random) -> bytes:
    items = [wire.APPLICATION_CONTEXT, *_contexts(), wire.user_information()]
    kept = [one for one in items if random.random() < 0.5]
    random.shuffle(kept)
    return wire.pdu(wire.A_ASSOCIATE_RQ, wire.associate_head() + b"".join(kept))


def _no_contexts(_random: Random) -> bytes:
    return wire.associate_rq(wire.APPLICATION_CONTEXT, wire.user_information())


def _many_contexts(random: Random) -> bytes:
    count = random.choice((127, 128, 129, 200, 1000))
    contexts = [wire.context_item(2 * n + 1, wire.CT, wire.EXPLICIT) for n in range(count)]
    return wire.associate_rq(wire.APPLICATION_CONTEXT, *contexts, wire.user_information())


def _many_syntaxes(random: Random) -> bytes:
    syntaxes = [f"1.2.840.10008.1.2.{n}" for n in range(random.choice((100, 2000)))]
    context = wire.context_item(1, wire.CT, *syntaxes)
    return wire.associate_rq(wire.APPLICATION_CONTEXT, context, wire.user_information())


def _context_numbers(random: Random) -> bytes:
    contexts = [wire.context_item(random.choice((0, 1, 1, 2, 128, 255)), wire.CT, wire.EXPLICIT) for _ in range(4)]
    return wire.associate_rq(wire.APPLICATION_CONTEXT, *contexts, wire.user_information())


def _item_lengths(random: Random) -> bytes:
    items = [wire.APPLICATION_CONTEXT, *_contexts(), wire.user_information()]
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(items))
        body = items[at][4:]
        items[at] = wire.item(items[at][0] if items[at] else 0, body, wrong_length(random, len(body)))
    return wire.associate_rq(*items)


def _sub_item_lengths(random: Random) -> bytes:
    kind = random.choice((0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x30, 0x40))
    sub = wire.item(kind, random.randbytes(random.randrange(40)), random.choice((0, 1, 3, 40, 65535)))
    return wire.associate_rq(wire.APPLICATION_CONTEXT, *_contexts(), wire.user_information(sub))


def _unknown_items(random: Random) -> bytes:
    count = random.choice((1, 10, 3000))
    items = [wire.item(random.randrange(256), random.randbytes(random.randrange(8))) for _ in range(count)]
    usual = [wire.APPLICATION_CONTEXT, *_contexts(), wire.user_information(*items[:50])]
    at = random.randrange(len(usual))
    return wire.associate_rq(*usual[:at], *items, *usual[at:])


def _user_identity(random: Random) -> bytes:
    name = nasty_text(random)[:60000]
    length = random.choice((len(name), 0, 65535)).to_bytes(2, "big")
    body = (
        bytes([random.randrange(8), random.randrange(3)]) + length + name + random.choice((b"", b"\0\0", b"\xff\xff"))
    )
    return wire.associate_rq(wire.APPLICATION_CONTEXT, *_contexts(), wire.user_information(wire.item(0x58, body)))


def _uids(random: Random) -> bytes:
    abstract = random.choice((wire.item(0x30, nasty_text(random)[:60000]), b""))
    transfer = b"".join(wire.item(0x40, nasty_text(random)[:30000]) for _ in range(random.randrange(3)))
    context = wire.item(0x20, bytes([1, 0, 0, 0]) + abstract + transfer)
    application = random.choice((wire.APPLICATION_CONTEXT, wire.item(0x10, nasty_text(random)[:60000])))
    return wire.associate_rq(application, context, wire.user_information())


def _maximum_length(random: Random) -> bytes:
    maximum = random.choice((0, 1, 2, 5, 6, 7, 12, 0x7FFFFFFF, 0xFFFFFFFF))
    return wire.associate_rq(wire.APPLICATION_CONTEXT, *_contexts(), wire.user_information(maximum=maximum))


def _twice(_random: Random) -> bytes:
    return wire.associate_rq() * 2


def _noise(random: Random) -> bytes:
    return random.choice((b"\x01", b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n")) + random.randbytes(200)


_MUTATIONS: tuple[Callable[[Random], bytes], ...] = (
    _bytes_changed, _bytes_changed, _cut_off, _pdu_length, _other_pdu_first, _titles, _long_titles, _version,
    _items_left_out, _no_contexts, _many_contexts, _many_syntaxes, _context_numbers, _item_lengths, _sub_item_lengths,
    _unknown_items, _user_identity, _uids, _maximum_length, _twice, _noise,
)  # fmt: skip
