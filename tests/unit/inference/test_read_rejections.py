"""Generated series, bent one header at a time: what is refused, and by which name."""

import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError
from inference.read_series import ReadLimits, read_series
from tests.unit.inference.ct_files import Change, at, deflated, everywhere, positioned, raw, write_stack

FEW = ReadLimits(minimum_slices=2)
Reason = RejectionReason


def tilted(k: int, dataset: Dataset) -> None:
    dataset.ImagePositionPatient = [-5.0, -4.0 + 0.5 * k, 10.0 + 2.0 * k]


def tilted_with_gap(k: int, dataset: Dataset) -> None:
    step = k if k < 4 else k + 1
    dataset.ImagePositionPatient = [-5.0, -4.0 + 0.5 * step, 10.0 + 2.0 * step]


def coronal(dataset: Dataset) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def swapped(dataset: Dataset) -> None:
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows


def truncated(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:-20]


REJECTED: list[tuple[str, Change, Reason]] = [
    ("MR", everywhere(SOPClassUID="1.2.840.10008.5.1.4.1.1.4", Modality="MR"), Reason.NOT_CT),
    ("modality PT under CT", everywhere(Modality="PT"), Reason.NOT_CT),
    ("modality SEG under CT", everywhere(Modality="SEG"), Reason.SEGMENTATION_AS_CT),
    ("enhanced CT", everywhere(SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1"), Reason.MULTI_FRAME),
    ("two frames", everywhere(NumberOfFrames=2), Reason.MULTI_FRAME),
    ("unknown SOP class", everywhere(SOPClassUID="1.2.3.4.5"), Reason.INVALID_SOP_CLASS),
    ("secondary capture", everywhere(SOPClassUID="1.2.840.10008.5.1.4.1.1.7"), Reason.SECONDARY_CAPTURE),
    ("microscopy", everywhere(SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6"), Reason.NOT_CT),
    ("colour", everywhere(SamplesPerPixel=3), Reason.NOT_CT),
    ("one SEG among CT", at(2, lambda d: setattr(d, "Modality", "SEG")), Reason.SEGMENTATION_AS_CT),
    ("two series", at(2, lambda d: setattr(d, "SeriesInstanceUID", "1.2.9")), Reason.MIXED_SERIES),
    ("two studies", at(2, lambda d: setattr(d, "StudyInstanceUID", "1.2.9")), Reason.MIXED_SERIES),
    ("no position", at(1, lambda d: delattr(d, "ImagePositionPatient")), Reason.MISSING_GEOMETRY),
    ("no orientation", at(1, lambda d: delattr(d, "ImageOrientationPatient")), Reason.MISSING_GEOMETRY),
    ("no pixel spacing", at(1, lambda d: delattr(d, "PixelSpacing")), Reason.MISSING_GEOMETRY),
    ("zero pixel spacing", everywhere(PixelSpacing=[0.0, 1.0]), Reason.MISSING_GEOMETRY),
    ("malformed position", raw(ImagePositionPatient="1\\two\\3"), Reason.MISSING_GEOMETRY),
    ("infinite position", raw(ImagePositionPatient="1\\inf\\3"), Reason.MISSING_GEOMETRY),
    ("cosines of length 2", everywhere(ImageOrientationPatient=[2, 0, 0, 0, 2, 0]), Reason.MISSING_GEOMETRY),
    ("skew cosines", everywhere(ImageOrientationPatient=[1, 0, 0, 0.1, 0.995, 0]), Reason.MISSING_GEOMETRY),
    ("a localizer", at(3, coronal), Reason.MIXED_ORIENTATION),
    ("other size", at(3, swapped), Reason.MIXED_SIZE),
    ("other spacing", at(3, lambda d: setattr(d, "PixelSpacing", [1.1, 1.1])), Reason.MIXED_SIZE),
    ("all at one place", positioned(1, 1, 1, 1, 1, 1), Reason.DUPLICATE_POSITIONS),
    ("two at one place", positioned(0, 2, 4, 4, 6, 8), Reason.DUPLICATE_POSITIONS),
    ("one missing", positioned(0, 2, 4, 8, 10, 12), Reason.MISSING_SLICES),
    ("half a stack far away", positioned(0, 2, 4, 104, 106, 108), Reason.MISSING_SLICES),
    ("uneven", positioned(0, 2, 4, 6.5, 8.5, 10.5), Reason.IRREGULAR_SPACING),
    ("tilted", tilted, Reason.GANTRY_TILT),
    ("tilted, one missing", tilted_with_gap, Reason.TILT_AND_MISSING_SLICES),
    ("no rescale slope", at(4, lambda d: delattr(d, "RescaleSlope")), Reason.MISSING_RESCALE),
    ("no rescale intercept", at(4, lambda d: delattr(d, "RescaleIntercept")), Reason.MISSING_RESCALE),
    ("zero slope", everywhere(RescaleSlope=0), Reason.MISSING_RESCALE),
    ("iodine map", everywhere(RescaleType="MGML"), Reason.NOT_HOUNSFIELD),
    ("no pixels", at(2, lambda d: delattr(d, "PixelData")), Reason.UNDECODABLE_PIXELS),
    ("truncated pixels", at(2, truncated), Reason.UNDECODABLE_PIXELS),
    ("more rows than pixels", everywhere(Rows=4000, Columns=4000), Reason.UNDECODABLE_PIXELS),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), [row[1:] for row in REJECTED], ids=[row[0] for row in REJECTED])
def test_each_reason_to_refuse_has_its_own_name(tmp_path: Path, change: Change, reason: Reason) -> None:
    paths = write_stack(tmp_path, change=change)
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(paths, FEW)
    assert caught.value.reason is reason
    for secret in ("Secret", "SECRET", "1.2.3.", str(tmp_path)):
        assert secret not in str(caught.value)


def test_a_distance_that_changes_half_way_bends_no_grid(tmp_path: Path) -> None:
    places = [2.0 * k if k < 20 else 40 + 2.2 * (k - 20) for k in range(40)]
    paths = write_stack(tmp_path, 40, positioned(*places))
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(paths, FEW)
    assert caught.value.reason is Reason.IRREGULAR_SPACING


def test_positions_rounded_to_one_decimal_are_a_regular_grid(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, 40, positioned(*(round(0.625 * k, 1) for k in range(40))))
    assert read_series(paths, FEW).spacing[0] == pytest.approx(0.625, abs=2e-3)


def test_too_few_slices(tmp_path: Path) -> None:
    with pytest.raises(SeriesRejectedError, match="6 slices where at least 7 are wanted") as caught:
        read_series(write_stack(tmp_path), ReadLimits(minimum_slices=7))
    assert caught.value.reason is Reason.TOO_FEW_SLICES


def test_no_files_are_no_instances() -> None:
    with pytest.raises(NoInstancesError):
        read_series([])


@pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_a_file_that_is_no_dicom_is_unreadable(tmp_path: Path, content: bytes) -> None:
    paths = write_stack(tmp_path)
    paths[2].write_bytes(content)
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(paths, FEW)
    assert caught.value.reason in (Reason.UNREADABLE_FILE, Reason.INVALID_SOP_CLASS, Reason.MIXED_SERIES)


def test_a_file_that_went_away_is_unreadable(tmp_path: Path) -> None:
    paths = write_stack(tmp_path)
    paths[0].unlink()
    with pytest.raises(SeriesRejectedError, match="file 6 of 6 by name") as caught:
        read_series(paths, FEW)
    assert caught.value.reason is Reason.UNREADABLE_FILE


def test_voxels_are_bounded_before_anything_is_decoded(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, change=everywhere(Rows=65_000, Columns=65_000))
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(paths, FEW)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_long_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(write_stack(tmp_path), ReadLimits(minimum_slices=2, maximum_file_bytes=500))
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_deflated_file_is_bounded_before_it_is_inflated(tmp_path: Path) -> None:
    (path,) = write_stack(tmp_path, count=1, change=deflated)
    limits = ReadLimits(minimum_slices=1, maximum_file_bytes=100_000)
    assert read_series([path], limits).voxels.shape == (1, 8, 10)
    content = path.read_bytes()
    length = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = zlib.decompress(content[length:], -zlib.MAX_WBITS) + bytes(10_000_000)
    path.write_bytes(content[:length] + packer.compress(body) + packer.flush())
    assert path.stat().st_size < 100_000
    with pytest.raises(SeriesRejectedError) as caught:
        read_series([path], limits)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_codestream_of_another_size_is_not_given_to_a_decoder(tmp_path: Path, test_data: Path) -> None:
    source = dcmread(next((test_data / "odd_transfer_syntaxes").glob("*1.2.4.90.dcm")))
    frame = bytearray(source.PixelData[source.PixelData.index(b"\xff\x4f\xff\x51") :])
    frame[8:16] = (60_000).to_bytes(4, "big") * 2  # Xsiz, Ysiz
    source.PixelData = encapsulate([bytes(frame)])
    source["PixelData"].is_undefined_length = True
    assert source.file_meta.TransferSyntaxUID == JPEG2000Lossless
    source.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(SeriesRejectedError, match="60000 x 60000") as caught:
        read_series([tmp_path / "bomb.dcm"], ReadLimits(minimum_slices=1))
    assert caught.value.reason is Reason.UNDECODABLE_PIXELS
