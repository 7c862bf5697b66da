"""Bad source headers never stop a result."""

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom import config, dcmread, dcmwrite
from pydicom.charset import convert_encodings
from pydicom.dataset import FileDataset
from pydicom.uid import UID

from reporter.errors import SegBuildError
from reporter.raw_elements import raw_bytes, raw_element, raw_numbers, raw_text, raw_unsigned
from reporter.seg import build_seg
from reporter.seg_file import write_seg
from tests.unit.reporter.seg_cases import IDENTITY, SegCase, decoded, make_case


@pytest.fixture
def case(tmp_path: Path) -> SegCase:
    return make_case(tmp_path / "ct")


def built(case: SegCase, tmp_path: Path) -> FileDataset:
    """Build, write, and read as a receiver would."""
    write_seg(build_seg(case.volume, case.segmentation, case.paths, IDENTITY), tmp_path / "seg.dcm")
    seg = dcmread(tmp_path / "seg.dcm")
    assert np.array_equal(decoded(seg, case.volume), case.segmentation.mask)
    return seg


@pytest.mark.parametrize(
    "keyword",
    ["PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "Modality",
     "AccessionNumber", "ReferringPhysicianName", "SliceThickness", "PositionReferenceIndicator", "SeriesNumber"],
)  # fmt: skip
@pytest.mark.parametrize("empty", [False, True])
def test_missing_or_empty(case: SegCase, tmp_path: Path, keyword: str, empty: bool) -> None:
    def edit(dataset: FileDataset, _index: int) -> None:
        if empty:
            dataset[keyword].value = None
        elif keyword in dataset:
            del dataset[keyword]

    case.edit_sources(edit)
    seg = built(case, tmp_path)
    if keyword not in ("Modality", "SliceThickness", "PositionReferenceIndicator", "SeriesNumber"):
        assert keyword in seg  # type 2: present although empty
        assert not seg[keyword].value
    assert seg.Modality == "SEG"


MALFORMED = {
    "PatientBirthDate": b"19500000", "StudyDate": b"2020.01.02", "StudyTime": b"25:61:00 ", "PatientSex": b"male",
    "PatientAge": b"60", "PatientWeight": b"70,5", "PatientSize": b"1.80000000000000000000", "StudyID": b"A\\B ",
    "SeriesNumber": b"one ", "ContentTime": b"noon", "SliceThickness": b"thick ", "LossyImageCompression": b"NO",
    "AccessionNumber": b"X" * 200, "SpacingBetweenSlices": b"-2.5", "PixelPaddingValue": b"\x30\xf8",
}  # fmt: skip


@pytest.mark.parametrize("keyword", list(MALFORMED))
def test_malformed(case: SegCase, tmp_path: Path, keyword: str, caplog: pytest.LogCaptureFixture) -> None:
    def edit(dataset: FileDataset, _index: int) -> None:
        element = raw_element(keyword, MALFORMED[keyword])
        dataset[element.tag] = element if element.VR != "US or SS" else element._replace(VR="US")

    case.edit_sources(edit)
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        seg = built(case, tmp_path)
    if keyword in seg and keyword not in ("SeriesNumber", "ContentTime", "SliceThickness", "LossyImageCompression"):
        assert not seg[keyword].value
    assert MALFORMED[keyword].decode("latin-1") not in caplog.text
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    assert float(spacing) == 2.5


@pytest.mark.parametrize(
    ("number", "expected"), [("7", 9007), ("3000566", 3009566), ("2147483647", 2**31 - 1), ("-3", 9000), ("0", 9000)]
)
def test_series_number_follows_the_sources(case: SegCase, tmp_path: Path, number: str, expected: int) -> None:
    case.edit_sources(lambda dataset, _: _set_raw(dataset, SeriesNumber=number.encode()))
    assert built(case, tmp_path).SeriesNumber == expected


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (b"ISO_IR 100", "Müller^Jürgen".encode("latin-1")),
        (b"ISO_IR 192", "Müller^Jürgen=山田^太郎".encode()),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        (b"ISO_IR 144", "Люкceмбypг".encode("iso8859-5")),
        (b"GB18030 ", "Wang^XiaoDong=王^小东".encode("gb18030")),
        (b"", "Müller^ohne Zeichensatz".encode("latin-1")),
        (b"ISO_IR 100", b"no caret, and odd"),
    ],
)
def test_patient_name_comes_back_byte_for_byte(case: SegCase, tmp_path: Path, charset: bytes, name: bytes) -> None:
    case.edit_sources(lambda dataset, _: _set_raw(dataset, SpecificCharacterSet=charset, PatientName=name))
    seg = built(case, tmp_path)
    assert raw_bytes(seg, "PatientName").rstrip() == name
    assert raw_bytes(seg, "SpecificCharacterSet").strip() == charset.strip()
    source = dcmread(case.paths[0])
    assert seg.PatientName == source.PatientName


