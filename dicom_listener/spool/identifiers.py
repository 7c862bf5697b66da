"""`Identifiers`, and a quick way to find them at the front of a data set in memory. Pure.

pydicom takes a third of what an instance may cost on the way in. Here elements are only stepped over (PS3.5 section
7.1), and whatever is not just as the standard has it gives None: pydicom is tolerant, and decides then.
"""

import re
import struct
from dataclasses import dataclass

_UID = re.compile(rb"([0-9.]{1,64})\0?")
_WANTED = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)
"""SOP Class, SOP Instance, Study Instance and Series Instance UID."""
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""With a reserved field and a length of 32 bits (PS3.5 table 7.1-1)."""
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_DEEPEST = 8
"""Sequences in sequences, at most; a few are usual."""

_TAG = struct.Struct("<HH")
_IMPLICIT = struct.Struct("<HHL")
_EXPLICIT = struct.Struct("<HH2sH")
_LONG_LENGTH = struct.Struct("<L")


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The UIDs by which a data set says what it is."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def scan_identifiers(head: bytes, *, explicit_vr: bool) -> Identifiers | None:
    """Find the identifiers in the first bytes of a Little Endian data set.

    Returns:
        None when they are not all there, one is no UID, or the bytes are not plainly encoded.
    """
    try:
        values = _scan(head, explicit_vr)
    except (_NotPlainError, struct.error):  # struct: the head ends in the middle of an element
        return None
    found = [_UID.fullmatch(values.get(tag, b"")) for tag in _WANTED]
    uids = [match[1].decode("ascii") for match in found if match]
    return Identifiers(*uids) if len(uids) == len(_WANTED) else None


class _NotPlainError(Exception):
    """The data set is for pydicom."""


def _scan(head: bytes, explicit_vr: bool) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    position, before = 0, -1
    while before < _WANTED[-1]:
        # as `_element` does, but a call for each of some fifty would cost as much as all the rest
        if explicit_vr:
            group, element, vr, length = _EXPLICIT.unpack_from(head, position)
            start = position + 8
            if vr not in _SHORT_VRS:
                start, length = _long_element(head, position, vr, length)
        else:
            group, element, length = _IMPLICIT.unpack_from(head, position)
            start = position + 8
        tag = group << 16 | element
        if tag <= before or group < 0x0008:  # not in order: which one of two counts is for pydicom to say
            raise _NotPlainError
        before = tag
        if length == _UNDEFINED_LENGTH:
            position = _behind_sequence(head, start, explicit_vr, _DEEPEST)
            continue
        position = start + length
        if tag in _WANTED:
            values[tag] = head[start:position]
    if position > len(head):  # a value of which the end is missing would be another value
        raise _NotPlainError
    return values


def _element(head: bytes, position: int, explicit_vr: bool) -> tuple[int, int]:
    """Position of the value, and its length."""
    if not explicit_vr:
        _, _, length = _IMPLICIT.unpack_from(head, position)
        return position + 8, length
    _, _, vr, length = _EXPLICIT.unpack_from(head, position)
    return (position + 8, length) if vr in _SHORT_VRS else _long_element(head, position, vr, length)


def _long_element(head: bytes, position: int, vr: bytes, reserved: int) -> tuple[int, int]:
    if vr not in _LONG_VRS or reserved:
        raise _NotPlainError
    (length,) = _LONG_LENGTH.unpack_from(head, position + 8)
    if length == _UNDEFINED_LENGTH and vr != b"SQ":
        raise _NotPlainError
    return position + 12, length


def _behind_sequence(head: bytes, position: int, explicit_vr: bool, deepest: int) -> int:
    """Step over the items of a sequence of undefined length (PS3.5 section 7.5)."""
    if deepest == 0:
        raise _NotPlainError
    while True:
        group, element, length = _IMPLICIT.unpack_from(head, position)
        tag = group << 16 | element
        position += 8
        if tag == _SEQUENCE_END and length == 0:
            return position
        if tag != _ITEM:
            raise _NotPlainError
        position = (
            _behind_item(head, position, explicit_vr, deepest) if length == _UNDEFINED_LENGTH else position + length
        )


def _behind_item(head: bytes, position: int, explicit_vr: bool, deepest: int) -> int:
    while True:
        group, element = _TAG.unpack_from(head, position)
        if group << 16 | element == _ITEM_END:
            if head[position + 4 : position + 8] != bytes(4):
                raise _NotPlainError
            return position + 8
        start, length = _element(head, position, explicit_vr)
        if length == _UNDEFINED_LENGTH:
            position = _behind_sequence(head, start, explicit_vr, deepest - 1)
        else:
            position = start + length
