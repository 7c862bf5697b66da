"""`measure`: every metric of the set lesion-core 1 for one segmentation. Prose: docs/reference/metrics.md."""

import numpy as np
from numpy.typing import NDArray

from inference.segmentation import Segmentation
from inference.volume import Volume
from qc.metric_set import LESION_CORE_1
from qc.metrics.confidence import mean_confidence
from qc.metrics.foreground import find_foreground
from qc.metrics.intensity import intensity_mode
from qc.metrics.location import in_lung_fraction, lesion_lung_share
from qc.metrics.shape import connected_components, smoothness
from qc.metrics.volume import lesion_volume
from qc.quality_metrics import QualityMetrics


def measure(volume: Volume, segmentation: Segmentation, lungs: NDArray[np.bool_]) -> QualityMetrics:
    """Measure a segmentation without ground truth; every label of the mask is foreground.

    `segmentation.mask` and `lungs` lie on the volume's grid, (z, y, x).

    Raises:
        ValueError: the three grids have different shapes.
        MetricSetError: a value is not finite, e.g. because the model's probabilities are not.
    """
    if not volume.voxels.shape == segmentation.mask.shape == lungs.shape:
        shapes = f"volume {volume.voxels.shape}, mask {segmentation.mask.shape}, lungs {lungs.shape}"
        raise ValueError(f"volume, mask and lungs must share one grid: {shapes}")
    foreground = find_foreground(segmentation.mask, volume.voxel_volume_mm3)
    return QualityMetrics(
        LESION_CORE_1,
        {
            "smoothness": smoothness(foreground),
            "connected_components": float(connected_components(foreground)),
            "intensity_mode": intensity_mode(volume.voxels, foreground),
            "in_lung_fraction": in_lung_fraction(foreground, lungs),
            "lesion_volume": lesion_volume(foreground),
            "lesion_lung_share": lesion_lung_share(foreground, lungs),
            "mean_confidence": mean_confidence(segmentation, foreground, volume.affine),
        },
    )
