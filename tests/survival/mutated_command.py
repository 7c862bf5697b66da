"""Mutations of DIMSE command sets (PS3.7 sections 6.3 and 9.3), well framed by the upper layer."""

from collections.abc import Callable
from random import Random

from tests.survival import wire
from tests.survival.case import Case, Ending
from tests.survival.values import LENGTHS, NASTY_UIDS, mutate_bytes, nasty_text, wrong_length

UID = "1.2.826.67.1"
COMMAND_FIELDS = (
    0x0001, 0x8001, 0x0010, 0x8010, 0x0020, 0x8020, 0x0021, 0x8021, 0x0030, 0x8030, 0x0100, 0x8100, 0x0110, 0x8110,
    0x0120, 0x8120, 0x0130, 0x8130, 0x0140, 0x8140, 0x0150, 0x8150, 0x0FFF,
)  # fmt: skip
"""All of PS3.7 section E.1."""


def command_case(random: Random) -> Case:
    """Make a case of this family."""
    make = random.choice(_MUTATIONS)
    command = make(random)
    context = random.choices((1, wire.ECHO_CONTEXT, 15), (8, 1, 1))[0]
    cut = random.choice((len(command), len(command), random.randrange(len(command) + 1)))
    items = [wire.pdv(context, wire.COMMAND, command[:cut])] if cut < len(command) else []
    items.append(wire.pdv(context, wire.LAST_COMMAND, command[cut:] if cut < len(command) else command))
    data = wire.p_data(wire.pdv(context, wire.LAST_DATA, wire.ct_data_set(UID)))
    content = wire.p_data(*items) + random.choices((data, b""), (4, 1))[0]
    return Case(f"command/{make.__name__.lstrip('_')}", True, (content,), Ending.ECHO)


def _elements_left_out(random: Random) -> bytes:
    return wire.command_set([one for one in wire.store_elements(UID).values() if random.random() < 0.7])


def _one_left_out(random: Random) -> bytes:
    elements = wire.store_elements(UID)
    del elements[random.choice(sorted(elements))]
    return wire.command_set(list(elements.values()))


def _group_length(random: Random) -> bytes:
    elements = list(wire.store_elements(UID).values())
    return wire.command_set(elements, wrong_length(random, len(b"".join(elements))))


def _no_group_length(_random: Random) -> bytes:
    return b"".join(wire.store_elements(UID).values())


def _command_field(random: Random) -> bytes:
    field = random.choice((random.choice(COMMAND_FIELDS), random.randrange(0x10000)))
    elements = wire.store_elements(UID, data_set_type=random.choice((1, wire.NO_DATA_SET)))
    elements[0x0100] = wire.command_element(0x0100, field)
    return wire.command_set(list(elements.values()))


def _other_service(random: Random) -> bytes:
    """Requests and responses of the other services, with what they carry."""
    elements: dict[int, bytes | int | str] = {
        0x0002: wire.CT,
        0x0003: wire.CT,
        0x0100: random.choice(COMMAND_FIELDS),
        0x0110: 7,
        0x0120: 7,
        0x0600: b"OTHER ",
        0x0700: random.randrange(4),
        0x0800: random.choice((1, wire.NO_DATA_SET)),
        0x0900: random.choice((0, 0xFF00, 0xFE00, random.randrange(0x10000))),
        0x1000: UID,
        0x1001: UID,
        0x1002: random.randrange(4),
        0x1005: random.randbytes(8),
        0x1008: random.randrange(4),
    }
    kept = {number: value for number, value in elements.items() if random.random() < 0.8}
    return wire.command_set([wire.command_element(number, value) for number, value in kept.items()])


def _value(random: Random) -> bytes:
    elements = wire.store_elements(UID)
    number = random.choice(sorted(elements))
    value = random.choice((b"", nasty_text(random), random.randbytes(random.choice((1, 2, 3, 4, 100)))))
    elements[number] = wire.command_element(number, value)
    return wire.command_set(list(elements.values()))


def _uid(random: Random) -> bytes:
    uid = random.choice(NASTY_UIDS)
    sop_class = random.choice((wire.CT, wire.CT, wire.ENHANCED_CT, uid))
    return wire.store_command(uid, sop_class=sop_class)


def _element_length(random: Random) -> bytes:
    elements = wire.store_elements(UID)
    number = random.choice(sorted(elements))
    right = elements[number]
    length = wrong_length(random, len(right) - 8)
    elements[number] = right[:4] + length.to_bytes(4, "little") + right[8:]
    return wire.command_set(list(elements.values()))


def _order(random: Random) -> bytes:
    elements = list(wire.store_elements(UID).values()) * random.choice((1, 2))
    random.shuffle(elements)
    return wire.command_set(elements)


def _more_elements(random: Random) -> bytes:
    elements = list(wire.store_elements(UID).values())
    count = random.choice((1, 5, 300))
    extra = [wire.command_element(random.randrange(0x10000), nasty_text(random)[:200]) for _ in range(count)]
    return wire.command_set(elements + extra)


def _other_groups(random: Random) -> bytes:
    elements = list(wire.store_elements(UID).values())
    elements.append(wire.ct_data_set(UID, syntax=random.choice((wire.IMPLICIT, wire.EXPLICIT))))
    return wire.command_set(elements)


def _data_set_type(random: Random) -> bytes:
    kind = random.choice((0, 2, wire.NO_DATA_SET, 0x0100, 0xFFFF))
    return wire.command_set(list(wire.store_elements(UID, data_set_type=kind).values()))


def _undefined_lengths(random: Random) -> bytes:
    nested = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" * random.choice((1, 100))
    sequence = b"\0\0\x02\x10\xff\xff\xff\xff" + nested
    return wire.command_set([*wire.store_elements(UID).values(), sequence])


def _bytes_changed(random: Random) -> bytes:
    return mutate_bytes(random, wire.store_command(UID))


def _huge(_random: Random) -> bytes:
    return wire.command_set([*wire.store_elements(UID).values(), wire.command_element(0x1005, bytes(50_000))])


def _bare(random: Random) -> bytes:
    length = random.choice(LENGTHS)
    return random.choice((b"", b"\0", bytes(12), b"\0\0\0\0\4\0\0\0" + length.to_bytes(4, "little"), bytes(1000)))


def _echo_with_surprises(random: Random) -> bytes:
    elements: list[tuple[int, bytes | int | str]] = [
        (0x0002, random.choice((wire.VERIFICATION, wire.CT, ""))),
        (0x0100, wire.C_ECHO_RQ),
        (0x0110, random.randrange(0x10000)),
        (0x0800, random.choice((wire.NO_DATA_SET, 1))),
    ]
    return wire.command_set([wire.command_element(*one) for one in elements if random.random() < 0.9])


_MUTATIONS: tuple[Callable[[Random], bytes], ...] = (
    _elements_left_out, _one_left_out, _group_length, _no_group_length, _command_field, _other_service, _value, _uid,
    _element_length, _order, _more_elements, _other_groups, _data_set_type, _undefined_lengths, _bytes_changed, _huge,
    _bare, _echo_with_surprises,
)  # fmt: skip
