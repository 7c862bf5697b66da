"""The head of a spooled file: its File Meta Information, and the identifiers that its data set begins with.

The data set itself is never decoded and never changed. What is written here is read again by the same functions,
at commit and after a restart, so an instance that was acknowledged can be found again.
"""

import io
import re
import struct
from functools import lru_cache
from typing import Any, BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_listener.errors import InvalidInstanceError, UnreadableInstanceError
from dicom_listener.spool.bounded_reader import BoundedReader
from dicom_listener.spool.identifiers import Identifiers, scan_identifiers
from dicom_listener.spool.parsing import DEFLATED, behind, inflate_front, is_fault_of_disk
from dicom_listener.stored import StoreRequest

IMPLEMENTATION_CLASS_UID = "2.25.302607174903379870229136042284519361637"
"""Names this implementation in associations and files (PS3.7 section D.3.3.2); made once from a random UUID."""
IMPLEMENTATION_VERSION_NAME = "SEGWATCH"

PREFIX = bytes(128) + b"DICM"
HEAD_LIMIT = 16 * 1024 * 1024
"""How much of a deflated data set is inflated at most to find its identifiers, bytes: a bomb must not fill memory."""
SCANNED_BYTES = 16 * 1024
"""How much of a data set is looked through for its identifiers before pydicom is asked."""
_FILE_META_LIMIT = 64 * 1024
LENGTH_BYTES = 8
_SHORT = struct.Struct("<HH2sH")
_UL = struct.Struct("<L")
_UV = struct.Struct("<Q")
_GROUP_LENGTH = _SHORT.pack(2, 0x0000, b"UL", 4)

_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_PRIVATE_INFORMATION = 0x00020102
_SENDING_AE_TITLE = 0x00020017
_RECEIVING_AE_TITLE = 0x00020018
_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_STUDY_INSTANCE_UID = 0x0020000D
_SERIES_INSTANCE_UID = 0x0020000E

_UID = re.compile(r"[0-9.]{1,64}")
"""Digits and dots, 64 at most (PS3.5 section 9.1); leading zeros are seen in practice and do no harm."""


def encode_file_meta(request: StoreRequest, data_set_bytes: int | None = None) -> bytes:
    """Encode preamble, prefix and File Meta Information (PS3.10 section 7.1) for a data set stored as received.

    Written out by hand: pydicom takes 0.6 ms for it, a third of what an instance may cost on the way in.

    Args:
        request: what is known of the instance.
        data_set_bytes: length of the data set. It is written last, as `encode_length` does, so that it can be filled
            in when it is known; None leaves it out.
    """
    front = _meta_front(request.sop_class_uid)
    instance = _element(0x0003, b"UI", request.sop_instance_uid)
    back = _meta_back(request.transfer_syntax_uid, request.calling_ae_title, request.called_ae_title)
    length = b"" if data_set_bytes is None else _LENGTH_ELEMENTS + encode_length(data_set_bytes)
    n_bytes = len(front) + len(instance) + len(back) + len(length)
    return b"".join((PREFIX, _GROUP_LENGTH, _UL.pack(n_bytes), front, instance, back, length))


