"""Shape metrics: how well consecutive slices agree, and into how many pieces the lesion falls.

After Gonzalez et al., BVM 2022 (arXiv 2112.08974). The paper leaves thresholds in voxels; here they are volumes, so
that they mean the same on every grid. `qc.metrics.reference` holds the paper's own computation.
"""

import numpy as np
from numpy.typing import NDArray

from qc.metrics.foreground import Foreground

COUNTED_COMPONENT_MM3 = 10.0
"""A smaller component is a speck (a ball of 2.7 mm across) and is not counted while there is a larger one."""

SMOOTHED_COMPONENT_MM3 = 500.0
"""A smaller component (a ball of 10 mm across) has low slice overlap by its geometry alone, and is left out of the mean
while there is a larger one."""

SMOOTHNESS_OF_EMPTY = 1.0
SMOOTHNESS_OF_ONE_SLICE = 0.0
"""No neighbouring slice agrees with it."""


def connected_components(foreground: Foreground) -> int:
    """Count the 26-connected components of at least `COUNTED_COMPONENT_MM3`; all of them where none is that large."""
    return int(_large(foreground.component_volumes_mm3, COUNTED_COMPONENT_MM3).size)


def smoothness(foreground: Foreground) -> float:
    """Mean over components of the mean Dice of consecutive slices along z, 0..1.

    Only the component's own voxels count. Equal slices have Dice 1. A component of one slice has smoothness 0, an empty
    mask 1. Components under `SMOOTHED_COMPONENT_MM3` are left out; where none is that large, all take part.
    """
    if not foreground.voxels:
        return SMOOTHNESS_OF_EMPTY
    chosen = _large(foreground.component_volumes_mm3, SMOOTHED_COMPONENT_MM3)
    labels, boxes = foreground.component_labels, foreground.component_boxes
    return float(np.mean([slice_overlap(labels[boxes[index]] == index + 1) for index in chosen]))


def slice_overlap(component: NDArray[np.bool_]) -> float:
    """Mean Dice of consecutive slices of one component, (z, y, x), each slice of which has a voxel."""
    if component.shape[0] < 2:
        return SMOOTHNESS_OF_ONE_SLICE
    areas = np.count_nonzero(component, axis=(1, 2))
    shared = np.count_nonzero(component[1:] & component[:-1], axis=(1, 2))
    return float(np.mean(2.0 * shared / (areas[1:] + areas[:-1])))


def _large(volumes_mm3: NDArray[np.float64], minimum_mm3: float) -> NDArray[np.intp]:
    # a tolerance keeps a component of exactly the minimum on the same side whatever the rounding of the spacing
    chosen = np.flatnonzero(volumes_mm3 >= minimum_mm3 * (1 - 1e-9))
    return chosen if chosen.size else np.arange(volumes_mm3.size)
