"""The paper's four features exactly as its reference code computes them, to compare with the published coefficients.

Gonzalez et al., BVM 2022 (arXiv 2112.08974); code: `mp/utils/feature_extractor.py` of
MECLabTUDA/QA_Seg and MECLabTUDA/RACOON.
Nothing in Segwatch judges by these: they depend on the voxel grid, on the loader's axis order and on random samples,
and they are NaN for some masks. Segwatch's own definitions are in `qc.metrics.measure`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.metrics.foreground import CONNECTIVITY_26

COMPONENT_VOXELS = 1000
"""Only components of more voxels take part in the smoothness, unless there is none."""

INTENSITY_SAMPLES = 5000


@dataclass(frozen=True, slots=True)
class ReferenceFeatures:
    """The four features in the order of the published coefficients."""

    smoothness: float
    """NaN when a component has no pair of unequal slices."""
    connected_components: int
    intensity_mean: float
    """In the units of the image that was given."""
    in_lung_fraction: float


class EmptyMaskError(ValueError):
    """The reference code crashes on an empty mask, so there is no value to reproduce."""


def reference_features(
    image: NDArray[np.floating], mask: NDArray[np.bool_], lungs: NDArray[np.bool_], *, seed: int
) -> ReferenceFeatures:
    """Compute the four features; arrays have Segwatch's axes, (z, y, x).

    The published coefficients were fitted on volumes shrunk to at most 50 x 512 x 512 voxels and, for the intensity, on
    an image scaled to 0..1; neither step is done here. `seed` draws the samples that the reference code takes unseeded.

    Raises:
        EmptyMaskError: the mask is empty.
    """
    if not mask.any():
        raise EmptyMaskError("the reference features are not defined for an empty mask")
    labels, count = ndimage.label(mask, structure=CONNECTIVITY_26)
    sizes = np.bincount(labels.ravel())[1:]
    # a stable sort, as the reference's sorted(): the first of equally large components comes first
    by_size = np.argsort(-sizes, kind="stable")
    large = [index for index in by_size if sizes[index] > COMPONENT_VOXELS] or list(by_size)
    boxes = ndimage.find_objects(labels)
    return ReferenceFeatures(
        smoothness=float(np.mean([_slice_dice_along_x(mask[boxes[index]]) for index in large])),
        connected_components=int(count),
        intensity_mean=_sampled_mean(image[labels == by_size[0] + 1], seed),
        in_lung_fraction=float(np.count_nonzero(mask & lungs) / np.count_nonzero(mask)),
    )


def _slice_dice_along_x(box: NDArray[np.bool_]) -> float:
    """Mean Dice of consecutive slices along x over all mask voxels in a component's box.

    Pairs with Dice exactly 1 and pairs of two empty slices are dropped; NaN when none is left.
    """
    slices = np.moveaxis(box, 2, 0)
    areas = np.count_nonzero(slices, axis=(1, 2))
    shared = np.count_nonzero(slices[1:] & slices[:-1], axis=(1, 2))
    sums = areas[1:] + areas[:-1]
    kept = (sums > 0) & (2 * shared != sums)
    return float(np.mean(2.0 * shared[kept] / sums[kept])) if kept.any() else float("nan")


def _sampled_mean(intensities: NDArray[np.floating], seed: int) -> float:
    """Mean of a one-component Gaussian mixture, which is the mean of its 5000 samples, drawn with replacement."""
    rng = np.random.default_rng(seed)
    if intensities.size > INTENSITY_SAMPLES:
        intensities = rng.choice(intensities, INTENSITY_SAMPLES, replace=False)
    return float(rng.choice(intensities, INTENSITY_SAMPLES).mean(dtype=np.float64))
