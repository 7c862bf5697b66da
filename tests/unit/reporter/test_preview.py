"""The preview: right side up whatever the source orientation, and without patient data."""

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference.volume import Volume
from reporter.preview import choose_slices, write_preview
from reporter.preview_window import plane_view, windowed
from tests.unit.reporter.seg_cases import LESION, OPACITY, make_segmentation

# patient coordinates (left, posterior, superior) of a small box with three marked corners
SIZE_MM = np.array([40.0, 30.0, 60.0])
SPACING = np.array([1.0, 1.5, 2.5])


def volume_in(order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """A volume whose array axes run along the patient axes `order` with `signs`; HU tell left, posterior, superior."""
    steps = np.zeros((4, 4))
    steps[3, 3] = 1
    shape = []
    for array_axis, (patient_axis, sign) in enumerate(zip(order, signs, strict=True)):
        steps[patient_axis, array_axis] = sign * SPACING[patient_axis]
        shape.append(int(SIZE_MM[patient_axis] / SPACING[patient_axis]))
        steps[patient_axis, 3] = 0 if sign > 0 else SIZE_MM[patient_axis] - SPACING[patient_axis]
    indices = np.indices(shape).reshape(3, -1)
    place = steps[:3, :3] @ indices + steps[:3, 3:]
    high = (place > SIZE_MM[:, np.newaxis] / 2).astype(np.float32)
    hu = -1000 + 400 * high[0] + 200 * high[1] + 100 * high[2]
    return Volume(hu.reshape(shape).astype(np.float32), steps)


ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_axial_has_the_patients_left_on_the_right_and_the_front_up(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    volume = volume_in(order, signs)
    view = plane_view(volume, "axial")
    picture = view.picture(volume.voxels, 0) % 100 + view.picture(volume.voxels, 0) // 100 * 100
    levels = (picture + 1000) // 200 * 200  # without superior/inferior
    assert levels[0, 0] == 0  # right, anterior
    assert levels[0, -1] == 400  # left
    assert levels[-1, 0] == 200  # posterior
    assert view.pixel_mm == (SPACING[1], SPACING[0])


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_coronal_has_the_patients_left_on_the_right_and_the_head_up(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    volume = volume_in(order, signs)
    view = plane_view(volume, "coronal")
    levels = (view.picture(volume.voxels, 0) + 1000) % 200 + (view.picture(volume.voxels, 0) + 1000) // 400 * 400
    assert levels[0, 0] == 100  # right, superior
    assert levels[0, -1] == 500
    assert levels[-1, 0] == 0
    assert view.pixel_mm == (SPACING[2], SPACING[0])


def test_an_oblique_volume_takes_the_nearest_axes() -> None:
    volume = volume_in((2, 1, 0), (1, 1, 1))
    angle = np.deg2rad(30)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert plane_view(Volume(volume.voxels, turn @ volume.affine), "axial").axes == (0, 1, 2)


def test_the_lung_window() -> None:
    hu = np.array([-3000, -1350, -600, 150, 3000], np.float32)
    assert windowed(hu).tolist() == [0, 0, 127, 255, 255]


@given(areas=st.lists(st.integers(0, 50), min_size=1, max_size=60), count=st.integers(1, 8))
def test_slices_are_distinct_largest_first_and_within(areas: list[int], count: int) -> None:
    chosen = choose_slices(np.array(areas), count)
    assert 1 <= len(chosen) <= count
    assert len(set(chosen)) == len(chosen)
    if any(areas):
        assert areas[chosen[0]] == max(areas)
        assert all(areas[index] for index in chosen)
    assert chosen[1:] == sorted(chosen[1:])


def test_the_overlay_has_the_labels_colour_where_the_mask_is(tmp_path: Path) -> None:
    voxels = np.full((12, 40, 40), -800, np.float32)
    affine = np.diag([2.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    mask = np.zeros(voxels.shape, np.uint8)
    mask[6, 5:15, 22:36] = 1  # anterior, on the patient's left
    segmentation = make_segmentation(mask, (LESION, OPACITY))
    write_preview(Volume(voxels, affine), segmentation, tmp_path / "p.png", lungs=voxels < 0)
    pixels = np.asarray(Image.open(tmp_path / "p.png").convert("RGB")).astype(int)
    first = pixels[40:320, :318]
    red = (first[:, :, 0] - first[:, :, 2]) > 60
    rows, columns = np.nonzero(red)
    assert columns.min() > 160  # the picture's right half
    assert rows.max() < 140  # upper half


@pytest.mark.parametrize("lungs", [None, "some", "none"])
def test_an_empty_mask_still_gives_a_picture(tmp_path: Path, lungs: str | None) -> None:
    volume = volume_in((2, 1, 0), (1, 1, 1))
    shown = None if lungs is None else volume.voxels < (-700 if lungs == "some" else -2000)
    write_preview(volume, make_segmentation(np.zeros(volume.voxels.shape, np.uint8)), tmp_path / "p.png", lungs=shown)
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size[0] == 960
        assert picture.info == {}  # no text chunks: nothing about the patient can hide there


def test_one_slice_is_enough(tmp_path: Path) -> None:
    voxels = np.full((1, 8, 8), -800, np.float32)
    write_preview(
        Volume(voxels, np.eye(4)[[2, 1, 0, 3]]), make_segmentation(np.ones((1, 8, 8), np.uint8)), tmp_path / "p.png"
    )
    assert (tmp_path / "p.png").stat().st_size > 0
