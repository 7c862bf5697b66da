"""Mutations of what follows an accepted association: PDUs, PDVs, and their order (PS3.8 sections 9.2 and 9.3)."""

from collections.abc import Callable
from random import Random

from tests.survival import wire
from tests.survival.case import Case, Ending
from tests.survival.values import mutate_bytes, wrong_length

UID = "1.2.826.66.1"
_END = (wire.RELEASE_RQ, wire.RELEASE_RP, wire.ABORT)


def pdu_case(random: Random) -> Case:
    """Make a case of this family."""
    make = random.choice(_MUTATIONS)
    content = make(random)
    ending = random.choices((Ending.CLOSE, Ending.WAIT), (40, 1))[0]
    if random.random() < 0.5:
        content += wire.echo(1)
    cuts = sorted(random.randrange(len(content) + 1) for _ in range(random.choice((0, 0, 1, 3))))
    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return Case(f"pdu/{make.__name__.lstrip('_')}", True, tuple(piece for piece in pieces if piece), ending)


def _message(random: Random) -> bytes:
    return wire.store_message(UID, wire.ct_data_set(UID), fragment=random.choice((8, 100, 16000)))


def _bytes_changed(random: Random) -> bytes:
    return mutate_bytes(random, _message(random))


def _cut_off(random: Random) -> bytes:
    content = _message(random)
    return content[: random.randrange(len(content))]


def _pdu_type(random: Random) -> bytes:
    return wire.pdu(random.randrange(256), random.choice((bytes(4), _message(random)[6:], random.randbytes(50))))


def _pdu_length(random: Random) -> bytes:
    command = wire.pdv(1, wire.LAST_COMMAND, wire.store_command(UID))
    return wire.pdu(wire.P_DATA_TF, command, wrong_length(random, len(command)))


def _pdv_length(random: Random) -> bytes:
    fragment = random.choice((wire.store_command(UID), wire.ct_data_set(UID)))
    control = random.choice((wire.LAST_COMMAND, wire.COMMAND, wire.DATA, wire.LAST_DATA))
    return wire.p_data(wire.pdv(1, control, fragment, wrong_length(random, len(fragment) + 2)))


def _pdv_length_of_data(random: Random) -> bytes:
    data_set = wire.ct_data_set(UID)
    control = random.choice((wire.DATA, wire.LAST_DATA))
    wrong = wire.pdv(1, control, data_set, wrong_length(random, len(data_set) + 2))
    return wire.p_data(wire.pdv(1, wire.LAST_COMMAND, wire.store_command(UID))) + wire.p_data(wrong)


def _several_pdvs(random: Random) -> bytes:
    data_set = wire.ct_data_set(UID)
    half = random.randrange(len(data_set))
    items = [
        wire.pdv(1, wire.LAST_COMMAND, wire.store_command(UID)),
        wire.pdv(1, wire.DATA, data_set[:half]),
        wire.pdv(1, wire.LAST_DATA, data_set[half:]),
        wire.pdv(wire.ECHO_CONTEXT, wire.LAST_COMMAND, wire.echo_command(2)),
    ]
    if random.random() < 0.6:
        random.shuffle(items)
    return wire.p_data(*items)


def _tiny_pdvs(random: Random) -> bytes:
    command = wire.store_command(UID)
    items = [wire.pdv(1, wire.COMMAND, command[n : n + 1]) for n in range(len(command))]
    items.append(wire.pdv(1, wire.LAST_COMMAND, b""))
    return wire.p_data(*items) if random.random() < 0.5 else b"".join(wire.p_data(one) for one in items)


def _empty(random: Random) -> bytes:
    empty = (wire.p_data(), wire.p_data(wire.pdv(1, random.randrange(256), b"")), wire.pdu(wire.P_DATA_TF, bytes(4)))
    return random.choice(empty) * random.choice((1, 3, 100))


def _control_header(random: Random) -> bytes:
    command, data_set = wire.store_command(UID), wire.ct_data_set(UID)
    headers = [random.randrange(256), random.randrange(256)]
    return wire.p_data(wire.pdv(1, headers[0], command)) + wire.p_data(wire.pdv(1, headers[1], data_set))


def _context_not_accepted(random: Random) -> bytes:
    context = random.choice((0, 2, 19, 128, 255, wire.ECHO_CONTEXT))
    return wire.store_message(UID, wire.ct_data_set(UID), context=context)


def _context_changes(random: Random) -> bytes:
    data = wire.pdv(random.choice((3, 5, 2, 255)), wire.LAST_DATA, wire.ct_data_set(UID))
    return wire.p_data(wire.pdv(1, wire.LAST_COMMAND, wire.store_command(UID))) + wire.p_data(data)


def _data_before_command(random: Random) -> bytes:
    control = random.choice((wire.DATA, wire.LAST_DATA))
    return wire.p_data(wire.pdv(1, control, wire.ct_data_set(UID))) + _message(random)


def _fragments_without_end(random: Random) -> bytes:
    control = random.choice((wire.COMMAND, wire.DATA))
    start = b"" if control == wire.COMMAND else wire.p_data(wire.pdv(1, wire.LAST_COMMAND, wire.store_command(UID)))
    return start + wire.p_data(wire.pdv(1, control, random.randbytes(1000))) * random.choice((1, 10, 200))


def _interleaved(random: Random) -> bytes:
    first = wire.p_data(wire.pdv(1, wire.LAST_COMMAND, wire.store_command(UID, message=1)))
    part = wire.p_data(wire.pdv(1, wire.DATA, wire.ct_data_set(UID)[:40]))
    second = random.choice((wire.echo(2), _message(random), first))
    return first + part + second + wire.p_data(wire.pdv(1, wire.LAST_DATA, wire.ct_data_set(UID)[40:]))


def _ended_in_the_middle(random: Random) -> bytes:
    content, end = _message(random), random.choice(_END)
    boundaries = [0]
    while boundaries[-1] < len(content):
        at = boundaries[-1]
        boundaries.append(at + 6 + int.from_bytes(content[at + 2 : at + 6], "big"))
    at = random.choice((random.choice(boundaries), random.randrange(len(content))))
    return content[:at] + end + random.choice((b"", content[at:], _message(random)))


def _after_the_end(random: Random) -> bytes:
    return random.choice(_END) + random.choice((_message(random), wire.associate_rq(), random.choice(_END)))


def _association_again(random: Random) -> bytes:
    kind = random.choice((wire.A_ASSOCIATE_RQ, wire.A_ASSOCIATE_AC, wire.A_ASSOCIATE_RJ))
    body = wire.associate_rq()[6:] if kind != wire.A_ASSOCIATE_RJ else bytes(4)
    return wire.pdu(kind, body)


def _short_ends(random: Random) -> bytes:
    return wire.pdu(random.choice((5, 6, 7)), random.randbytes(random.choice((0, 1, 3, 5, 100))))


def _many_pdus(random: Random) -> bytes:
    return b"".join(random.choice((_message(random), wire.echo(n + 1))) for n in range(random.choice((5, 30))))


def _noise(random: Random) -> bytes:
    return random.randbytes(random.randrange(1, 400))


_MUTATIONS: tuple[Callable[[Random], bytes], ...] = (
    _bytes_changed, _bytes_changed, _bytes_changed, _cut_off, _pdu_type, _pdu_length, _pdv_length, _pdv_length_of_data,
    _several_pdvs, _tiny_pdvs, _empty, _control_header, _context_not_accepted, _context_changes, _data_before_command,
    _fragments_without_end, _interleaved, _ended_in_the_middle, _after_the_end, _association_again, _short_ends,
    _many_pdus, _noise,
)  # fmt: skip
