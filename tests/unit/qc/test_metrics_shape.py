from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qc.metrics.foreground import Foreground, find_foreground
from qc.metrics.shape import connected_components, smoothness


def foreground_of(mask: np.ndarray, voxel_volume_mm3: float = 1000.0) -> Foreground:
    return find_foreground(mask.astype(np.uint8), voxel_volume_mm3)


def test_an_empty_mask_is_smooth_and_has_no_components() -> None:
    empty = foreground_of(np.zeros((3, 4, 5)))
    assert (smoothness(empty), connected_components(empty)) == (1.0, 0)


def test_equal_slices_have_smoothness_one_and_one_slice_zero() -> None:
    mask = np.zeros((6, 8, 8))
    mask[1:5, 2:5, 2:5] = 1
    assert smoothness(foreground_of(mask)) == 1.0
    mask[:] = 0
    mask[2, 2:5, 2:5] = 1
    assert smoothness(foreground_of(mask)) == 0.0


def test_slices_are_compared_along_z_only() -> None:
    mask = np.zeros((2, 1, 4))
    mask[0, 0, :] = 1
    mask[1, 0, :2] = 1
    assert smoothness(foreground_of(mask)) == pytest.approx(2 * 2 / 6)
    assert smoothness(foreground_of(np.moveaxis(mask, 2, 0))) == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_components_are_averaged_alike_whatever_their_size_and_see_only_their_own_voxels() -> None:
    mask = np.zeros((4, 10, 10))
    mask[:, 0:5, 0:5] = 1  # Dice 1 in each pair
    mask[0, 7, 7] = mask[1, 7, 7:9] = 1  # inside no other box: Dice 2/3
    assert smoothness(foreground_of(mask)) == pytest.approx((1 + 2 / 3) / 2)


def test_corners_connect() -> None:
    mask = np.zeros((2, 2, 2))
    mask[0, 0, 0] = mask[1, 1, 1] = 1
    assert connected_components(foreground_of(mask)) == 1
    assert smoothness(foreground_of(mask)) == 0.0


def test_specks_count_only_while_there_is_nothing_larger() -> None:
    mask = np.zeros((3, 3, 30))
    mask[0, 0, ::3] = 1
    assert connected_components(foreground_of(mask, voxel_volume_mm3=4.0)) == 10
    mask[:, :, 0] = 1
    assert connected_components(foreground_of(mask, voxel_volume_mm3=4.0)) == 1
    assert connected_components(foreground_of(mask, voxel_volume_mm3=10.0)) == 10


def test_small_components_leave_the_smoothness_alone_while_there_is_a_large_one() -> None:
    mask = np.zeros((5, 12, 12))
    mask[:, 0:10, 0:10] = 1
    mask[0, 11, 11] = 1
    assert smoothness(foreground_of(mask, voxel_volume_mm3=1.0)) == 1.0
    assert smoothness(foreground_of(mask, voxel_volume_mm3=500.0)) == 0.5


def test_every_label_is_foreground() -> None:
    mask = np.zeros((2, 4, 4), dtype=np.uint8)
    mask[0, 0, 0], mask[1, 0, 0] = 1, 2
    assert smoothness(find_foreground(mask, 1000.0)) == 1.0


def slow_smoothness(mask: np.ndarray) -> float:
    """Written from the definition, without scipy, for components of any size."""
    left, scores = {tuple(voxel) for voxel in np.argwhere(mask)}, []
    while left:
        frontier = [left.pop()]
        component = set(frontier)
        while frontier:
            z, y, x = frontier.pop()
            near = {(z + i, y + j, x + k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)} & left
            left -= near
            component |= near
            frontier += near
        planes = sorted({z for z, _, _ in component})
        slices = [{(y, x) for z, y, x in component if z == plane} for plane in planes]
        pairs = [2 * len(a & b) / (len(a) + len(b)) for a, b in pairwise(slices)]
        scores.append(float(np.mean(pairs)) if pairs else 0.0)
    return float(np.mean(scores)) if scores else 1.0


@settings(max_examples=60)
@given(arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2)))
def test_smoothness_agrees_with_its_definition(mask: np.ndarray) -> None:
    assert smoothness(find_foreground(mask, 1000.0)) == pytest.approx(slow_smoothness(mask != 0))


@settings(max_examples=60)
@given(arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 1)))
def test_the_box_holds_all_of_the_mask(mask: np.ndarray) -> None:
    foreground = find_foreground(mask, 1.0)
    assert foreground.voxels == mask.sum()
    assert np.array_equal(foreground.mask, mask[foreground.box] != 0)
    if mask.any():
        assert all(np.moveaxis(foreground.mask, axis, 0)[end].any() for axis in range(3) for end in (0, -1))
