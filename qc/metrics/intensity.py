"""Intensity metric: which Hounsfield value is the commonest in the lesion."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc.metrics.foreground import Foreground

LOWEST_HU, HIGHEST_HU = -1024, 3071
"""The range of 12-bit CT; values outside (padding, metal) count at its ends."""

KERNEL_SIGMA_HU = 25.0
"""Width of the Gaussian that smooths the histogram, about the noise of a thin-slice chest CT."""

INTENSITY_OF_EMPTY = -500.0
"""HU; between ground glass and consolidation, so that a mask without voxels pulls a linear detector neither way."""


def intensity_mode(voxels: NDArray[np.float32], foreground: Foreground) -> float:
    """Mode of the lesion's intensities, HU: the peak of a Gaussian kernel density over all lesion voxels.

    `voxels` is the whole volume, (z, y, x), HU. Every voxel counts, none is sampled, so the same input gives the same
    value. Of equal peaks the lowest is taken.
    """
    if not foreground.voxels:
        return INTENSITY_OF_EMPTY
    intensities = voxels[foreground.box][foreground.mask]
    rounded = np.clip(np.rint(intensities), LOWEST_HU, HIGHEST_HU).astype(np.int64) - LOWEST_HU
    histogram = np.bincount(rounded, minlength=HIGHEST_HU - LOWEST_HU + 1).astype(np.float64)
    density = ndimage.gaussian_filter1d(histogram, KERNEL_SIGMA_HU, mode="constant")
    return float(np.argmax(density) + LOWEST_HU)
