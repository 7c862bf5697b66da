"""The two DIMSE messages of a C-STORE as bytes (PS3.7 section 9.3.1). Pure.

Command sets are Implicit VR Little Endian (PS3.7 section 6.3.1). Only what every plain sender sends is understood
here; whatever else a request may be is left to pynetdicom, which is thorough and takes a hundred times as long.
"""

import re
import struct
from dataclasses import dataclass

P_DATA_TF = 0x04
PDU_HEADER = struct.Struct(">BxL")
"""PDU type, a reserved byte, length of what follows (PS3.8 section 9.3.1)."""
PDV_HEADER = struct.Struct(">LBB")
"""Length of what follows itself, presentation context ID, message control header (PS3.8 section 9.3.5.1, annex E.2)."""
HEADERS_BYTES = PDU_HEADER.size + PDV_HEADER.size
"""Before what a PDU's first fragment holds."""
COMMAND_AND_LAST = 0b11

_C_STORE_RQ = 0x0001
_C_STORE_RSP = 0x8001
_NO_DATA_SET = 0x0101
_UID = re.compile(rb"([0-9.]{1,64})\0?")
_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<HHLH")
_UL = struct.Struct("<HHLL")
"""Whole elements, value included."""


@dataclass(frozen=True, slots=True)
class CStoreRequest:
    """A C-STORE-RQ that a data set follows."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def decode_c_store_request(command_set: bytes) -> CStoreRequest | None:
    """Decode an encoded command set; None when it is anything but a plain C-STORE-RQ with a data set."""
    elements = _elements(command_set)
    if elements is None or _number(elements, 0x0100) != _C_STORE_RQ:
        return None
    message_id, data_set_type = _number(elements, 0x0110), _number(elements, 0x0800)
    sop_class, sop_instance = (_UID.fullmatch(elements.get(element, b"")) for element in (0x0002, 0x1000))
    if message_id is None or data_set_type in {None, _NO_DATA_SET} or not sop_class or not sop_instance:
        return None
    return CStoreRequest(message_id, sop_class[1].decode("ascii"), sop_instance[1].decode("ascii"))


def encode_c_store_response(request: CStoreRequest, context_id: int, status: int, comment: str) -> bytes:
    """Encode a C-STORE-RSP as one P-DATA-TF PDU; `comment` is its Error Comment, left out when empty."""
    body = b"".join(
        (
            _element(0x0002, _text(request.sop_class_uid, "\0")),
            _US.pack(0, 0x0100, 2, _C_STORE_RSP),
            _US.pack(0, 0x0120, 2, request.message_id),
            _US.pack(0, 0x0800, 2, _NO_DATA_SET),
            _US.pack(0, 0x0900, 2, status),
            _element(0x0902, _text(comment, " ")) if comment else b"",
            _element(0x1000, _text(request.sop_instance_uid, "\0")),
        )
    )
    n_bytes = _UL.size + len(body)
    return b"".join(
        (
            PDU_HEADER.pack(P_DATA_TF, PDV_HEADER.size + n_bytes),
            PDV_HEADER.pack(n_bytes + 2, context_id, COMMAND_AND_LAST),
            _UL.pack(0, 0x0000, 4, len(body)),
            body,
        )
    )


def _elements(command_set: bytes) -> dict[int, bytes] | None:
    """Split into values by element number; None when the bytes are no command set."""
    values: dict[int, bytes] = {}
    position = 0
    while position + _ELEMENT.size <= len(command_set):
        group, element, length = _ELEMENT.unpack_from(command_set, position)
        position += _ELEMENT.size + length
        if group != 0 or element in values or position > len(command_set):
            return None
        values[element] = command_set[position - length : position]
    return values if position == len(command_set) else None


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None


def _element(number: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, number, len(value)) + value


def _text(text: str, padding: str) -> bytes:
    return (text + padding * (len(text) % 2)).encode("ascii")
