"""Against MONAI itself, where it is installed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.sliding_window import Tiling, importance_map, predict_volume

pytestmark = pytest.mark.train
torch = pytest.importorskip("torch")
inferers = pytest.importorskip("monai.inferers")
data_utils = pytest.importorskip("monai.data.utils")

CASES = [
    ((30, 41, 27), (16, 16, 16), 0.25),
    ((9, 40, 20), (16, 12, 8), 0.5),
    ((16, 16, 16), (16, 16, 16), 0.25),
    ((33, 20, 50), (16, 20, 24), 0.1),
]


@pytest.mark.filterwarnings("ignore")  # torch and monai warn about themselves
@pytest.mark.parametrize(("shape", "patch", "overlap"), CASES)
def test_blended_predictions_are_monais(
    shape: tuple[int, int, int], patch: tuple[int, int, int], overlap: float
) -> None:
    rng = np.random.default_rng(0)
    image = rng.random(shape).astype(np.float32)
    weights = torch.from_numpy(rng.random((1, 1, *patch)).astype(np.float32))

    def network(batch: object) -> object:
        return torch.sigmoid(batch * weights * 4 - 2)  # depends on the place in the patch

    def predict(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = network(torch.from_numpy(voxels)[None, None])[0].numpy()  # type: ignore[index]  # (torch is untyped here)
        return result

    expected = inferers.sliding_window_inference(
        torch.from_numpy(image)[None, None], patch, 1, network, overlap=overlap, mode="gaussian"
    )
    found = predict_volume(image, predict, Tiling(patch, overlap), channels=1, outside=0.0)
    np.testing.assert_allclose(found, expected[0].numpy(), atol=5e-4)


@pytest.mark.filterwarnings("ignore")
def test_the_importance_map_is_monais() -> None:
    expected = data_utils.compute_importance_map((12, 16, 20), mode="gaussian", sigma_scale=0.125)
    np.testing.assert_allclose(importance_map((12, 16, 20)), expected.numpy().clip(1e-3), rtol=1e-5)
