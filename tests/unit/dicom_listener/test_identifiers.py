import io
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from dicom_listener.errors import InvalidInstanceError
from dicom_listener.spool.identifiers import Identifiers, scan_identifiers
from dicom_listener.spool.part10 import parse_identifiers, read_identifiers
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set, encode

UIDS = st.from_regex(r"[1-9][0-9]{0,5}(\.[1-9][0-9]{0,5}){0,8}", fullmatch=True)
TEXT = st.text("ABCdef 019", max_size=40).map(str.strip)
SYNTAXES = st.sampled_from([EXPLICIT_LITTLE, ImplicitVRLittleEndian])


@st.composite
def items(draw: st.DrawFn, depth: int = 2) -> Dataset:
    item = Dataset()
    item.ReferencedSOPInstanceUID = draw(UIDS)
    if depth and draw(st.booleans()):
        inner = Sequence([draw(items(depth - 1)) for _ in range(draw(st.integers(0, 2)))])
        item.add_new(0x00081140, "SQ", inner)
        item[0x00081140].is_undefined_length = draw(st.booleans())
    item.is_undefined_length_sequence_item = draw(st.booleans())
    return item


@st.composite
def heads(draw: st.DrawFn) -> Dataset:
    """A data set as senders write them: some of the usual elements around the identifiers, sequences among them."""
    dataset = data_set()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = draw(UIDS), draw(UIDS)
    optional: dict[int, tuple[str, Any]] = {
        0x00080005: ("CS", "ISO_IR 100"),
        0x00081030: ("LO", draw(TEXT)),
        0x00090010: ("LO", "PRIVATE"),
        0x00091001: ("OB", draw(st.binary(max_size=30).map(lambda data: data + bytes(len(data) % 2)))),
        0x00100010: ("PN", draw(TEXT)),
        0x00104000: ("LT", draw(TEXT)),
    }
    for tag, (vr, value) in optional.items():
        if draw(st.booleans()):
            dataset.add_new(tag, vr, value)
    dataset.ReferencedStudySequence = [draw(items()) for _ in range(draw(st.integers(0, 3)))]
    dataset["ReferencedStudySequence"].is_undefined_length = draw(st.booleans())
    return dataset


def by_pydicom(encoded: bytes, syntax: str) -> Identifiers | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says what it thinks of damaged values
        try:
            return parse_identifiers(io.BytesIO(encoded), syntax)
        except (InvalidInstanceError, OSError):  # OSError: pydicom's word for a sequence that ends nowhere
            return None


def written(dataset: Dataset, syntax: str) -> bytes:
    """Encode and keep which lengths are undefined."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == ImplicitVRLittleEndian, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


@given(heads(), SYNTAXES)
def test_plain_data_sets_are_scanned_as_pydicom_reads_them(dataset: Dataset, syntax: str) -> None:
    encoded = written(dataset, syntax)
    scanned = scan_identifiers(encoded, explicit_vr=syntax == EXPLICIT_LITTLE)
    assert scanned == by_pydicom(encoded, syntax)
    assert scanned is not None


@given(heads(), SYNTAXES, st.data())
def test_damaged_data_sets_give_what_pydicom_reads_or_nothing(
    dataset: Dataset, syntax: str, data: st.DataObject
) -> None:
    encoded = bytearray(written(dataset, syntax))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    del encoded[data.draw(st.integers(1, len(encoded))) :]
    scanned = scan_identifiers(bytes(encoded), explicit_vr=syntax == EXPLICIT_LITTLE)
    # pydicom cannot read some that are plain as far as their identifiers; whenever both can, they agree
    assert scanned is None or by_pydicom(bytes(encoded), syntax) in (None, scanned)


@given(heads(), SYNTAXES, st.data())
def test_what_is_found_at_reception_is_found_again(dataset: Dataset, syntax: str, data: st.DataObject) -> None:
    encoded = bytearray(written(dataset, syntax))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    scanned = scan_identifiers(bytes(encoded), explicit_vr=syntax == EXPLICIT_LITTLE)
    if scanned is not None:
        assert read_identifiers(io.BytesIO(encoded), syntax) == scanned


@given(st.binary(max_size=200), st.booleans())
def test_nothing_that_is_sent_raises(encoded: bytes, explicit_vr: bool) -> None:
    assert scan_identifiers(encoded, explicit_vr=explicit_vr) is None


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, ImplicitVRLittleEndian])
def test_a_head_that_ends_before_the_identifiers_gives_nothing(syntax: str) -> None:
    encoded = encode(data_set(), syntax)
    explicit = syntax == EXPLICIT_LITTLE
    whole = scan_identifiers(encoded, explicit_vr=explicit)
    assert whole is not None
    shortest = next(n for n in range(len(encoded)) if scan_identifiers(encoded[:n], explicit_vr=explicit) is not None)
    assert scan_identifiers(encoded[:shortest], explicit_vr=explicit) == whole
    assert whole.series_instance_uid.encode() in encoded[:shortest]


def test_sequences_in_sequences_end_somewhere() -> None:
    undefined = b"\xff\xff\xff\xff"
    deep = (b"\x08\x00\x40\x11SQ\0\0" + undefined + b"\xfe\xff\x00\xe0" + undefined) * 10_000
    assert scan_identifiers(deep, explicit_vr=True) is None
