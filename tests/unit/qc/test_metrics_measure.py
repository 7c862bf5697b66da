import numpy as np
import pytest

from inference.segmentation import ModelIdentity, Segmentation
from inference.volume import Volume
from qc.errors import MetricSetError
from qc.metric_set import LESION_CORE_1
from qc.metrics.measure import measure

SHAPE = (6, 10, 12)
SPACING = (5.0, 2.0, 1.0)


def affine(spacing: tuple[float, float, float], origin: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """Axes (z, y, x) to LPS: slices along z, rows along y, columns along x."""
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = *spacing, 1
    matrix[:3, 3] = origin
    return matrix


def segmentation_of(mask: np.ndarray, probabilities: np.ndarray, grid: np.ndarray) -> Segmentation:
    model = ModelIdentity("fake", "1", "0" * 64)
    return Segmentation(
        mask.astype(np.uint8), (), probabilities.astype(np.float16), grid, model, "{}", ("CPUExecutionProvider",)
    )


def volume_of(voxels: np.ndarray) -> Volume:
    return Volume(voxels.astype(np.float32), affine(SPACING, (-50, 20, 7)))


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros(SHAPE)
    mask[1:4, 2:6, 3:8] = 1
    return mask


def test_values_of_a_block(mask: np.ndarray) -> None:
    lungs = np.zeros(SHAPE, dtype=bool)
    lungs[:, :, :5] = True
    voxels = np.where(mask > 0, -300.0, 40.0)
    voxels[3, 2:6, 3:5] = 900.0
    probabilities = np.where(mask > 0, 0.75, 0.25)[None]
    values = measure(
        volume_of(voxels), segmentation_of(mask, probabilities, affine(SPACING, (-50, 20, 7))), lungs
    ).values
    assert values == {
        "smoothness": 1.0,
        "connected_components": 1.0,
        "intensity_mode": -300.0,
        "in_lung_fraction": pytest.approx(2 / 5),
        "lesion_volume": pytest.approx(3 * 4 * 5 * 10 / 1000),
        "lesion_lung_share": pytest.approx(3 * 4 * 2 / (6 * 10 * 5)),
        "mean_confidence": 0.75,
    }


def test_an_empty_mask_has_the_documented_values() -> None:
    probabilities = np.full((1, 3, 3, 3), 0.25)
    segmentation = segmentation_of(np.zeros(SHAPE), probabilities, affine((10, 5, 4)))
    values = measure(volume_of(np.full(SHAPE, -700.0)), segmentation, np.ones(SHAPE, dtype=bool)).values
    assert list(values.values()) == [1.0, 0.0, -500.0, 1.0, 0.0, 0.0, 0.75]
    assert tuple(values) == LESION_CORE_1.names


def test_without_lungs_all_of_the_lesion_lies_outside(mask: np.ndarray) -> None:
    segmentation = segmentation_of(mask, np.ones((1, *SHAPE)), affine(SPACING, (-50, 20, 7)))
    values = measure(volume_of(np.zeros(SHAPE)), segmentation, np.zeros(SHAPE, dtype=bool)).values
    assert (values["in_lung_fraction"], values["lesion_lung_share"]) == (0.0, 0.0)


def test_confidence_is_read_at_the_nearest_voxel_of_a_coarser_shifted_and_flipped_grid() -> None:
    mask = np.zeros(SHAPE)
    mask[2, 4, 6] = 1
    # the model's grid: twice as coarse, and its z axis points the other way
    grid = affine((-10.0, 4.0, 2.0), (-50.0, 20.0, 7.0 + 25.0))
    probabilities = np.zeros((2, 3, 5, 6))
    # source z index 2 lies at 7 + 10 mm, which is 15 mm from the flipped origin: 1.5 steps, rounded to even: 2
    probabilities[0, 2, 2, 3] = 0.25
    probabilities[1, 2, 2, 3] = 0.5
    values = measure(
        volume_of(np.zeros(SHAPE)), segmentation_of(mask, probabilities, grid), np.ones(SHAPE, bool)
    ).values
    assert values["mean_confidence"] == 0.5


def test_a_mask_beyond_the_model_grid_takes_the_outermost_probability(mask: np.ndarray) -> None:
    segmentation = segmentation_of(mask, np.full((1, 1, 1, 1), 0.5), affine(SPACING, (900, 900, 900)))
    assert measure(volume_of(np.zeros(SHAPE)), segmentation, np.ones(SHAPE, bool)).values["mean_confidence"] == 0.5


def test_intensity_takes_the_peak_not_the_mean_and_survives_padding(mask: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    voxels = rng.normal(-600, 20, SHAPE)
    voxels[3] = -3024.0
    segmentation = segmentation_of(mask, np.ones((1, *SHAPE)), affine(SPACING))
    value = measure(volume_of(voxels), segmentation, np.ones(SHAPE, bool)).values["intensity_mode"]
    assert value == pytest.approx(-600, abs=15)


def test_other_grids_and_broken_probabilities_are_refused(mask: np.ndarray) -> None:
    segmentation = segmentation_of(mask, np.full((1, *SHAPE), np.nan), affine(SPACING))
    with pytest.raises(ValueError, match="one grid"):
        measure(volume_of(np.zeros((2, 2, 2))), segmentation, np.ones(SHAPE, bool))
    with pytest.raises(MetricSetError, match="mean_confidence"):
        measure(volume_of(np.zeros(SHAPE)), segmentation, np.ones(SHAPE, bool))
