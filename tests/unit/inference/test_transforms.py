"""Geometry that must never shift or mirror: random grids against points whose place in the patient is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from inference.grids import Grid, check_orientation, model_grid, orientation_of, reorient
from inference.transforms import labels_on_grid, resample, scale_window

CODES = st.sampled_from(["LPS", "RAS", "LAI", "SPL", "IRA", "PSL"])
SPACINGS = st.tuples(*[st.floats(0.8, 3.0)] * 3)
RELAXED = settings(max_examples=40, deadline=None)


@st.composite
def affines(draw: st.DrawFn) -> NDArray[np.float64]:
    """Any orthogonal grid: oblique, permuted and flipped."""
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    axes = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    if draw(st.booleans()):
        axes = axes * [-1, 1, 1]
    affine = np.eye(4)
    affine[:3, :3] = axes * draw(SPACINGS)
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return affine


def points(grid: Grid) -> NDArray[np.float64]:
    """(z, y, x, 3) LPS mm of every voxel centre."""
    indices = np.stack([*np.indices(grid.shape), np.ones(grid.shape)], axis=-1)
    place: NDArray[np.float64] = (indices @ grid.affine.T)[..., :3]
    return place


def sphere(grid: Grid, centre: NDArray[np.float64], radius: float) -> NDArray[np.float32]:
    """A sphere with a soft edge of one millimetre."""
    distance = np.linalg.norm(points(grid) - centre, axis=-1)
    soft: NDArray[np.float32] = np.clip(radius - distance + 0.5, 0, 1).astype(np.float32)
    return soft


def centroid(values: NDArray[np.float32], grid: Grid) -> NDArray[np.float64]:
    place: NDArray[np.float64] = (points(grid) * values[..., None]).sum(axis=(0, 1, 2)) / values.sum()
    return place


def grid_of(affine: NDArray[np.float64], extent_mm: float = 36) -> Grid:
    shape = np.maximum(3, np.ceil(extent_mm / np.linalg.norm(affine[:3, :3], axis=0))).astype(int)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


@RELAXED
@given(affines(), CODES)
def test_reorienting_moves_no_voxel_in_the_patient(affine: NDArray[np.float64], code: str) -> None:
    voxels = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    place = points(Grid((3, 4, 5), affine))
    turned, grid = reorient(voxels, affine, code)
    assert turned.shape == grid.shape
    assert orientation_of(grid.affine) == code
    by_value = {value: place[index] for index, value in np.ndenumerate(voxels)}
    for index, value in np.ndenumerate(turned):
        np.testing.assert_allclose(points(grid)[index], by_value[value], atol=1e-9)


@RELAXED
@given(affines(), CODES)
def test_reorienting_back_is_the_identity(affine: NDArray[np.float64], code: str) -> None:
    voxels = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
    turned, grid = reorient(voxels, affine, code)
    back, back_grid = reorient(turned, grid.affine, orientation_of(affine))
    np.testing.assert_array_equal(back, voxels)
    np.testing.assert_allclose(back_grid.affine, affine, atol=1e-9)


@RELAXED
@given(affines(), CODES, SPACINGS)
def test_a_model_grid_has_the_spacing_orientation_and_centre_asked_for(
    affine: NDArray[np.float64], code: str, spacing: tuple[float, float, float]
) -> None:
    source = grid_of(affine)
    grid = model_grid(source, code, spacing)
    np.testing.assert_allclose(np.linalg.norm(grid.affine[:3, :3], axis=0), spacing)
    assert orientation_of(grid.affine) == code
    centres = [g.affine @ [*((np.array(g.shape) - 1) / 2), 1] for g in (source, grid)]
    np.testing.assert_allclose(centres[0], centres[1], atol=1e-9)


@RELAXED
@given(affines(), CODES, SPACINGS, st.tuples(*[st.floats(-0.2, 0.2)] * 3))
def test_a_sphere_keeps_its_place_there_and_back(
    affine: NDArray[np.float64], code: str, spacing: tuple[float, float, float], place: tuple[float, float, float]
) -> None:
    source = grid_of(affine)
    shape = np.array(source.shape)
    centre = (affine @ [*((shape - 1) / 2 + np.array(place) * shape), 1])[:3]
    radius = 9.0
    truth = sphere(source, centre, radius)
    grid = model_grid(source, code, spacing)
    there = resample(truth, affine, grid)
    half_voxel = 0.5 * np.linalg.norm(affine[:3, :3], axis=0).min()
    assert np.linalg.norm(centroid(there, grid) - centre) < half_voxel
    mask = labels_on_grid(there[None].astype(np.float16), grid.affine, source, numbers=(1,), threshold=0.5)
    assert np.linalg.norm(centroid(mask.astype(np.float32), source) - centre) < half_voxel
    volume = mask.sum() * abs(np.linalg.det(affine[:3, :3]))
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.15)


@RELAXED
@given(affines(), CODES, SPACINGS)
def test_a_linear_field_is_reproduced_inside(
    affine: NDArray[np.float64], code: str, spacing: tuple[float, float, float]
) -> None:
    source = grid_of(affine)
    direction = np.array([0.3, -0.2, 0.5])
    grid = model_grid(source, code, spacing)
    sampled = resample((points(source) @ direction).astype(np.float32), affine, grid)
    inside = tuple(slice(4, -4) if size > 8 else slice(0, 0) for size in grid.shape)
    np.testing.assert_allclose(sampled[inside], (points(grid) @ direction)[inside], atol=1e-2)


@RELAXED
@given(affines(), CODES, SPACINGS, st.floats(-1000, 3000))
def test_a_constant_stays_constant_up_to_the_border(
    affine: NDArray[np.float64], code: str, spacing: tuple[float, float, float], value: float
) -> None:
    source = grid_of(affine, extent_mm=25)
    grid = model_grid(source, code, spacing)
    sampled = resample(np.full(source.shape, value, dtype=np.float32), affine, grid)
    np.testing.assert_allclose(sampled, value, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("corner", [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)])
@pytest.mark.parametrize("code", ["LPS", "RAS", "SAR"])
def test_nothing_is_mirrored(corner: tuple[int, int, int], code: str) -> None:
    source = Grid((20, 24, 28), np.diag([2.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]])
    voxels = np.zeros(source.shape, dtype=np.float32)
    index = tuple(-4 if at_end else 3 for at_end in corner)
    voxels[index] = 1000
    grid = model_grid(source, code, (1.5, 1.5, 1.5))
    sampled = resample(voxels, source.affine, grid)
    brightest = np.unravel_index(sampled.argmax(), sampled.shape)
    np.testing.assert_allclose(points(grid)[brightest], points(source)[index], atol=1.5)


def test_shrinking_averages_instead_of_picking() -> None:
    source = Grid((40, 8, 8), np.eye(4))
    stripes = np.zeros(source.shape, dtype=np.float32)
    stripes[::2] = 1000
    sampled = resample(stripes, source.affine, model_grid(source, orientation_of(source.affine), (4.0, 1.0, 1.0)))
    assert np.abs(sampled[1:-1] - 500).max() < 100


def test_no_probability_reaches_the_threshold_gives_an_empty_mask() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    low = np.full((1, 4, 4, 4), 0.49, dtype=np.float16)
    assert not labels_on_grid(low, grid.affine, grid, numbers=(1,), threshold=0.5).any()


@RELAXED
@given(st.integers(0, 3), st.floats(0.01, 1))
def test_only_looking_where_the_threshold_can_be_reached_changes_nothing(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    source = Grid((9, 10, 11), np.diag([-1.0, 0.8, 1.1, 1.0]))
    grid = model_grid(source, "LPS", (1.7, 0.7, 1.3))
    probabilities = (rng.random((2, *grid.shape)) ** 8).astype(np.float16)
    mask = labels_on_grid(probabilities, grid.affine, source, numbers=(1, 2), threshold=threshold)
    full = labels_on_grid(probabilities, grid.affine, source, numbers=(1, 2), threshold=1e-9)
    assert set(np.unique(mask)) <= {0, 1, 2}
    np.testing.assert_array_equal(mask[mask > 0], full[mask > 0])


def test_the_most_probable_label_wins() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    probabilities = np.zeros((2, 2, 2, 2), dtype=np.float16)
    probabilities[0], probabilities[1, 0] = 0.6, 0.8
    mask = labels_on_grid(probabilities, grid.affine, grid, numbers=(3, 7), threshold=0.5)
    assert (mask[0] == 7).all()
    assert (mask[1] == 3).all()


def test_windowing_clips_and_works_in_place() -> None:
    voxels = np.array([[[-2000, -1000, -500, 0, 500]]], dtype=np.float32)
    assert scale_window(voxels, (-1000, 0)) is voxels
    np.testing.assert_allclose(voxels[0, 0], [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("code", ["LP", "LPSS", "LLS", "XYZ", "lps", ""])
def test_codes_that_are_no_orientation_are_refused(code: str) -> None:
    with pytest.raises(ValueError, match="no code"):
        check_orientation(code)


def test_grids_that_are_not_parallel_are_refused() -> None:
    turned = np.eye(4)
    turned[:3, :3] = Rotation.from_euler("x", 10, degrees=True).as_matrix()
    with pytest.raises(ValueError, match="not parallel"):
        resample(np.zeros((3, 3, 3), dtype=np.float32), np.eye(4), Grid((3, 3, 3), turned))
