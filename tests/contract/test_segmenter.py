"""What every `Segmenter` promises: a mask on the very grid of the volume, probabilities on the model's, its name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from inference.model_package import load_model_package, reference_manifest
from inference.onnx_segmenter import OnnxSegmenter
from inference.segmentation import Segmentation
from inference.segmenter import Segmenter
from inference.volume import Volume
from tests.unit.inference.packages import LESION, make_package
from tests.unit.inference.tiny_onnx import one_node_model

CPU = ("CPUExecutionProvider",)
TWO_LABELS = [LESION, {**LESION, "number": 2, "channel": 1, "name": "Other"}]


def intensity_segmenter(folder: Path) -> Segmenter:
    """Calls every voxel above -500 HU a lesion."""
    return OnnxSegmenter(make_package(folder), providers=CPU, threads=1)


def mirrored_segmenter(folder: Path) -> Segmenter:
    """The same with another order and direction of axes, spacing and two labels."""
    content = one_node_model("Concat", shape=(1, 1, 8, 12, 16), output_shape=(1, 2, 8, 12, 16), repeat_input=2, axis=1)
    package = make_package(
        folder, content, orientation="IAR", spacing_mm=[1.5, 2.5, 2.0], patch=[8, 12, 16], labels=TWO_LABELS
    )
    return OnnxSegmenter(package, providers=CPU, threads=1)


def reference_segmenter(_folder: Path) -> Segmenter:
    """The model that comes with the software."""
    if not reference_manifest().exists():
        pytest.skip("the reference model is not built yet")
    return OnnxSegmenter(load_model_package(reference_manifest()), providers=CPU)


@pytest.fixture(scope="module", params=[intensity_segmenter, mirrored_segmenter, reference_segmenter])
def segmenter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    make: Callable[[Path], Segmenter] = request.param
    return make(tmp_path_factory.mktemp("model"))


def oblique_affine() -> NDArray[np.float64]:
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix()
    affine[:3, :3] = turned[:, ::-1] * [2.5, 0.9, 1.1] * [-1, 1, -1]
    affine[:3, 3] = 30, -170, 200
    return affine


def ball(shape: tuple[int, int, int], affine: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float32]:
    indices = np.stack([*np.indices(shape), np.ones(shape)], axis=-1)
    distance = np.linalg.norm((indices @ affine.T)[..., :3] - centre, axis=-1)
    return np.where(distance < 11, 0, -900).astype(np.float32)


@pytest.fixture(scope="module")
def volume() -> Volume:
    """Air with a ball of water away from the centre, on an oblique and flipped grid."""
    shape, affine = (20, 50, 45), oblique_affine()
    centre = (affine @ [6, 33, 12, 1])[:3]
    return Volume(ball(shape, affine, centre), affine)


@pytest.fixture(scope="module")
def segmentation(segmenter: Segmenter, volume: Volume) -> Segmentation:
    return segmenter.segment(volume)


def test_the_mask_lies_on_the_volumes_grid(segmentation: Segmentation, volume: Volume) -> None:
    assert segmentation.mask.shape == volume.voxels.shape
    assert segmentation.mask.dtype == np.uint8


def test_the_mask_holds_the_numbers_of_its_labels(segmentation: Segmentation) -> None:
    assert set(np.unique(segmentation.mask)) <= {0, *(label.number for label in segmentation.labels)}


def test_probabilities_come_label_by_label_and_are_probabilities(segmentation: Segmentation) -> None:
    assert segmentation.probabilities.dtype == np.float16
    assert segmentation.probabilities.ndim == 4
    assert segmentation.probabilities.shape[0] == len(segmentation.labels)
    assert 0 <= segmentation.probabilities.min() <= segmentation.probabilities.max() <= 1


def test_the_models_grid_covers_the_volume(segmentation: Segmentation, volume: Volume) -> None:
    def corners(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.float64]:
        ends = np.array([[-0.5, size - 0.5] for size in shape])
        grid = np.stack([*np.meshgrid(*ends, indexing="ij"), np.ones((2, 2, 2))], axis=-1).reshape(-1, 4)
        found: NDArray[np.float64] = (grid @ affine.T)[:, :3]
        return found

    ours = corners(segmentation.probabilities.shape[1:], segmentation.probability_affine)
    its = corners(volume.voxels.shape, volume.affine)
    np.testing.assert_allclose(ours.mean(axis=0), its.mean(axis=0), atol=1e-6)
    voxel = np.linalg.norm(segmentation.probability_affine[:3, :3], axis=0).max()
    nearest = np.linalg.norm(ours[:, None] - its[None], axis=-1).min(axis=1)
    assert nearest.max() <= voxel


def test_a_result_names_its_model_and_settings(segmentation: Segmentation, segmenter: Segmenter) -> None:
    assert segmentation.model == segmenter.model
    assert len(segmentation.model.sha256) == 64
    assert segmentation.pixel_settings == segmenter.pixel_settings
    values = json.loads(segmentation.pixel_settings)
    assert segmentation.pixel_settings == json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert segmentation.providers[0] == "CPUExecutionProvider"


def test_the_same_volume_gives_the_same_result(
    segmentation: Segmentation, segmenter: Segmenter, volume: Volume
) -> None:
    before = volume.voxels.copy()
    again = segmenter.segment(volume)
    np.testing.assert_array_equal(again.mask, segmentation.mask)
    np.testing.assert_array_equal(again.probabilities, segmentation.probabilities)
    np.testing.assert_array_equal(volume.voxels, before)


def test_progress_is_told_patch_by_patch(segmenter: Segmenter, volume: Volume) -> None:
    told: list[tuple[int, int]] = []
    segmenter.segment(volume, lambda done, of: told.append((done, of)))
    assert told == [(i + 1, len(told)) for i in range(len(told))]


@pytest.mark.parametrize("make", [intensity_segmenter, mirrored_segmenter])
def test_what_is_bright_is_marked_where_it_is(
    make: Callable[[Path], Segmenter], volume: Volume, tmp_path: Path
) -> None:
    mask = make(tmp_path).segment(volume).mask > 0
    truth = volume.voxels > -450
    dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
    assert dice > 0.85
    shift = np.argwhere(mask).mean(axis=0) - np.argwhere(truth).mean(axis=0)
    assert np.abs(shift).max() < 0.5


def test_a_volume_of_one_slice_is_segmented(segmenter: Segmenter) -> None:
    voxels = np.full((1, 30, 30), -900, dtype=np.float32)
    assert segmenter.segment(Volume(voxels, oblique_affine())).mask.shape == (1, 30, 30)
