"""The shipped model, judged without torch: it is the whole one, and it finds what it was made for."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from inference.lungs import find_lungs
from inference.model_package import load_model_package, reference_manifest
from inference.onnx_segmenter import OnnxSegmenter
from inference.phantom import make_phantom
from inference.read_series import read_series

LIDC_NODULE = (89, 355, 310)
"""(z, y, x) inside the spiculated nodule of chest_lidc0001, left lower lobe."""


@pytest.fixture(scope="module")
def segmenter() -> OnnxSegmenter:
    return OnnxSegmenter(load_model_package(reference_manifest()), providers=["CPUExecutionProvider"])


def test_manifest_names_the_file_beside_it_and_says_what_it_is_for() -> None:
    manifest = json.loads(reference_manifest().read_text(encoding="utf-8"))
    onnx = reference_manifest().parent / manifest["onnx"]
    assert hashlib.sha256(onnx.read_bytes()).hexdigest() == manifest["sha256"]
    assert onnx.stat().st_size < 5_000_000
    assert "Not for clinical use" in manifest["intended_use"]
    card = (reference_manifest().parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "not for clinical use" in card.lower()
    assert manifest["sha256"] in card, "the card describes another file"


@pytest.mark.slow
def test_lesions_of_an_unseen_phantom_are_found(segmenter: OnnxSegmenter) -> None:
    phantom = make_phantom(1_000_003, shape=(60, 180, 200), spacing_mm=(5.0, 1.7, 1.7), lesions=6, noise_hu=25.0)
    found = segmenter.segment(phantom.volume).mask > 0
    lesion = phantom.lesion_mask > 0
    assert 2 * (found & lesion).sum() / (found.sum() + lesion.sum()) > 0.6


@pytest.mark.slow
def test_the_nodule_of_a_real_chest_is_found_and_little_else(segmenter: OnnxSegmenter, test_data: Path) -> None:
    volume = read_series(sorted((test_data / "chest_lidc0001").glob("*.dcm")))
    mask = segmenter.segment(volume).mask > 0
    near = tuple(
        slice(max(0, place - reach), place + reach) for place, reach in zip(LIDC_NODULE, (3, 12, 12), strict=True)
    )
    assert mask[near].any()
    lungs = find_lungs(volume)
    assert (mask & lungs).sum() / mask.sum() > 0.8
    _, parts = ndimage.label(mask, np.ones((3, 3, 3)))
    assert parts < 60
