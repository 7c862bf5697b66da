"""Tiling and blending, against constants, coverage, and MONAI's published numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.sliding_window import Tiling, count_tiles, importance_map, predict_volume, tile_starts, tiles

SHAPES = st.tuples(*[st.integers(1, 20)] * 3)
PATCHES = st.tuples(*[st.integers(2, 8)] * 3)
OVERLAPS = st.floats(0, 0.9)
RELAXED = settings(deadline=None)


@given(st.integers(1, 300), st.integers(1, 64), OVERLAPS)
def test_every_voxel_of_an_axis_is_covered_and_none_beyond(length: int, patch: int, overlap: float) -> None:
    starts = tile_starts(length, patch, overlap)
    covered = {i for start in starts for i in range(start, start + patch)}
    assert starts == sorted(set(starts))
    assert covered >= set(range(length))
    assert length <= patch or max(covered) == length - 1


@pytest.mark.parametrize(
    ("length", "patch", "overlap", "expected"),
    [
        # monai.data.utils.dense_patch_slices with the scan interval of sliding_window_inference
        (10, 4, 0.25, [0, 3, 6]),
        (11, 4, 0.25, [0, 3, 6, 7]),
        (96, 96, 0.5, [0]),
        (97, 96, 0.5, [0, 1]),
        (200, 96, 0.25, [0, 72, 104]),
        (5, 8, 0.5, [0]),
    ],
)
def test_tiles_lie_where_monai_puts_them(length: int, patch: int, overlap: float, expected: list[int]) -> None:
    assert tile_starts(length, patch, overlap) == expected


def test_the_importance_map_is_monais() -> None:
    weights = importance_map((4, 4, 4))
    axis = np.exp(-(np.array([-1.5, -0.5, 0.5, 1.5]) ** 2) / (2 * 0.5**2))
    expected = np.maximum(axis[:, None, None] * axis[:, None] * axis, 1e-3)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert weights.min() == pytest.approx(1e-3)


@RELAXED
@given(SHAPES, PATCHES, OVERLAPS, st.floats(0, 1))
def test_a_constant_stays_the_constant(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float, value: float
) -> None:
    def predict(given_patch: NDArray[np.float32]) -> NDArray[np.float32]:
        assert given_patch.shape == patch
        return np.full((2, *patch), value, dtype=np.float32)

    image = np.zeros(shape, dtype=np.float32)
    result = predict_volume(image, predict, Tiling(patch, overlap), channels=2, outside=0)
    assert result.shape == (2, *shape)
    np.testing.assert_allclose(result, value, atol=1e-3)


@RELAXED
@given(SHAPES, PATCHES, OVERLAPS, st.integers(0, 99))
def test_what_a_model_says_of_a_voxel_stays_with_the_voxel(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float, seed: int
) -> None:
    image = np.random.default_rng(seed).random(shape).astype(np.float32)
    result = predict_volume(image, lambda p: p[None], Tiling(patch, overlap), channels=1, outside=0)
    np.testing.assert_allclose(result[0], image, atol=1e-3)


def test_a_volume_smaller_than_the_patch_is_padded_on_both_sides() -> None:
    seen = []

    def predict(patch: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(patch.copy())
        return patch[None]

    image = np.ones((2, 3, 8), dtype=np.float32)
    predict_volume(image, predict, Tiling((5, 4, 8), 0.5), channels=1, outside=-7)
    (patch,) = seen
    assert (patch[1:3, 0:3] == 1).all()
    assert (patch == -7).sum() == patch.size - image.size


def test_neighbours_blend_smoothly() -> None:
    patches = iter([np.zeros((1, 1, 1, 8)), np.ones((1, 1, 1, 8))])
    image = np.zeros((1, 1, 12), dtype=np.float32)
    result = predict_volume(
        image, lambda _: next(patches).astype(np.float32), Tiling((1, 1, 8), 0.5), channels=1, outside=0
    )[0, 0, 0]
    assert (result[:4] == 0).all()
    assert (result[8:] == 1).all()
    assert (np.diff(result) >= 0).all()
    np.testing.assert_allclose(result[4:8] + result[7:3:-1], 1, atol=2e-3)


def test_progress_counts_every_patch() -> None:
    told: list[tuple[int, int]] = []
    tiling = Tiling((4, 4, 4), 0.25)
    image = np.zeros((9, 5, 4), dtype=np.float32)
    predict_volume(
        image, lambda p: p[None], tiling, channels=1, outside=0, progress=lambda done, of: told.append((done, of))
    )
    count = count_tiles((9, 5, 4), tiling)
    assert count == len(list(tiles((9, 5, 4), tiling)))
    assert told == [(i + 1, count) for i in range(count)]
