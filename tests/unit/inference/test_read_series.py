"""Generated series: where voxels land, what they hold, and what is only warned of."""

import logging
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError
from inference.read_series import ReadLimits, find_series, read_series
from tests.unit.inference.ct_files import (
    Change,
    ct_instance,
    deflated,
    everywhere,
    raw,
    without,
    write,
    write_stack,
)

FEW = ReadLimits(minimum_slices=2)
Reason = RejectionReason


def framed(k: int, dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = f"1.2.{k + 1}"


WARNED: list[tuple[str, Change, str]] = [
    ("frames of reference", framed, "differing_frame_of_reference"),
    ("no frame of reference", without("FrameOfReferenceUID"), "missing_frame_of_reference"),
    ("no modality", without("Modality"), "missing_modality"),
    ("lossy", everywhere(LossyImageCompression="01"), "lossy_compression"),
    ("misspelt HU", everywhere(RescaleType="Houndsfield Unit"), "unusual_rescale_type"),
    ("padding with water", everywhere(PixelPaddingValue=1024), "implausible_pixel_padding"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code"), [row[1:] for row in WARNED], ids=[row[0] for row in WARNED])
def test_what_is_odd_is_warned_of_and_read(tmp_path: Path, change: Change, code: str) -> None:
    volume = read_series(write_stack(tmp_path, change=change), FEW)
    assert [warning.code for warning in volume.warnings] == [code]
    np.testing.assert_array_equal(volume.voxels[:, 0, 0], range(6))


HARMLESS: list[tuple[str, Change]] = [
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
def test_what_stops_no_reading(tmp_path: Path, change: Change) -> None:
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
