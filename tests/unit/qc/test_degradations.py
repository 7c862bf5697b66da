import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.segmentation import Segmentation
from inference.volume import Volume
from qc.degradations import MaskDefect, degrade
from qc.graded_phantoms import dice, truth_segmentation
from qc.image_degradations import ImageDefect, degrade_image

SHAPE = (24, 40, 48)


@pytest.fixture(scope="module")
def lesion() -> Segmentation:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    mask = np.zeros(SHAPE, dtype=np.uint8)
    for centre, radius in (((8, 12, 14), 6), ((16, 28, 30), 5), ((18, 10, 36), 4)):
        mask[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= radius**2] = 1
    return truth_segmentation(mask, np.diag([3.0, 2, 2, 1]))


@pytest.mark.parametrize("kind", MaskDefect)
def test_each_mask_defect_gets_worse_with_severity_and_is_reproducible(kind: MaskDefect, lesion: Segmentation) -> None:
    before = lesion.mask.copy()
    scores = [
        np.mean([dice(degrade(lesion, kind, severity, seed).mask, lesion.mask) for seed in range(6)])
        for severity in (0.0, 0.4, 1.0)
    ]
    assert scores[0] == 1.0
    assert scores[0] > scores[1] > scores[2]
    assert np.array_equal(lesion.mask, before)
    again = [degrade(lesion, kind, 0.7, 3) for _ in range(2)]
    assert np.array_equal(again[0].mask, again[1].mask)
    assert np.array_equal(again[0].probabilities, again[1].probabilities)
    assert again[0].mask.dtype == np.uint8
    assert again[0].mask.shape == SHAPE


@pytest.mark.parametrize(
    "kind", sorted(set(MaskDefect) - {MaskDefect.EROSION, MaskDefect.MISSED, MaskDefect.DROPPED_SLICES})
)
def test_the_worst_of_most_kinds_is_of_low_quality(kind: MaskDefect, lesion: Segmentation) -> None:
    assert np.median([dice(degrade(lesion, kind, 1.0, seed).mask, lesion.mask) for seed in range(9)]) < 0.6


@pytest.mark.parametrize("kind", [MaskDefect.EROSION, MaskDefect.MISSED, MaskDefect.DROPPED_SLICES])
def test_the_worst_of_what_removes_leaves_nothing(kind: MaskDefect, lesion: Segmentation) -> None:
    assert not degrade(lesion, kind, 1.0, 0).mask.any()


@pytest.mark.parametrize("kind", MaskDefect)
def test_probabilities_follow_the_mask(kind: MaskDefect, lesion: Segmentation) -> None:
    worse = degrade(lesion, kind, 0.6, 1)
    changed = (worse.mask != 0) != (lesion.mask != 0)
    assert changed.any()
    agreed = (worse.probabilities[0] >= 0.5) == (worse.mask != 0)
    assert agreed[changed].all()
    assert np.isfinite(worse.probabilities).all()
    assert worse.probabilities.min() >= 0
    assert worse.probabilities.max() <= 1


def test_probabilities_of_a_coarser_grid_follow_too(lesion: Segmentation) -> None:
    coarse = truth_segmentation(lesion.mask[::2, ::2, ::2], np.diag([6.0, 4, 4, 1]))
    mixed = Segmentation(
        lesion.mask,
        lesion.labels,
        coarse.probabilities,
        coarse.probability_affine,
        lesion.model,
        "{}",
        (),
    )
    worse = degrade(mixed, MaskDefect.MISSED, 1.0, 0)
    assert worse.probabilities.max() < 0.5


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(MaskDefect), st.floats(0, 1), st.integers(0, 1000))
def test_an_empty_mask_and_many_labels_are_no_trouble(kind: MaskDefect, severity: float, seed: int) -> None:
    empty = truth_segmentation(np.zeros((5, 9, 11), dtype=np.uint8), np.eye(4))
    result = degrade(empty, kind, severity, seed).mask
    assert set(np.unique(result)) <= {0, 1}
    labels = truth_segmentation((np.arange(5 * 9 * 11).reshape(5, 9, 11) % 3).astype(np.uint8), np.eye(4))
    assert set(np.unique(degrade(labels, kind, severity, seed).mask)) <= {0, 1, 2}


@pytest.mark.parametrize("kind", ImageDefect)
def test_each_image_defect_moves_the_image_further_with_severity(kind: ImageDefect) -> None:
    rng = np.random.default_rng(0)
    voxels = np.clip(rng.normal(-700, 200, SHAPE) + np.linspace(0, 900, SHAPE[1])[:, None], -1000, 2000)
    volume = Volume(voxels.astype(np.float32), np.diag([2.5, 1, 1, 1]), tuple("s" * SHAPE[0]))
    assert degrade_image(volume, kind, 0.0, 1) is volume
    mild, severe = (degrade_image(volume, kind, severity, 1) for severity in (0.25, 1.0))
    assert mild.voxels.dtype == severe.voxels.dtype == np.float32
    assert severe.sop_instance_uids == volume.sop_instance_uids
    assert np.array_equal(severe.voxels, degrade_image(volume, kind, 1.0, 1).voxels)
    distance = [float(np.abs(worse.voxels - volume.voxels).mean()) for worse in (mild, severe)]
    assert 0 < distance[0] < distance[1]


def test_a_severity_beyond_the_scale_is_refused(lesion: Segmentation) -> None:
    with pytest.raises(ValueError, match=r"0\.\.1"):
        degrade(lesion, MaskDefect.LEAK, 1.5, 0)
    with pytest.raises(ValueError, match=r"0\.\.1"):
        degrade_image(Volume(np.zeros((1, 1, 1), np.float32), np.eye(4)), ImageDefect.BLUR, -0.1, 0)
