"""A kept segmentation comes back exactly as it was, or not at all."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from inference.segmentation import CodedConcept, ModelIdentity, Segmentation, SegmentLabel
from inference.segmentation_store import load_segmentation, save_segmentation

CONCEPT = CodedConcept("52988006", "SCT", "Lesion")
MODEL = ModelIdentity("tiny", "1", "ab" * 32)
SETTINGS = '{"threshold":0.5}'


def make(mask: NDArray[np.uint8], labels: int = 1) -> Segmentation:
    rng = np.random.default_rng(mask.size)
    return Segmentation(
        mask=mask,
        labels=tuple(SegmentLabel(i + 1, f"Läsion {i}", CONCEPT, CONCEPT, (1, 2, 3)) for i in range(labels)),
        probabilities=rng.random((labels, 3, 4, 5)).astype(np.float16),
        probability_affine=rng.random((4, 4)),
        model=MODEL,
        pixel_settings=SETTINGS,
        providers=("CPUExecutionProvider",),
    )


def assert_equal(found: Segmentation | None, kept: Segmentation) -> None:
    assert found is not None
    np.testing.assert_array_equal(found.mask, kept.mask)
    assert found.mask.dtype == np.uint8
    np.testing.assert_array_equal(found.probabilities, kept.probabilities)
    np.testing.assert_array_equal(found.probability_affine, kept.probability_affine)
    for field in ("labels", "model", "pixel_settings", "providers"):
        assert getattr(found, field) == getattr(kept, field)


@settings(deadline=None, max_examples=40)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=st.integers(0, 255)),
    st.integers(1, 3),
)
def test_what_was_kept_comes_back(tmp_path_factory: pytest.TempPathFactory, mask: NDArray[np.uint8], n: int) -> None:
    path = tmp_path_factory.mktemp("store") / "segmentation.npz"
    kept = make(mask, n)
    save_segmentation(kept, path)
    assert_equal(load_segmentation(path, shape=mask.shape, model=MODEL, pixel_settings=SETTINGS), kept)


@pytest.fixture
def kept_path(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "segmentation.npz"
    save_segmentation(make(np.eye(8, dtype=np.uint8)[None].repeat(4, axis=0)), path)
    return path


def load(path: Path) -> Segmentation | None:
    return load_segmentation(path, shape=(4, 8, 8), model=MODEL, pixel_settings=SETTINGS)


def test_no_file_is_no_segmentation(tmp_path: Path) -> None:
    assert load(tmp_path / "none.npz") is None


def test_nothing_else_stays_in_the_folder(kept_path: Path) -> None:
    assert [p.name for p in kept_path.parent.iterdir()] == ["segmentation.npz"]


@pytest.mark.parametrize(
    ("shape", "model", "pixel_settings"),
    [
        ((4, 8, 9), MODEL, SETTINGS),
        ((8, 8, 4), MODEL, SETTINGS),
        ((4, 8, 8), replace(MODEL, sha256="cd" * 32), SETTINGS),
        ((4, 8, 8), replace(MODEL, version="2"), SETTINGS),
        ((4, 8, 8), MODEL, '{"threshold":0.4}'),
    ],
)
def test_what_does_not_fit_is_made_again(
    kept_path: Path,
    shape: tuple[int, ...],
    model: ModelIdentity,
    pixel_settings: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert load_segmentation(kept_path, shape=shape, model=model, pixel_settings=pixel_settings) is None
    assert "made again" in caplog.text


def test_a_file_cut_anywhere_is_made_again(kept_path: Path) -> None:
    content = kept_path.read_bytes()
    for length in range(0, len(content) - 1, 37):
        kept_path.write_bytes(content[:length])
        assert load(kept_path) is None


def test_a_flipped_byte_never_passes_as_another_segmentation(kept_path: Path) -> None:
    original = load(kept_path)
    assert original is not None
    content = kept_path.read_bytes()
    for position in range(0, len(content), 11):
        kept_path.write_bytes(content[:position] + bytes([content[position] ^ 0x5A]) + content[position + 1 :])
        found = load(kept_path)
        if found is not None:  # bytes that no reader looks at, such as a time stamp
            assert_equal(found, original)


def test_pickles_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "segmentation.npz"
    np.savez(path, header=np.array([{"format": 1}], dtype=object))
    assert load(path) is None


def test_a_failed_write_leaves_the_old_file(kept_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept_path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save_segmentation(make(np.ones((4, 8, 8), dtype=np.uint8)), kept_path)
    assert kept_path.read_bytes() == before
    assert [p.name for p in kept_path.parent.iterdir()] == ["segmentation.npz"]
