"""The DICOM upper layer byte by byte (PS3.8 section 9.3, PS3.7 section 9.3), so that every byte of it can be wrong."""

import struct
from collections.abc import Sequence

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, JPEG_LOSSLESS = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.70"
JPEG_2000, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA_TF = 1, 2, 3, 4
A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 5, 6, 7
C_STORE_RQ, C_ECHO_RQ, C_STORE_RSP, C_ECHO_RSP = 0x0001, 0x0030, 0x8001, 0x8030
NO_DATA_SET = 0x0101

LAST_COMMAND, COMMAND, LAST_DATA, DATA = 3, 1, 2, 0
"""Message control headers (PS3.8 annex E.2)."""

CONTEXTS: tuple[tuple[int, str, str], ...] = (
    (1, CT, EXPLICIT),
    (3, CT, IMPLICIT),
    (5, CT, BIG_ENDIAN),
    (7, CT, DEFLATED),
    (9, CT, JPEG_LOSSLESS),
    (11, CT, JPEG_2000),
    (13, CT, RLE),
    (15, ENHANCED_CT, EXPLICIT),
    (17, VERIFICATION, IMPLICIT),
)
"""What our peers propose; the listener accepts each."""
CONTEXT_OF = {syntax: number for number, sop_class, syntax in CONTEXTS if sop_class == CT}
ECHO_CONTEXT = 17


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Encode a PDU, with another length than its own if wished."""
    return struct.pack(">BBL", kind, 0, (len(body) if length is None else length) & 0xFFFFFFFF) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Encode an item or sub-item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, (len(body) if length is None else length) & 0xFFFF) + body


def context_item(number: int, abstract: str, *transfer: str) -> bytes:
    """Encode a presentation context item."""
    syntaxes = b"".join(item(0x40, one.encode()) for one in transfer)
    return item(0x20, struct.pack(">BBBB", number & 0xFF, 0, 0, 0) + item(0x30, abstract.encode()) + syntaxes)


def user_information(*more: bytes, maximum: int = 16384) -> bytes:
    """Encode the user information item, with sub-items beyond the usual ones if wished."""
    usual = item(0x51, struct.pack(">L", maximum)) + item(0x52, b"1.2.3.4") + item(0x55, b"SURVIVAL")
    return item(0x50, usual + b"".join(more))


PATIENT_NAME = "Nobody^Test"
"""Of every data set that is made here; nothing may print it."""
APPLICATION_CONTEXT = item(0x10, b"1.2.840.10008.3.1.1.1")


def associate_head(called: bytes = b"SEGWATCH", calling: bytes = b"PACS", version: int = 1) -> bytes:
    """Encode the fixed fields of an A-ASSOCIATE-RQ."""
    return struct.pack(">HH16s16s32s", version, 0, called.ljust(16), calling.ljust(16), b"")


def associate_rq(*items: bytes, called: bytes = b"SEGWATCH", calling: bytes = b"PACS") -> bytes:
    """Encode an A-ASSOCIATE-RQ, by default an honest one."""
    usual = (APPLICATION_CONTEXT, *(context_item(*one) for one in CONTEXTS), user_information())
    return pdu(A_ASSOCIATE_RQ, associate_head(called, calling) + b"".join(items or usual))


def pdv(context: int, control: int, fragment: bytes, length: int | None = None) -> bytes:
    """Encode a presentation data value item (PS3.8 section 9.3.5.1)."""
    announced = len(fragment) + 2 if length is None else length
    return struct.pack(">LBB", announced & 0xFFFFFFFF, context & 0xFF, control & 0xFF) + fragment


def p_data(*items: bytes) -> bytes:
    """Encode a P-DATA-TF."""
    return pdu(P_DATA_TF, b"".join(items))


RELEASE_RQ, RELEASE_RP, ABORT = (pdu(kind, bytes(4)) for kind in (A_RELEASE_RQ, A_RELEASE_RP, A_ABORT))


def command_element(number: int, value: bytes | int | str) -> bytes:
    """Encode an element of group 0000; an integer as US, a text as UID."""
    if isinstance(value, int):
        value = struct.pack("<H", value & 0xFFFF)
    elif isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
        value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


def command_set(elements: Sequence[bytes], group_length: int | None = None) -> bytes:
    """Encode a command set around elements that are encoded already."""
    body = b"".join(elements)
    length = len(body) if group_length is None else group_length & 0xFFFFFFFF
    return struct.pack("<HHLL", 0, 0, 4, length) + body


def store_elements(uid: str, *, message: int = 1, sop_class: str = CT, data_set_type: int = 1) -> dict[int, bytes]:
    """Encode the elements of a C-STORE-RQ by their numbers (PS3.7 table 9.3-1)."""
    values: dict[int, bytes | int | str] = {
        0x0002: sop_class,
        0x0100: C_STORE_RQ,
        0x0110: message,
        0x0700: 0,
        0x0800: data_set_type,
        0x1000: uid,
    }
    return {number: command_element(number, value) for number, value in values.items()}


def store_command(uid: str, *, message: int = 1, sop_class: str = CT) -> bytes:
    """Encode an honest C-STORE-RQ."""
    return command_set(list(store_elements(uid, message=message, sop_class=sop_class).values()))


def echo_command(message: int) -> bytes:
    """Encode a C-ECHO-RQ (PS3.7 table 9.3-12)."""
    values: dict[int, int | str] = {0x0002: VERIFICATION, 0x0100: C_ECHO_RQ, 0x0110: message, 0x0800: NO_DATA_SET}
    return command_set([command_element(number, value) for number, value in values.items()])


def echo(message: int) -> bytes:
    """Encode a C-ECHO-RQ as one P-DATA-TF."""
    return p_data(pdv(ECHO_CONTEXT, LAST_COMMAND, echo_command(message)))


def store_message(
    uid: str, data_set: bytes, *, context: int = 1, message: int = 1, sop_class: str = CT, fragment: int = 16000
) -> bytes:
    """Encode a C-STORE request as P-DATA-TFs of one PDV each."""
    pieces = [data_set[at : at + fragment] for at in range(0, len(data_set), fragment)] or [b""]
    parts = [p_data(pdv(context, DATA, piece)) for piece in pieces[:-1]]
    command = store_command(uid, message=message, sop_class=sop_class)
    return b"".join((p_data(pdv(context, LAST_COMMAND, command)), *parts, p_data(pdv(context, LAST_DATA, pieces[-1]))))


def element(tag: int, vr: bytes, value: bytes, *, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """Encode a data element (PS3.5 section 7.1), with another length than its own if wished."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    announced = len(value) if length is None else length
    if syntax == IMPLICIT:
        return head + struct.pack(f"{order}L", announced & 0xFFFFFFFF) + value
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"UC"}:
        return head + vr + struct.pack(f"{order}HL", 0, announced & 0xFFFFFFFF) + value
    return head + vr + struct.pack(f"{order}H", announced & 0xFFFF) + value


def text_value(text: str, pad: bytes = b"\0") -> bytes:
    """Encode a text padded to even length."""
    value = text.encode("utf-8", "surrogateescape")
    return value + pad * (len(value) % 2)


def ct_data_set(
    uid: str, *, study: str = "1.2.3", series: str = "1.2.3.4", syntax: str = EXPLICIT, pixels: bytes = bytes(64)
) -> bytes:
    """Encode a small CT data set, not deflated."""
    return b"".join(
        (
            element(0x00080016, b"UI", text_value(CT), syntax=syntax),
            element(0x00080018, b"UI", text_value(uid), syntax=syntax),
            element(0x00080060, b"CS", b"CT", syntax=syntax),
            element(0x00100010, b"PN", PATIENT_NAME.encode() + b" ", syntax=syntax),
            element(0x0020000D, b"UI", text_value(study), syntax=syntax),
            element(0x0020000E, b"UI", text_value(series), syntax=syntax),
            element(0x00200013, b"IS", b"1 ", syntax=syntax),
            element(0x7FE00010, b"OW", pixels, syntax=syntax),
        )
    )
