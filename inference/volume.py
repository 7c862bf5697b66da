"""`Volume`: a CT series as Hounsfield units on the patient grid."""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ReadWarning:
    """Something odd in the source that did not stop the reading."""

    code: str
    """Short name in snake_case, e.g. `differing_frame_of_reference`."""
    detail: str
    """One sentence without patient data and without UIDs."""


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Hounsfield units with their place in the patient.

    `affine` maps homogeneous voxel indices in array order, (z, y, x, 1), to LPS millimetres of the voxel centre
    (PS3.3 C.7.6.2.1.1). Its columns are the steps from slice to slice, from row to row and from column to column.
    Slices are ordered by position along the normal of the image plane, cross(row direction, column direction).
    """

    voxels: NDArray[np.float32]
    """(z, y, x), HU."""
    affine: NDArray[np.float64]
    """(4, 4), mm."""
    sop_instance_uids: tuple[str, ...] = ()
    """Source instance of each slice, in slice order; empty for a volume that has no DICOM source."""
    acquisition_date: date | None = None
    """From Acquisition Date, else Series Date, else Study Date; None where all are missing or malformed."""
    warnings: tuple[ReadWarning, ...] = ()

    def __post_init__(self) -> None:
        """Refuse shapes and types that later stages would misread."""
        if self.voxels.ndim != 3 or self.voxels.dtype != np.float32:
            raise ValueError(f"voxels must be 3-D float32, got {self.voxels.ndim}-D {self.voxels.dtype}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"affine must be (4, 4), got {self.affine.shape}")
        if self.sop_instance_uids and len(self.sop_instance_uids) != self.voxels.shape[0]:
            raise ValueError(f"{len(self.sop_instance_uids)} source instances for {self.voxels.shape[0]} slices")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along (z, y, x), mm."""
        steps = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(steps[0]), float(steps[1]), float(steps[2])

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))
