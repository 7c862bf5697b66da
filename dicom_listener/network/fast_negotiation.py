"""Where the listener departs from pynetdicom to open associations fast; `fast_intake = false` leaves it out.

Two things, and why:

- A sender proposes what it might ever send: DCMTK's storescu 128 presentation contexts, of which a listener for CT can
  accept a few. pynetdicom makes objects of each, checks their UIDs many times over and encodes them again, only to
  refuse them, which takes longer than several instances. Here those whose abstract syntax is not offered are taken out
  before it sees the request, and put into its answer as it would have refused them.
- pynetdicom copies what is offered for each association, in depth. Nobody changes it here, so all share it.

What is not as the standard says, in whatever way, is left in the request for pynetdicom to judge.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, cast

from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.presentation import PresentationContext

_LENGTH = slice(2, 6)
"""Of a PDU, without its first six bytes, big endian (PS3.8 section 9.3.1)."""
_ITEMS_AT = 74
"""Where the variable items of an A-ASSOCIATE-RQ begin (PS3.8 table 9-11)."""
_PROPOSED, _ANSWERED, _ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x20, 0x21, 0x30, 0x40
"""Types of items (PS3.8 tables 9-13, 9-18, 9-14 and 9-15)."""
_HEADER_BYTES = 4
"""Type, a reserved byte, and the length of what follows as two bytes, big endian."""
_SUB_ITEMS_AT = 8
"""Within a presentation context item: its header, its identifier, and three bytes more."""
_ACCEPTANCE, _ABSTRACT_SYNTAX_NOT_SUPPORTED = 0, 3
"""Results of a presentation context (PS3.8 table 9-18)."""
_UID = re.compile(rb"(?=.{1,64}\Z)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")


@dataclass(frozen=True, slots=True)
class RefusedContext:
    """The answer to a presentation context whose abstract syntax is not offered, as an item of an A-ASSOCIATE-AC."""

    context_id: int
    transfer_syntax: bytes
    """Not significant (PS3.8 section 9.3.3.2); pynetdicom names the first that was proposed."""
    abstract_syntax: str
    result: int = _ABSTRACT_SYNTAX_NOT_SUPPORTED

    def __len__(self) -> int:
        """Length of `encode()`."""
        return _SUB_ITEMS_AT + _HEADER_BYTES + len(self.transfer_syntax)

    def encode(self) -> bytes:
        """Encode the item."""
        name = self.transfer_syntax
        head = [_ANSWERED, 0, *(len(self) - _HEADER_BYTES).to_bytes(2)]
        result = [self.context_id, 0, self.result, 0]
        return bytes([*head, *result, _TRANSFER_SYNTAX, 0, *len(name).to_bytes(2)]) + name


@dataclass(frozen=True, slots=True)
class Sifted:
    """An A-ASSOCIATE-RQ without the presentation contexts that are not offered, and the answers to those."""

    request: bytes
    refused: tuple[RefusedContext, ...] = ()

    def complete(self, answer: A_ASSOCIATE_AC) -> None:
        """Put what was taken out of the request into the answer; in order, as pynetdicom does."""
        application_context, *contexts, user_information = answer.variable_items
        every = [*contexts, *cast(list[Any], self.refused)]
        every.sort(key=lambda one: (one.result != _ACCEPTANCE, one.context_id))
        answer.variable_items = [application_context, *every, user_information]


def sift(request: bytes, offered: Collection[bytes]) -> Sifted:
    """Take the presentation contexts out of an A-ASSOCIATE-RQ whose abstract syntax is not among `offered`."""
    refused: list[RefusedContext] = []
    kept = [request[:_ITEMS_AT]]
    identifiers: list[int] = []
    try:
        for kind, start, end in _items(request, _ITEMS_AT, len(request)):
            context = None
            if kind == _PROPOSED:
                identifiers.append(request[start + _HEADER_BYTES])
                context = _refused(request, start, end, offered)
            if context is None:
                kept.append(request[start:end])
            else:
                refused.append(context)
    except (IndexError, ValueError):
        return Sifted(request)
    if not refused or len(set(identifiers)) < len(identifiers):
        return Sifted(request)
    sifted = bytearray().join(kept)
    sifted[_LENGTH] = (len(sifted) - _LENGTH.stop).to_bytes(4)
    return Sifted(bytes(sifted), tuple(refused))


def _refused(request: bytes, start: int, end: int, offered: Collection[bytes]) -> RefusedContext | None:
    """The answer to the context from `start` to `end`; None where it is offered, or not as the standard says."""
    context_id = request[start + _HEADER_BYTES]
    abstract: list[bytes] = []
    transfer: list[bytes] = []
    for kind, at, until in _items(request, start + _SUB_ITEMS_AT, end):
        name = request[at + _HEADER_BYTES : until]
        if kind not in {_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX} or not _UID.fullmatch(name):
            return None
        (abstract if kind == _ABSTRACT_SYNTAX else transfer).append(name)
    if context_id % 2 == 0 or len(abstract) != 1 or not transfer or abstract[0] in offered:
        return None
    return RefusedContext(context_id, transfer[0], abstract[0].decode("ascii"))


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Type, begin and end of each item. Raises ValueError or IndexError when they do not end where they should."""
    while start < end:
        until = start + _HEADER_BYTES + (data[start + 2] << 8 | data[start + 3])
        if until > end:
            raise ValueError("an item is longer than what holds it")
        yield data[start], start, until
        start = until


class SharedContexts(list[PresentationContext]):
    """What is offered, which is not to be changed: its copies are itself."""

    def __deepcopy__(self, _: object) -> "SharedContexts":
        """Of pynetdicom's `RequestHandler._create_association`."""
        return self
