"""Generated headers, bent one at a time: what is refused and by which name, what is only warned of."""

import logging
import zlib
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless
from scipy.spatial.transform import Rotation

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError
from inference.read_series import ReadLimits, find_series, read_series
from tests.unit.inference.ct_files import ct_instance, write, write_stack

FEW = ReadLimits(minimum_slices=2)
Reason = RejectionReason


def at(index: int, change: Callable[[Dataset], object]) -> Callable[[int, Dataset], None]:
    return lambda k, dataset: change(dataset) if k == index else None  # type: ignore[return-value]  # (setters return None)


def everywhere(**elements: object) -> Callable[[int, Dataset], None]:
    def change(_: int, dataset: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    return change


def without(*keywords: str) -> Callable[[int, Dataset], None]:
    def change(_: int, dataset: Dataset) -> None:
        for keyword in keywords:
            delattr(dataset, keyword)

    return change


def raw(**texts: str) -> Callable[[int, Dataset], None]:
    """Element values as they stand in the file, not checked by pydicom."""

    def change(_: int, dataset: Dataset) -> None:
        for keyword, text in texts.items():
            if keyword not in dataset:
                setattr(dataset, keyword, "")
            dataset[keyword]._value = text

    return change


def tilted(k: int, dataset: Dataset) -> None:
    dataset.ImagePositionPatient = [-5.0, -4.0 + 0.5 * k, 10.0 + 2.0 * k]


def tilted_with_gap(k: int, dataset: Dataset) -> None:
    step = k if k < 4 else k + 1
    dataset.ImagePositionPatient = [-5.0, -4.0 + 0.5 * step, 10.0 + 2.0 * step]


def positioned(*places: float) -> Callable[[int, Dataset], None]:
    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-5.0, -4.0, places[k]]

    return change


def coronal(dataset: Dataset) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def swapped(dataset: Dataset) -> None:
    dataset.Rows, dataset.Columns = dataset.Columns, dataset.Rows


