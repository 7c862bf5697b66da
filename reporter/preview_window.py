"""Slices of a volume as grey pictures in radiological convention: patient's right on the left, anterior up."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.volume import Volume

LUNG_WINDOW_HU = (-600.0, 1500.0)
"""Centre and width."""

Scalar = TypeVar("Scalar", bound=np.generic)
Plane = Literal["axial", "coronal"]
# LPS axes (0 left, 1 posterior, 2 superior): what runs right and down in the picture, and what runs into it
_RIGHT_DOWN_INTO: dict[Plane, tuple[tuple[int, int], tuple[int, int], int]] = {
    "axial": ((0, 1), (1, 1), 2),  # right: towards the patient's left; down: posterior
    "coronal": ((0, 1), (2, -1), 1),  # right: towards the patient's left; down: inferior
}


@dataclass(frozen=True, slots=True)
class PlaneView:
    """How to take pictures of one plane out of an array on the volume's grid."""

    axes: tuple[int, int, int]
    """Array axes: into the picture, down, right."""
    flips: tuple[bool, bool]
    """Whether the array runs against down, right."""
    pixel_mm: tuple[float, float]
    """Size of a pixel down, right."""

    def picture(self, array: NDArray[Scalar], index: int) -> NDArray[Scalar]:
        """The slice at `index` of the axis into the picture, (down, right)."""
        flat = np.take(array, index, axis=self.axes[0])
        if self.axes[1] > self.axes[2]:
            flat = flat.T
        turned: NDArray[Scalar] = flat[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]
        return turned


def plane_view(volume: Volume, plane: Plane) -> PlaneView:
    """Find the array axes that lie nearest to the patient's, whatever the source orientation."""
    (right, right_sign), (down, down_sign), into = _RIGHT_DOWN_INTO[plane]
    steps = volume.affine[:3, :3]
    nearest = _assign_axes(np.abs(steps / np.linalg.norm(steps, axis=0)))
    axes = {patient: array for array, patient in enumerate(nearest)}
    spacing = volume.spacing
    return PlaneView(
        axes=(axes[into], axes[down], axes[right]),
        flips=(steps[down, axes[down]] * down_sign < 0, steps[right, axes[right]] * right_sign < 0),
        pixel_mm=(spacing[axes[down]], spacing[axes[right]]),
    )


def windowed(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lung window to grey levels."""
    centre, width = LUNG_WINDOW_HU
    levels = np.clip((hu - (centre - width / 2)) / width, 0, 1) * 255
    return np.asarray(levels, dtype=np.uint8)


def _assign_axes(cosines: NDArray[np.float64]) -> tuple[int, int, int]:
    """For each array axis the patient axis that it runs along, each patient axis once, steepest first."""
    result = [0, 0, 0]
    remaining = cosines.copy()
    for _ in range(3):
        patient, array = np.unravel_index(int(np.argmax(remaining)), (3, 3))
        result[int(array)] = int(patient)
        remaining[patient, :] = -1
        remaining[:, array] = -1
    return result[0], result[1], result[2]
