# ruff: noqa: E402 - what needs torch is imported after the check that it is there
"""Needs torch and MONAI (the train extra): skipped without them, except where CI promises them."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

REQUIRED = os.environ.get("CI") == "true" and os.environ.get("SEGWATCH_TRAIN_TESTS") == "1"
if not REQUIRED:
    pytest.importorskip("torch", reason="the train extra is not installed")
    pytest.importorskip("monai", reason="the train extra is not installed")

import onnxruntime
import torch

from inference.phantom import Phantom
from inference.training import data
from inference.training.data import Case, PatchSampler, scale_hu
from inference.training.evaluate import judge, summarize
from inference.training.export import PATCH, export_onnx, write_manifest
from inference.training.network import WithSigmoid, build_network
from inference.training.train import TrainingPlan, train
from inference.volume import Volume

if TYPE_CHECKING:
    from torch import nn

pytestmark = [
    pytest.mark.train,
    # torch's exporter calls its own deprecated helpers
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]


def simple_case(seed: int) -> Case:
    """A grey block with one bright ball, far quicker than a phantom."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[:32, :32, :32]
    centre = rng.uniform(10, 22, 3)
    lesion = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 36
    image = np.where(lesion, 0.75, 0.15).astype(np.float16)
    return Case(seed, image, lesion, np.ones((32, 32, 32), dtype=bool))


SMALL_PLAN = TrainingPlan(seed=3, cases=2, steps=12, batch=2, patch=(32, 32, 32))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [simple_case(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def network(cases: list[Case]) -> "nn.Module":
    return train(cases, SMALL_PLAN)


def test_onnx_gives_what_torch_gives_for_any_batch(network: "nn.Module", tmp_path: Path) -> None:
    path = tmp_path / "lesion.onnx"
    sha256 = export_onnx(network, path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wrapped = WithSigmoid(network).eval()
    for batch in (1, 3):
        image = torch.rand((batch, 1, *PATCH), generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = wrapped(image).numpy()
        (found,) = session.run(["probabilities"], {"image": image.numpy()})
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-5)
    assert str(Path.cwd()).encode() not in path.read_bytes(), "the file names the machine that made it"


def test_training_is_deterministic(network: "nn.Module", cases: list[Case]) -> None:
    again = train(cases, SMALL_PLAN)
    for first, second in zip(network.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_training_learns(cases: list[Case]) -> None:
    plan = TrainingPlan(seed=0, cases=2, steps=40, batch=2, patch=(32, 32, 32))
    network = train(cases, plan).eval()
    with torch.no_grad():
        image = torch.from_numpy(cases[0].image.astype(np.float32))[None, None]
        probability = torch.sigmoid(network(image))[0, 0].numpy()
    found, lesion = probability > 0.5, cases[0].lesion
    assert 2 * (found & lesion).sum() / (found.sum() + lesion.sum()) > 0.7


def test_patches_keep_image_and_mask_together(cases: list[Case]) -> None:
    sampler = PatchSampler(cases, (16, 16, 16), seed=0)
    images, masks = sampler.batch(12)
    assert images.shape == masks.shape == (12, 1, 16, 16, 16)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    lesion, rest = images[masks > 0.5], images[masks < 0.5]
    assert float(lesion.mean()) > float(rest.mean()) + 0.4


def test_held_out_phantoms_are_never_trained_on() -> None:
    assert not set(data.TRAINING_SEEDS) & set(data.HELD_OUT_SEEDS)


def known_phantom(lesion: np.ndarray) -> Phantom:
    volume = Volume(voxels=np.zeros((4, 4, 4), dtype=np.float32), affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    return Phantom(volume, lesion.astype(np.uint8), lesion.copy())


def test_judgement_of_known_masks() -> None:
    lesion = np.zeros((4, 4, 4), dtype=bool)
    lesion[0] = True
    found = np.zeros((4, 4, 4), dtype=bool)
    found[0, :2] = True
    found[1, 0, 0] = True
    result = judge(0, known_phantom(lesion), found)
    assert result.dice == pytest.approx(2 * 8 / (16 + 9), abs=1e-3)
    assert result.outside_lung_ml == pytest.approx(0.008)
    assert summarize([result])["dice_pooled"] == pytest.approx(0.64)


def test_a_healthy_case_counts_its_false_volume() -> None:
    empty = np.zeros((4, 4, 4), dtype=bool)
    result = judge(0, known_phantom(empty), ~empty)
    assert result.dice is None
    assert summarize([result])["false_ml_per_healthy_chest"] == pytest.approx(0.512)


def test_window_is_scaled_as_the_manifest_says(tmp_path: Path) -> None:
    hu = np.array([-2000, -1000, -300, 400, 3000], dtype=np.float32)
    np.testing.assert_allclose(scale_hu(hu), [0, 0, 0.5, 1, 1])
    manifest = json.loads(write_manifest(tmp_path, "lesion.onnx", "0" * 64).read_text())
    assert manifest["window_hu"] == [-1000, 400]
    assert manifest["patch"] == list(PATCH)


def test_network_has_the_size_that_its_card_states() -> None:
    parameters = sum(parameter.numel() for parameter in build_network().parameters())
    assert 300_000 < parameters < 1_500_000
