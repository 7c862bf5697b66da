"""The head of a pushed Part 10 file (PS3.10 section 7.1), read while its bytes come in.

Tolerant where writers are careless (no preamble, a wrong or missing group length), bounded whatever is announced.
"""

import re
import struct
from dataclasses import dataclass

from dicom_listener.errors import UnreadableInstanceError

HEAD_LIMIT = 64 * 1024
"""Preamble and File Meta Information may be this long, bytes; in practice they have 300 to 400."""
_PREAMBLE = 128
_PREFIX = b"DICM"
_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
"""VRs with two reserved bytes and a length of four (PS3.5 section 7.1.2)."""
_META_GROUP = b"\x02\x00"
_SOP_CLASS_UID, _SOP_INSTANCE_UID, _TRANSFER_SYNTAX_UID = 0x0002, 0x0003, 0x0010
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a file says of itself before its data set."""

    sop_class_uid: str
    """Media Storage SOP Class UID; empty where it is missing or not a UID, like those below."""
    sop_instance_uid: str
    """Media Storage SOP Instance UID."""
    transfer_syntax_uid: str
    data_set_offset: int
    """First byte of the data set in the file."""


def read_part_head(start: bytes | bytearray, *, whole: bool) -> PartHead | None:
    """Read the head of a file from its first bytes.

    Args:
        start: the bytes that have come so far.
        whole: whether no more will come.

    Returns:
        The head, or None when more bytes are needed.

    Raises:
        UnreadableInstanceError: this is no Part 10 file, or its head ends nowhere within `HEAD_LIMIT`.
    """
    offset = _first_element(start)
    if offset is None:
        _refuse_to_wait(start, whole)
        return None
    values: dict[int, bytes] = {}
    while start[offset : offset + 2] == _META_GROUP:
        element = _element(start, offset)
        if element is None:
            _refuse_to_wait(start, whole)
            return None
        number, value, offset = element
        values[number] = value
    if len(start) < offset + 2 and not whole:
        _refuse_to_wait(start, whole)
        return None
    if not values:
        raise UnreadableInstanceError("the part has no File Meta Information")
    return PartHead(
        sop_class_uid=_uid(values.get(_SOP_CLASS_UID)),
        sop_instance_uid=_uid(values.get(_SOP_INSTANCE_UID)),
        transfer_syntax_uid=_uid(values.get(_TRANSFER_SYNTAX_UID)),
        data_set_offset=offset,
    )


def _first_element(start: bytes | bytearray) -> int | None:
    """Where the File Meta Information begins; None when that cannot be told yet."""
    if len(start) >= _PREAMBLE + len(_PREFIX):
        if start[_PREAMBLE : _PREAMBLE + len(_PREFIX)] == _PREFIX:
            return _PREAMBLE + len(_PREFIX)
        if start[: len(_PREFIX)] == _PREFIX:  # the preamble left out
            return len(_PREFIX)
        if start[:2] == _META_GROUP:  # preamble and prefix left out
            return 0
        raise UnreadableInstanceError("the part is not a DICOM Part 10 file")
    return None


def _refuse_to_wait(start: bytes | bytearray, whole: bool) -> None:
    if whole:
        raise UnreadableInstanceError("the part ends within its File Meta Information")
    if len(start) > HEAD_LIMIT:
        raise UnreadableInstanceError(f"the File Meta Information of the part does not end within {HEAD_LIMIT} bytes")


def _element(start: bytes | bytearray, offset: int) -> tuple[int, bytes, int] | None:
    """Element number, value and end of the element at `offset`, Explicit VR Little Endian; None: not all here."""
    if len(start) < offset + 8:
        return None
    if bytes(start[offset + 4 : offset + 6]) not in _LONG_VRS:
        return _value(start, offset, offset + 8, struct.unpack_from("<H", start, offset + 6)[0])
    if len(start) < offset + 12:
        return None
    return _value(start, offset, offset + 12, struct.unpack_from("<L", start, offset + 8)[0])


def _value(start: bytes | bytearray, offset: int, begin: int, length: int) -> tuple[int, bytes, int] | None:
    if begin + length > HEAD_LIMIT:
        raise UnreadableInstanceError(f"the File Meta Information of the part does not end within {HEAD_LIMIT} bytes")
    if len(start) < begin + length:
        return None
    number = struct.unpack_from("<H", start, offset + 2)[0]
    return number, bytes(start[begin : begin + length]), begin + length


def _uid(value: bytes | None) -> str:
    text = (value or b"").decode("ascii", "replace").strip("\0 ")
    return text if _UID.fullmatch(text) else ""
