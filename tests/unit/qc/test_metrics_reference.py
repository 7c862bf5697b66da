import math

import numpy as np
import pytest

from qc.metrics.reference import EmptyMaskError, ReferenceFeatures, reference_features


def features(
    mask: np.ndarray, image: np.ndarray | None = None, lungs: np.ndarray | None = None, seed: int = 0
) -> ReferenceFeatures:
    image = np.zeros(mask.shape) if image is None else image
    lungs = np.ones(mask.shape, dtype=bool) if lungs is None else lungs
    return reference_features(image, mask.astype(bool), lungs, seed=seed)


def test_slices_run_along_x_and_equal_pairs_are_dropped() -> None:
    mask = np.zeros((2, 1, 3))
    mask[:, 0, 0] = mask[:, 0, 1] = 1  # Dice 1: dropped
    mask[0, 0, 2] = 1  # Dice 2/3
    assert features(mask).smoothness == pytest.approx(2 / 3)


def test_a_component_of_one_slice_or_of_equal_slices_is_nan() -> None:
    mask = np.zeros((4, 4, 6))
    mask[1:3, 1:3, 2] = 1
    assert math.isnan(features(mask).smoothness)
    mask[1:3, 1:3, 2:5] = 1
    assert math.isnan(features(mask).smoothness)


def test_other_voxels_in_the_box_of_a_component_take_part() -> None:
    mask = np.zeros((12, 12, 12))
    mask[0, :, :] = mask[:, 0, :] = mask[:, :, 0] = 1
    mask[2:, 2:, 2:] = 1
    mask[11, 11, 11] = 0
    # neither part has more than 1000 voxels alone, so both take part; the corner misses in one pair of both boxes
    outer = np.mean([2 * 23 / (144 + 23), 2 * 23 / (23 + 123), 2 * 122 / (123 + 122)])
    inner = 2 * 99 / (100 + 99)
    assert features(mask).smoothness == pytest.approx((outer + inner) / 2)


def test_only_components_over_a_thousand_voxels_take_part() -> None:
    mask = np.zeros((12, 12, 20))
    mask[:11, :10, :10] = 1
    mask[0, 0, 9] = 0  # 1099 voxels; one pair of 110 and 109
    mask[0, 0, 15] = mask[0:2, 0, 16] = 1
    assert features(mask).smoothness == pytest.approx(2 * 109 / (110 + 109))
    assert features(mask).connected_components == 2


def test_the_intensity_is_a_sampled_mean_of_the_largest_component_only() -> None:
    mask = np.zeros((20, 20, 30))
    mask[:, :, :20] = 1
    mask[0, 0, 25] = 1
    image = np.zeros(mask.shape)
    image[:, :, :20] = np.random.default_rng(1).normal(0.3, 0.1, (20, 20, 20))
    image[0, 0, 25] = 1e6
    value = features(mask, image).intensity_mean
    assert value == pytest.approx(0.3, abs=0.006)
    assert value == features(mask, image).intensity_mean
    assert value != features(mask, image, seed=1).intensity_mean


def test_the_in_lung_fraction_is_a_share_of_the_mask() -> None:
    mask = np.zeros((2, 2, 4))
    mask[0, 0] = 1
    lungs = np.zeros(mask.shape, dtype=bool)
    lungs[..., 0] = True
    assert features(mask, lungs=lungs).in_lung_fraction == 0.25


def test_an_empty_mask_has_no_reference_features() -> None:
    with pytest.raises(EmptyMaskError):
        features(np.zeros((2, 2, 2)))