def framed(k: int, dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = f"1.2.{k + 1}"


def deflated(_: int, dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def truncated(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:-20]


REJECTED: list[tuple[str, Callable[[int, Dataset], None], Reason]] = [
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
def test_each_reason_to_refuse_has_its_own_name(
    tmp_path: Path, change: Callable[[int, Dataset], None], reason: Reason
) -> None:
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


WARNED: list[tuple[str, Callable[[int, Dataset], None], str]] = [
    ("frames of reference", framed, "differing_frame_of_reference"),
    ("no frame of reference", without("FrameOfReferenceUID"), "missing_frame_of_reference"),
    ("no modality", without("Modality"), "missing_modality"),
    ("lossy", everywhere(LossyImageCompression="01"), "lossy_compression"),
    ("misspelt HU", everywhere(RescaleType="Houndsfield Unit"), "unusual_rescale_type"),
    ("padding with water", everywhere(PixelPaddingValue=1024), "implausible_pixel_padding"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
def test_what_is_odd_is_warned_of_and_read(tmp_path: Path, change: Callable[[int, Dataset], None], code: str) -> None:
    volume = read_series(write_stack(tmp_path, change=change), FEW)
    assert [warning.code for warning in volume.warnings] == [code]
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], range(6))


HARMLESS: list[tuple[str, Callable[[int, Dataset], None]]] = [
    ("no patient", without("PatientID", "PatientName")),
    ("odd times", raw(AcquisitionTime="noon", StudyTime="240000")),
    ("negative spacing between slices", everywhere(SpacingBetweenSlices=-2.0)),
    ("instance numbers reversed", lambda k, d: setattr(d, "InstanceNumber", 99 - k)),
    ("several kernels", everywhere(ConvolutionKernel=["B30f", "3"])),
    ("odd decimal strings", raw(PixelSpacing="001.00000e+00\\ 1", RescaleSlope="+1.0", RescaleIntercept=" -1024 ")),
    ("slight jitter of cosines", lambda k, d: setattr(d, "ImageOrientationPatient", [1, 1e-5 * k, 0, 0, 1, 0])),
    ("thickness unlike the distance", everywhere(SliceThickness=5.0)),
]  # fmt: skip


@pytest.mark.parametrize("change", [row[1] for row in HARMLESS], ids=[row[0] for row in HARMLESS])
def test_what_stops_no_reading(tmp_path: Path, change: Callable[[int, Dataset], None]) -> None:
    volume = read_series(write_stack(tmp_path, change=change), FEW)
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], range(6))
    assert volume.warnings == ()
    assert volume.spacing == pytest.approx((2, 1, 1))


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"AcquisitionDate": "20240229", "SeriesDate": "20200101"}, date(2024, 2, 29)),
        ({"AcquisitionDate": "20240230", "SeriesDate": "20200101"}, date(2020, 1, 1)),
        ({"AcquisitionDate": "", "StudyDate": "2020.01.05"}, date(2020, 1, 5)),
        ({"AcquisitionDate": "yesterday"}, None),
        ({"AcquisitionDate": "20240229-20240301"}, None),
    ],
)
def test_the_date_is_the_first_that_is_a_date(tmp_path: Path, elements: dict[str, str], expected: date | None) -> None:
    def change(_: int, dataset: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(dataset, keyword, "19990101")
            dataset[keyword]._value = value

    assert read_series(write_stack(tmp_path, change=change), FEW).acquisition_date == expected


@pytest.mark.parametrize(
    ("padding", "stored", "signed", "expected"),
    [
        ({"PixelPaddingValue": -2000}, -2000, True, -1024),
        ({"PixelPaddingValue": 63536}, -2000, True, -1024),  # -2000 written unsigned, as GE does
        ({"PixelPaddingValue": 63536}, 63536, False, -1024),
        ({}, -2000, True, -1024),  # nothing lies below air
        ({}, 1064, True, 40),
        ({"PixelPaddingValue": 0}, 0, False, -1024),
        ({"PixelPaddingValue": 10, "PixelPaddingRangeLimit": 60}, 50, False, -1024),
        ({"PixelPaddingValue": 10, "PixelPaddingRangeLimit": 60}, 61, False, -963),
        ({"PixelPaddingValue": 1064}, 1064, True, 40),  # would blank soft tissue: not believed
    ],
)
def test_padding_becomes_air(
    tmp_path: Path, padding: dict[str, int], stored: int, signed: bool, expected: float
) -> None:
    def change(_: int, dataset: Dataset) -> None:
        dataset.PixelRepresentation = int(signed)
        intercept = -70_000 if stored > 32_767 else -1024
        dataset.RescaleIntercept = intercept
        dataset.PixelData = np.full((8, 10), stored, dtype="<i2" if signed else "<u2").tobytes()
        for keyword, value in padding.items():
            dataset.add_new(keyword, "SS" if value < 0 else "US", value)

    volume = read_series(write_stack(tmp_path, change=change), FEW)
    assert (volume.voxels == expected).all()


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 1 + 0.5 * k, -1000 - k

    volume = read_series(write_stack(tmp_path, change=change), FEW)
    expected = [(1024 + k) * (1 + 0.5 * k) - 1000 - k for k in range(6)]
    np.testing.assert_allclose(volume.voxels[:, 3, 4], expected)


def decimal_strings(values: Iterable[float]) -> list[str]:
    return [f"{value:.8f}"[:16] for value in values]


@st.composite
def placements(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[float, float], float]:
    """Rotation, origin, pixel spacing (rows, columns), slice distance."""
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    origin = np.array(draw(st.tuples(*[st.floats(-400, 400)] * 3)))
    return axes, origin, draw(st.tuples(st.floats(0.3, 2), st.floats(0.3, 2))), draw(st.floats(0.5, 8))


@settings(deadline=None, max_examples=40)
@given(placements(), st.permutations(range(5)), st.booleans())
def test_voxels_land_at_their_place_in_the_patient(
    tmp_path_factory: pytest.TempPathFactory,
    placement: tuple[np.ndarray, np.ndarray, tuple[float, float], float],
    order: list[int],
    feet_first: bool,
) -> None:
    """PS3.3 C.7.6.2.1.1: P = position + column index * spacing * row cosines + row index * spacing * column cosines."""
    axes, origin, spacing, distance = placement
    row, column = axes[:, 0], axes[:, 1]
    step = axes[:, 2] * (-distance if feet_first else distance)
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    place = {}
    paths = []
    for number, k in enumerate(order):
        pixels = rng.permutation(30).reshape(5, 6).astype(np.int16) + 100 * k
        position = origin + k * step
        dataset = ct_instance(number, pixels, position.tolist())
        dataset.ImagePositionPatient = decimal_strings(position)
        dataset.ImageOrientationPatient = decimal_strings([*row, *column])
        dataset.PixelSpacing = decimal_strings(spacing)
        paths.append(write(dataset, folder / f"{number}.dcm"))
        for (i, j), value in np.ndenumerate(pixels):
            place[float(value) - 1024] = position + j * spacing[1] * row + i * spacing[0] * column
    volume = read_series(paths, FEW)
    for index, hu in np.ndenumerate(volume.voxels):
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], place[float(hu)], atol=1e-4)
    assert volume.affine[:3, 0] @ np.cross(row, column) > 0
    uids = [dcmread(paths[order.index(k)]).SOPInstanceUID for k in (reversed(range(5)) if feet_first else range(5))]
    assert list(volume.sop_instance_uids) == uids


def test_threads_change_nothing(tmp_path: Path) -> None:
    paths = write_stack(tmp_path, count=12)
    one, many = (read_series(paths, FEW, threads=n).voxels for n in (1, 4))
    np.testing.assert_array_equal(one, many)


def test_a_single_slice_without_thickness_is_one_millimetre_thick_and_says_so(tmp_path: Path) -> None:
    volume = read_series(write_stack(tmp_path, 1, without("SliceThickness")), ReadLimits(minimum_slices=1))
    assert volume.spacing[0] == 1
    assert [warning.code for warning in volume.warnings] == ["assumed_slice_thickness"]


def test_folders_are_grouped_by_series_and_junk_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    big = write_stack(tmp_path / "a" / "deep", 4)
    small = write_stack(tmp_path / "a", 2, everywhere(SeriesInstanceUID="1.2.3.9"))
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty").touch()
    assert find_series(tmp_path) == [tuple(sorted(big)), tuple(sorted(small))]


def test_a_broken_file_is_a_series_of_its_own(tmp_path: Path) -> None:
    write_stack(tmp_path, 2)
    broken = tmp_path / "broken.dcm"
    content = write_stack(tmp_path, 1, deflated)[0].read_bytes()
    broken.write_bytes(content[:-30])
    assert (broken,) in find_series(tmp_path)
    with pytest.raises(SeriesRejectedError) as caught:
        read_series([broken])
    assert caught.value.reason is Reason.UNREADABLE_FILE


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_dicom_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInstancesError, match=name):
        find_series(tmp_path / name)


def test_nothing_about_the_patient_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        (paths,) = find_series(write_stack(tmp_path)[0].parent)
        read_series(paths, FEW)
    assert "Secret" not in caplog.text
    assert "1.2.3" not in caplog.text