@lru_cache(maxsize=64)  # the same for every instance of an association
def _meta_front(sop_class_uid: str) -> bytes:
    version = struct.pack("<HH2sHL", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01"  # File Meta Information Version
    return version + _element(0x0002, b"UI", sop_class_uid)


@lru_cache(maxsize=64)  # likewise
def _meta_back(transfer_syntax_uid: str, calling_ae_title: str, called_ae_title: str) -> bytes:
    return b"".join(
        (
            _element(0x0010, b"UI", transfer_syntax_uid),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _element(0x0017, b"AE", calling_ae_title),
            _element(0x0018, b"AE", called_ae_title),
        )
    )


def encode_length(data_set_bytes: int) -> bytes:
    """Encode the length of a data set: the last `LENGTH_BYTES` before the data set begins.

    By it a file is known to be whole. An instance has its name before its content is durable, and a computer that
    loses its power between may come back with a shorter file.
    """
    return _UV.pack(data_set_bytes)


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT.pack(2, number, vr, len(value)) + value


_LENGTH_ELEMENTS = _element(0x0100, b"UI", IMPLEMENTATION_CLASS_UID) + struct.pack(
    "<HH2sHL", 2, 0x0102, b"OB", 0, LENGTH_BYTES
)
"""Private Information Creator UID, and the header of what it says (PS3.10 table 7.1-1)."""


def read_file_meta(file: BinaryIO) -> StoreRequest:
    """Read what `encode_file_meta` wrote; leaves the file at the first byte of its data set.

    Raises:
        UnreadableInstanceError: the file was not written by this spool, or is damaged.
    """
    if file.read(len(PREFIX)) != PREFIX:
        raise UnreadableInstanceError("a file of the spool has no DICOM prefix: it is damaged or not from this spool")
    group_length = file.read(12)[-4:]
    elements = io.BytesIO(file.read(min(int.from_bytes(group_length, "little"), _FILE_META_LIMIT)))
    meta = _read(elements, explicit=True, little_endian=True, stop_after=0x0002FFFF)
    _refuse_a_part(file, meta)
    return StoreRequest(
        sop_class_uid=_uid(meta, _MEDIA_STORAGE_SOP_CLASS_UID),
        sop_instance_uid=_uid(meta, _MEDIA_STORAGE_SOP_INSTANCE_UID),
        transfer_syntax_uid=_uid(meta, _TRANSFER_SYNTAX_UID),
        calling_ae_title=_text(meta, _SENDING_AE_TITLE),
        called_ae_title=_text(meta, _RECEIVING_AE_TITLE),
    )


def _refuse_a_part(file: BinaryIO, meta: Dataset) -> None:
    """Raise where the length that the file says is not the one it has."""
    element = meta.get_item(_PRIVATE_INFORMATION, keep_deferred=True)
    value = None if element is None else element.value
    if not isinstance(value, bytes) or len(value) != LENGTH_BYTES:
        return  # written by a version that did not say it
    begin = file.tell()
    has_bytes = file.seek(0, io.SEEK_END) - begin
    file.seek(begin)
    if has_bytes != int.from_bytes(value, "little"):
        raise UnreadableInstanceError("a file of the spool is not whole: the computer stopped while it was received")


def read_identifiers(file: BinaryIO, transfer_syntax_uid: str) -> Identifiers:
    """Read the identifiers from a file that stands at the first byte of its data set; pixels are never reached.

    The quick scan comes first, as it does when an instance is received: it knows some that pydicom cannot parse (a
    Specific Character Set with a null in it), and what was acknowledged must be found again.

    Raises:
        UnreadableInstanceError: the data set cannot be parsed so far.
        InvalidInstanceError: an identifier is missing, empty or not a UID.
    """
    begin = file.tell()
    found = scan_head(file.read(SCANNED_BYTES), transfer_syntax_uid)
    if found is not None:
        return found
    file.seek(begin)
    return parse_identifiers(file, transfer_syntax_uid)


def parse_identifiers(file: BinaryIO, transfer_syntax_uid: str) -> Identifiers:
    """Read the identifiers by pydicom.

    Raises:
        UnreadableInstanceError: the data set cannot be parsed so far.
        InvalidInstanceError: an identifier is missing, empty or not a UID.
    """
    if transfer_syntax_uid in DEFLATED:
        file = inflate_front(file, HEAD_LIMIT)
    dataset = _read(
        file,
        explicit=transfer_syntax_uid != ImplicitVRLittleEndian,
        little_endian=transfer_syntax_uid != ExplicitVRBigEndian,
        stop_after=_SERIES_INSTANCE_UID,
        only=(_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID),
    )
    return Identifiers(
        sop_class_uid=_uid(dataset, _SOP_CLASS_UID),
        sop_instance_uid=_uid(dataset, _SOP_INSTANCE_UID),
        study_instance_uid=_uid(dataset, _STUDY_INSTANCE_UID),
        series_instance_uid=_uid(dataset, _SERIES_INSTANCE_UID),
    )


def scan_head(head: bytes, transfer_syntax_uid: str) -> Identifiers | None:
    """Find the identifiers in the first bytes of a data set; None when `parse_identifiers` must look at the file."""
    if transfer_syntax_uid in DEFLATED or transfer_syntax_uid == ExplicitVRBigEndian:
        return None
    return scan_identifiers(head, explicit_vr=transfer_syntax_uid != ImplicitVRLittleEndian)


def _read(
    file: BinaryIO, *, explicit: bool, little_endian: bool, stop_after: int, only: tuple[int, ...] = ()
) -> Dataset:
    bounded: Any = BoundedReader(file)  # all that pydicom needs of a file
    try:
        tags, stop = list(only) or None, behind(stop_after)
        return read_dataset(bounded, not explicit, little_endian, stop_when=stop, specific_tags=tags)
    except Exception as error:  # pydicom answers malformed bytes with whatever they lead to
        if is_fault_of_disk(error):
            raise
        text = f"the data set cannot be parsed as far as its identifiers ({type(error).__name__})"
        raise UnreadableInstanceError(text) from error


def _uid(dataset: Dataset, tag: int) -> str:
    uid = _text(dataset, tag)
    if not _UID.fullmatch(uid):
        what = "is missing or empty" if not uid else "is not a UID"
        raise InvalidInstanceError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {what}")
    return uid


def _text(dataset: Dataset, tag: int) -> str:
    """Read a value raw: pydicom's conversion would warn, and quote the value, where it breaks a rule."""
    # (without `keep_deferred` an empty value of an unknown VR is converted after all, and raises)
    element = dataset.get_item(tag, keep_deferred=True)
    value = None if element is None else element.value
    return value.decode("ascii", "replace").rstrip("\0 ").lstrip(" ") if isinstance(value, bytes) else ""
