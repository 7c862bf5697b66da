"""Phantoms segmented well and badly, with their true Dice: what the reference detector is fitted on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.errors import SeriesRejectedError
from inference.lungs import find_lungs
from inference.phantom import Phantom, make_phantom
from inference.segmentation import CodedConcept, ModelIdentity, Segmentation, SegmentLabel
from inference.segmenter import Segmenter
from inference.volume import Volume
from qc.degradations import MaskDefect, degrade
from qc.image_degradations import ImageDefect, degrade_image
from qc.labelled import NO_DEFECT, LabelledMetrics
from qc.metrics.measure import measure

Grid = tuple[tuple[int, int, int], tuple[float, float, float]]
"""Shape and spacing in mm, (z, y, x)."""

GRIDS: tuple[Grid, ...] = (
    ((150, 160, 192), (2.0, 2.0, 2.0)),
    ((120, 160, 192), (2.5, 2.0, 2.0)),
    ((100, 190, 226), (3.0, 1.7, 1.7)),
    ((60, 230, 275), (5.0, 1.4, 1.4)),
)
"""Thin and thick slices in turn, because some metrics depend on the grid."""

LEAST_SEVERITY = 0.1

Progress = Callable[[int, int], None]
"""Called with (phantoms done, phantoms in all)."""

Kind = TypeVar("Kind")

TRUTH = ModelIdentity("truth", "1", "0" * 64)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many samples are made of one phantom, beside the true mask and the model's own segmentation as they are."""

    image_defects: int = 2
    """The model's segmentations of a degraded image."""
    mask_defects: int = 3
    """Degraded copies of the model's segmentation."""
    truth_defects: int = 4
    """Degraded copies of the true mask."""


def build_samples(
    seeds: Sequence[int],
    *,
    segmenter: Segmenter | None,
    plan: Plan = Plan(),
    grids: Sequence[Grid] = GRIDS,
    progress: Progress | None = None,
) -> Iterator[LabelledMetrics]:
    """Make labelled samples, phantom by phantom; the same seeds and segmenter give the same samples.

    The true masks stand beside the model's: they show what good looks like where the model is weak, and do alone
    without a segmenter. An image so degraded that no lungs are found gives no sample, for a site rejects it; nor does a
    defect that leaves the mask as it was.
    """
    for done, seed in enumerate(seeds, start=1):
        shape, spacing_mm = grids[seed % len(grids)]
        phantom = make_phantom(seed, shape=shape, spacing_mm=spacing_mm)
        yield from samples_of_phantom(phantom, seed, segmenter=segmenter, plan=plan)
        if progress is not None:
            progress(done, len(seeds))


def samples_of_phantom(
    phantom: Phantom, seed: int, *, segmenter: Segmenter | None, plan: Plan
) -> Iterator[LabelledMetrics]:
    """Make the samples of one phantom; `seed` draws the defects and is the samples' group."""
    rng = np.random.default_rng([seed, 1])
    truth = truth_segmentation(phantom.lesion_mask, phantom.volume.affine)
    grader = _Grader(phantom, seed)
    yield from _degraded(grader, "truth", truth, rng, plan.truth_defects)
    if segmenter is None:
        return
    yield from _degraded(grader, "model", segmenter.segment(phantom.volume), rng, plan.mask_defects)
    for defect in _drawn(rng, list(ImageDefect), plan.image_defects):
        severity = _severity(rng)
        volume = degrade_image(phantom.volume, defect, severity, seed)
        yield from grader.grade(volume, segmenter.segment(volume), "model", defect, severity)


def _degraded(
    grader: "_Grader", origin: str, plain: Segmentation, rng: np.random.Generator, count: int
) -> Iterator[LabelledMetrics]:
    yield from grader.grade(grader.phantom.volume, plain, origin, NO_DEFECT, 0.0)
    for defect in _drawn(rng, list(MaskDefect), count):
        severity = _severity(rng)
        worse = degrade(plain, defect, severity, grader.group)
        # of an empty mask most defects change nothing: the same sample again would only lend it weight
        if not np.array_equal(worse.mask, plain.mask):
            yield from grader.grade(grader.phantom.volume, worse, origin, defect, severity)


def _severity(rng: np.random.Generator) -> float:
    """More often mild than severe, so that about half of the samples stay of good quality."""
    return float(LEAST_SEVERITY + (1 - LEAST_SEVERITY) * rng.random() ** 2)


def truth_segmentation(lesion_mask: NDArray[np.uint8], affine: NDArray[np.float64]) -> Segmentation:
    """A segmentation that holds the true mask, (z, y, x), with probabilities that fall off over its border."""
    soft = ndimage.gaussian_filter(lesion_mask.astype(np.float32), 0.7)
    concept = CodedConcept("52988006", "SCT", "Lesion")
    category = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    return Segmentation(
        mask=lesion_mask,
        labels=(SegmentLabel(1, "lesion", category, concept, (255, 0, 0)),),
        probabilities=soft.astype(np.float16)[None],
        probability_affine=affine,
        model=TRUTH,
        pixel_settings="{}",
        providers=(),
    )


def dice(mask: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Dice of the foregrounds of two masks of one shape, 0..1.

    1 where both are empty, for there was nothing to find and nothing was found; so 0 for any voxel marked in a healthy
    chest and for a lesion of which nothing was found.
    """
    marked, true = mask != 0, truth != 0
    total = int(np.count_nonzero(marked)) + int(np.count_nonzero(true))
    return 2.0 * int(np.count_nonzero(marked & true)) / total if total else 1.0


class _Grader:
    """Turns segmentations of one phantom into samples; finds the lungs of an image once."""

    def __init__(self, phantom: Phantom, group: int) -> None:
        self.phantom, self.group = phantom, group
        self._lungs: tuple[Volume, NDArray[np.bool_]] | None = None

    def grade(
        self, volume: Volume, segmentation: Segmentation, origin: str, defect: str, severity: float
    ) -> Iterator[LabelledMetrics]:
        """One sample, or none where the image shows no lungs."""
        if self._lungs is None or self._lungs[0] is not volume:
            try:
                self._lungs = volume, find_lungs(volume)
            except SeriesRejectedError:
                return
        metrics = measure(volume, segmentation, self._lungs[1])
        true_dice = dice(segmentation.mask, self.phantom.lesion_mask)
        yield LabelledMetrics(self.group, origin, str(defect), severity, true_dice, metrics)


def _drawn(rng: np.random.Generator, kinds: Sequence[Kind], count: int) -> list[Kind]:
    """Kinds in random order; all of them before one comes again."""
    chosen: list[Kind] = []
    while len(chosen) < count:
        chosen += [kinds[index] for index in rng.permutation(len(kinds))]
    return chosen[:count]
