"""Confidence metric: how sure the model says it is of the voxels it marked."""

import numpy as np
from numpy.typing import NDArray

from inference.segmentation import Segmentation
from qc.metrics.foreground import Foreground


def mean_confidence(segmentation: Segmentation, foreground: Foreground, volume_affine: NDArray[np.float64]) -> float:
    """Mean foreground probability over the lesion mask, 0..1.

    The foreground probability of a voxel is the largest of its labels' probabilities. Each voxel of the mask takes that
    of the nearest voxel of the model's grid (no interpolation; the outermost voxel for one beyond the model's grid), so
    the value is defined for every mask that has a voxel. For an empty mask it is the confidence that there is nothing:
    1 - the largest foreground probability anywhere.
    """
    probabilities = segmentation.probabilities
    if not foreground.voxels:
        return _within_unit(1.0 - float(probabilities.max(initial=0.0)))
    to_model = np.linalg.inv(segmentation.probability_affine) @ volume_affine
    highest = np.array(probabilities.shape[1:])[:, None] - 1
    first = np.array([bounds.start for bounds in foreground.box])
    total = 0.0
    # slice by slice: the coordinates of a large mask would take more memory than the volume
    for index, plane in enumerate(foreground.mask):
        rows, columns = np.nonzero(plane)
        source = np.stack([np.full(rows.size, first[0] + index), rows + first[1], columns + first[2]])
        nearest = np.rint(to_model[:3, :3] @ source + to_model[:3, 3:]).astype(np.intp)
        z, y, x = np.clip(nearest, 0, highest)
        total += float(probabilities[:, z, y, x].max(axis=0).sum(dtype=np.float64))
    return _within_unit(total / foreground.voxels)


def _within_unit(value: float) -> float:
    # rounding of float16 may leave the range by one step; NaN passes through and is refused by the metric set
    return float(np.clip(value, 0.0, 1.0))
