import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.spool.heads import read_head
from dicom_listener.spool.instance_head import InstanceHead
from dicom_listener.spool.parsing import DEFLATED
from dicom_listener.spool.part10 import encode_file_meta
from dicom_listener.spool.spool import Spool
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, SERIES, STUDY, data_set, encode, request, uid

SYNTAXES = (EXPLICIT_LITTLE, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


def chest_slice() -> Dataset:
    dataset = data_set()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesDescription = "Thorax für Übung"
    dataset.PatientID = "SECRET-ID"
    dataset.ConvolutionKernel = ["Br40d", "3"]
    dataset.SliceThickness = "1.25"
    dataset.ImagePositionPatient = [-5, -4, 10.5]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.7, 0.8]
    dataset.SeriesNumber = 3
    dataset.Rows, dataset.Columns = 512, 511
    return dataset


def head_of(folder: Path, encoded: bytes, syntax: str = EXPLICIT_LITTLE) -> InstanceHead:
    path = folder / "instance.dcm"
    path.write_bytes(encode_file_meta(request(transfer_syntax=syntax)) + encoded)
    return read_head(path)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_head_is_read_in_every_encoding(tmp_path: Path, syntax: str) -> None:
    head = head_of(tmp_path, encode(chest_slice(), syntax), syntax)
    assert head.is_whole
    assert (head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid) == (STUDY, SERIES, uid(1))
    assert (head.calling_ae_title, head.called_ae_title, head.transfer_syntax_uid) == ("PACS", "SEGWATCH", syntax)
    assert (head.modality, head.image_type, head.kernel) == ("CT", ("ORIGINAL", "PRIMARY", "AXIAL"), ("Br40d", "3"))
    assert (head.position, head.orientation) == ((-5.0, -4.0, 10.5), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    assert (head.pixel_spacing, head.slice_thickness) == ((0.7, 0.8), 1.25)
    assert (head.rows, head.columns, head.series_number, head.is_lossy) == (512, 511, 3, False)
    assert (head.series_description, head.patient_id) == ("Thorax für Übung", "SECRET-ID")


@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_every_deflated_syntax_is_inflated(tmp_path: Path, syntax: str) -> None:
    head = head_of(tmp_path, encode(chest_slice(), DeflatedExplicitVRLittleEndian), syntax)
    assert (head.is_whole, head.series_instance_uid, head.patient_id) == (True, SERIES, "SECRET-ID")


def test_the_head_of_a_spooled_file_tells_who_was_called(tmp_path: Path) -> None:
    stored = Spool(tmp_path / "spool").store(request(), encode(data_set()))
    assert read_head(stored.instance.path).called_ae_title == "SEGWATCH"


def test_the_syntax_that_a_data_set_looks_like_counts(tmp_path: Path) -> None:
    head = head_of(tmp_path, encode(chest_slice(), EXPLICIT_LITTLE), ImplicitVRLittleEndian)
    assert (head.modality, head.slice_thickness) == ("CT", 1.25)


def test_malformed_values_are_none(tmp_path: Path) -> None:
    encoded = encode(chest_slice())
    for right, wrong in ((b"1.25", b"thin"), (b"\\10.5", b"\\nan "), (b"3 ", b"x ")):
        assert right in encoded
        encoded = encoded.replace(right, wrong)
    head = head_of(tmp_path, encoded)
    assert (head.slice_thickness, head.position, head.series_number) == (None, None, None)
    assert head.rows == 512


def test_what_stands_before_the_damage_is_kept(tmp_path: Path) -> None:
    encoded = encode(chest_slice())
    at = encoded.index(b"\x18\0\x50\0DS")
    bad = b"\x18\0\x11\0SQ\0\0\xff\xff\xff\xff" + b"\1" * 64  # no item where an item must stand
    head = head_of(tmp_path, encoded[:at] + bad)
    assert not head.is_whole
    assert (head.modality, head.slice_thickness) == ("CT", None)


def test_a_deflated_bomb_is_not_inflated_beyond_the_head(tmp_path: Path) -> None:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = encode(data_set())[:-16]
    encoded = deflate.compress(head) + b"".join(deflate.compress(bytes(2**20)) for _ in range(64)) + deflate.flush()
    assert head_of(tmp_path, encoded, DeflatedExplicitVRLittleEndian).modality == "CT"


def test_no_patient_data_in_the_text_of_a_head(tmp_path: Path) -> None:
    text = repr(head_of(tmp_path, encode(chest_slice())))
    assert "CT" in text
    for secret in ("SECRET-ID", STUDY, SERIES, "Thorax"):
        assert secret not in text


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(128) + b"DIC", b"no DICOM at all" * 20])
def test_what_is_no_part_10_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(UnreadableInstanceError, match="no DICOM"):
        read_head(path)


@given(st.data())
def test_no_damage_raises(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    syntax = data.draw(st.sampled_from(SYNTAXES))
    content = bytearray(encode_file_meta(request(transfer_syntax=syntax)) + encode(chest_slice(), syntax))
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(132, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.dcm"
    path.write_bytes(content[: data.draw(st.integers(132, len(content)))])
    assert isinstance(read_head(path), InstanceHead)


def test_every_real_file_is_read_or_named(test_data: Path) -> None:
    read = unreadable = 0
    for path in sorted(path for path in test_data.rglob("*") if path.is_file()):
        try:
            read_head(path)
            read += 1
        except UnreadableInstanceError:
            unreadable += 1
    assert read > 500
    assert unreadable < read