@pytest.mark.parametrize(
    ("charset", "mended"), [(b"ISO-IR 100", "ISO_IR 100"), (b"UTF-8", "ISO_IR 192"), (b"EBCDIC", "")]
)
def test_odd_character_sets_are_mended_or_left_out(case: SegCase, tmp_path: Path, charset: bytes, mended: str) -> None:
    case.edit_sources(lambda dataset, _: _set_raw(dataset, SpecificCharacterSet=charset, PatientName=b"M\xfcller^X"))
    seg = built(case, tmp_path)
    assert raw_text(seg, "SpecificCharacterSet") == mended
    assert raw_bytes(seg, "PatientName").rstrip() == b"M\xfcller^X"


def test_differing_frames_of_reference_end_as_the_first_slices(case: SegCase, tmp_path: Path) -> None:
    def edit(dataset: FileDataset, index: int) -> None:
        dataset.FrameOfReferenceUID = f"1.2.3.{index}"

    case.edit_sources(edit)
    assert built(case, tmp_path).FrameOfReferenceUID == "1.2.3.0"


def test_a_missing_frame_of_reference_is_derived(case: SegCase, tmp_path: Path) -> None:
    def edit(dataset: FileDataset, _index: int) -> None:
        del dataset.FrameOfReferenceUID

    case.edit_sources(edit)
    assert built(case, tmp_path).FrameOfReferenceUID.startswith("2.25.")


def test_decimal_strings_longer_than_16_characters(case: SegCase, tmp_path: Path) -> None:
    def edit(dataset: FileDataset, index: int) -> None:
        position = f"-20.000000000000000000\\-30.00000000000000\\{-100 + 2.5 * index:.20f}".encode()
        _set_raw(dataset, ImagePositionPatient=position, PixelSpacing=b"000000000000.7000000\\7.0000000000e-01")

    case.edit_sources(edit)
    built(case, tmp_path)


def test_lossy_sources_make_lossy_results(case: SegCase, tmp_path: Path) -> None:
    def edit(dataset: FileDataset, _index: int) -> None:
        dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "8.5"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"

    case.edit_sources(edit)
    seg = built(case, tmp_path)
    assert (seg.LossyImageCompression, seg.LossyImageCompressionRatio) == ("01", 8.5)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_sources_in_other_encodings(case: SegCase, tmp_path: Path, syntax: str) -> None:
    for path in case.paths:
        dataset = dcmread(path)
        dataset.PatientName = "Encoded^Otherwise"
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        if syntax == "1.2.840.10008.1.2.2":
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        list(dataset.iterall())  # a conversion needs every element decoded first
        dcmwrite(path, dataset, implicit_vr=syntax == "1.2.840.10008.1.2", little_endian=not syntax.endswith(".2.2"))
    assert str(built(case, tmp_path).PatientName) == "Encoded^Otherwise"


def test_logs_and_errors_name_no_patient_and_no_uid(
    case: SegCase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    case.edit_sources(lambda dataset, _: _set_raw(dataset, PatientName=b"Secretname", StudyDate=b"bad date"))
    with caplog.at_level(logging.DEBUG):
        built(case, tmp_path)
    assert "Secretname" not in caplog.text
    assert not any(uid in caplog.text for uid in case.volume.sop_instance_uids)
    case.edit_sources(lambda dataset, _: _set_raw(dataset, ImagePositionPatient=b"1\\2 "))
    with pytest.raises(SegBuildError) as caught:
        built(case, tmp_path)
    assert not any(path.name in str(caught.value) for path in case.paths)


def test_two_series_are_never_mixed(case: SegCase, tmp_path: Path) -> None:
    def edit(dataset: FileDataset, index: int) -> None:
        dataset.SeriesInstanceUID = f"1.2.{index % 2}"

    case.edit_sources(edit)
    with pytest.raises(SegBuildError, match="2 series"):
        built(case, tmp_path)


def test_a_source_that_is_no_dicom_is_named_by_its_place(case: SegCase) -> None:
    case.paths[2].write_bytes(b"nothing of the kind")
    with pytest.raises(SegBuildError):
        build_seg(case.volume, case.segmentation, case.paths, IDENTITY)


def test_raw_values(case: SegCase) -> None:
    dataset = dcmread(case.paths[0])
    _set_raw(dataset, PixelSpacing=b"0.7\\nan ", ImagePositionPatient=b" 1 \\-2e1\\+3.5 ")
    assert raw_numbers(dataset, "PixelSpacing") is None
    assert raw_numbers(dataset, "ImagePositionPatient") == (1.0, -20.0, 3.5)
    assert raw_numbers(dataset, "PatientWeight") is None
    assert raw_unsigned(dataset, "Rows") == 16
    assert dataset.Columns == raw_unsigned(dataset, "Columns") == 24  # decoded by the access before
    assert raw_unsigned(dataset, "NumberOfFrames") is None
    assert config.settings.reading_validation_mode == config.WARN  # nothing above relies on a switched-off validation


def _set_raw(dataset: FileDataset, **values: bytes) -> None:
    for keyword, value in values.items():
        element = raw_element(keyword, value)
        if value:
            dataset[element.tag] = element
        elif element.tag in dataset:
            del dataset[element.tag]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown character sets are written on purpose
        encodings = convert_encodings(raw_text(dataset, "SpecificCharacterSet").split("\\"))
    dataset.set_original_encoding(False, True, encodings)  # the bytes are written as they are
