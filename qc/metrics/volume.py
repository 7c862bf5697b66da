"""Volume metric: how much of the patient the mask covers."""

from qc.metrics.foreground import Foreground

MM3_PER_ML = 1000.0


def lesion_volume(foreground: Foreground) -> float:
    """Volume of the lesion mask, mL: voxels times the volume of one voxel; 0 for an empty mask."""
    return foreground.voxels * foreground.voxel_volume_mm3 / MM3_PER_ML
