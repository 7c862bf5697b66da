"""Location metrics: where the lesion lies relative to the lungs."""

import numpy as np
from numpy.typing import NDArray

from qc.metrics.foreground import Foreground

IN_LUNG_OF_EMPTY = 1.0
"""Nothing lies outside the lungs."""

SHARE_WITHOUT_LUNGS = 0.0


def in_lung_fraction(foreground: Foreground, lungs: NDArray[np.bool_]) -> float:
    """Share of the lesion's voxels that lie inside the lung mask, 0..1; 1 for an empty lesion mask."""
    if not foreground.voxels:
        return IN_LUNG_OF_EMPTY
    return _inside(foreground, lungs) / foreground.voxels


def lesion_lung_share(foreground: Foreground, lungs: NDArray[np.bool_]) -> float:
    """Lesion inside the lung mask over the lung mask, 0..1; 0 where the lung mask is empty."""
    lung_voxels = int(np.count_nonzero(lungs))
    if not lung_voxels:
        return SHARE_WITHOUT_LUNGS
    return _inside(foreground, lungs) / lung_voxels


def _inside(foreground: Foreground, lungs: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(foreground.mask & lungs[foreground.box]))
