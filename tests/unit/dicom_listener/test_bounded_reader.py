import io
import struct

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.spool.bounded_reader import BoundedReader
from dicom_listener.spool.part10 import read_identifiers
from tests.unit.dicom_listener.instances import data_set, encode, uid

_SEQUENCE = b"\x08\x00\x06\x00SQ\0\0\xff\xff\xff\xff"
_ITEM, _END = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def test_it_reads_as_the_file_does() -> None:
    reader = BoundedReader(io.BytesIO(b"abcdef"), maximum_bytes=6)
    assert (reader.read(2), reader.tell(), reader.read(), reader.read(1)) == (b"ab", 2, b"cdef", b"")


def test_what_is_stepped_over_does_not_count() -> None:
    reader = BoundedReader(io.BytesIO(bytes(1000)), maximum_bytes=4)
    reader.seek(990)
    assert reader.read(4) == bytes(4)
    with pytest.raises(UnreadableInstanceError):
        reader.read(1)


@pytest.mark.parametrize("size", [-1, 11, 1 << 40])
def test_one_read_is_bounded_too(size: int) -> None:
    with pytest.raises(UnreadableInstanceError):
        BoundedReader(io.BytesIO(bytes(1000)), maximum_bytes=10).read(size)


def test_reads_are_counted() -> None:
    reader = BoundedReader(io.BytesIO(b"abcdef"), maximum_reads=2)
    reader.read(1)
    reader.read(1)
    with pytest.raises(UnreadableInstanceError):
        reader.read(1)


def test_a_reference_to_each_of_many_images_is_fine_and_a_million_empty_items_are_not() -> None:
    reference = struct.pack("<HHLHH2sH", 0xFFFE, 0xE000, 20, 0x0008, 0x1155, b"UI", 12) + b"1.2.3.4.5.6\0"
    identifiers = encode(data_set(1))
    many = io.BytesIO(_SEQUENCE + reference * 10_000 + _END + identifiers)
    assert read_identifiers(many, ExplicitVRLittleEndian).sop_instance_uid == uid(1)
    bomb = io.BytesIO(_SEQUENCE + _ITEM * 1_000_000 + _END + identifiers)
    with pytest.raises(UnreadableInstanceError):
        read_identifiers(bomb, ExplicitVRLittleEndian)
    assert bomb.tell() < 1_000_000


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_data_set_that_ends_inside_a_sequence_is_not_the_disks_fault(cut: int) -> None:
    whole = _SEQUENCE + _ITEM * 4
    with pytest.raises(UnreadableInstanceError):
        read_identifiers(io.BytesIO(whole[:-cut]), ExplicitVRLittleEndian)
