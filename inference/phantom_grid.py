"""The grid on which a phantom is drawn, and the few shape and noise functions that every organ is made of.

Lengths are millimetres in LPS: x towards the patient's left, y posterior, z superior. Arrays are (z, y, x).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

FIELD_HALF_EXTENT_MM = 300.0
"""Random fields are defined on a cube of this half edge around the origin; outside they continue their border."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Voxel centres along each axis, mm."""

    z: FloatArray
    y: FloatArray
    x: FloatArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x)."""
        return self.z.size, self.y.size, self.x.size

    @property
    def broadcast(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Axes shaped (z,1,1), (1,y,1), (1,1,x)."""
        return self.z[:, None, None], self.y[None, :, None], self.x[None, None, :]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbours along (z, y, x); 1 mm for an axis of one voxel."""
        steps = [float(axis[1] - axis[0]) if axis.size > 1 else 1.0 for axis in (self.z, self.y, self.x)]
        return steps[0], steps[1], steps[2]

    def box(self, low: FloatArray, high: FloatArray) -> tuple[slice, slice, slice] | None:
        """Index ranges of the voxels between two corners (z, y, x), None where there are none."""
        ranges = []
        for axis, start, stop in zip((self.z, self.y, self.x), low, high, strict=True):
            first, last = int(np.searchsorted(axis, start)), int(np.searchsorted(axis, stop, side="right"))
            if first >= last:
                return None
            ranges.append(slice(first, last))
        return ranges[0], ranges[1], ranges[2]

    def part(self, box: tuple[slice, slice, slice]) -> "Grid":
        """The sub-grid of a box."""
        return Grid(self.z[box[0]], self.y[box[1]], self.x[box[2]])

    def moved(self, origin: FloatArray) -> "Grid":
        """The same voxels with coordinates relative to `origin` (z, y, x)."""
        return Grid(self.z - origin[0], self.y - origin[1], self.x - origin[2])


def centred_axis(count: int, spacing: float, centre: float) -> FloatArray:
    """`count` voxel centres around `centre`."""
    return ((np.arange(count) - (count - 1) / 2) * spacing + centre).astype(np.float32)


def inside(distance: FloatArray, width: float) -> FloatArray:
    """Share of a voxel inside a surface, from the signed distance (negative inside) over an edge of `width` mm."""
    share: FloatArray = np.clip(0.5 - distance / np.float32(width), 0, 1)
    return share


def smooth_max(first: FloatArray, second: FloatArray, radius: float) -> FloatArray:
    """Maximum with a rounded edge (polynomial smooth maximum): intersects two signed distances."""
    reach = np.maximum(np.float32(radius) - np.abs(first - second), 0)
    result: FloatArray = np.maximum(first, second) + reach * reach * np.float32(0.25 / radius)
    return result


def smooth_min(first: FloatArray, second: FloatArray, radius: float) -> FloatArray:
    """Minimum with a rounded edge: unites two signed distances."""
    return -smooth_max(-first, -second, radius)


def blend(target: FloatArray, share: FloatArray, value: float | NDArray[np.floating[Any]]) -> None:
    """Mix `value` into `target` in place by `share` (0..1)."""
    target += share * (value - target)


def random_field(
    rng: np.random.Generator, grid: Grid, scale_mm: float, half_extent_mm: float = FIELD_HALF_EXTENT_MM
) -> FloatArray:
    """Smooth noise of zero mean and about unit variance: a cubic B-spline over a lattice of `scale_mm`.

    The lattice is drawn before the grid is looked at, so that the same generator gives the same field on every grid.
    """
    nodes = int(np.ceil(2 * half_extent_mm / scale_mm)) + 4
    lattice = rng.standard_normal((nodes, nodes, nodes), dtype=np.float32)
    weights = [_spline_weights(axis, scale_mm, half_extent_mm, nodes) for axis in (grid.z, grid.y, grid.x)]
    field = np.tensordot(weights[0], lattice, axes=(1, 0))
    field = np.matmul(weights[1], field)
    field = np.matmul(field, weights[2].T)
    scaled: FloatArray = field / _SPLINE_DEVIATION
    return scaled


_SPLINE_DEVIATION = np.float32(0.332)  # of the spline of unit white noise: (151/315) ** 1.5


def _spline_weights(axis: FloatArray, scale_mm: float, half_extent_mm: float, nodes: int) -> FloatArray:
    position = np.clip((axis + half_extent_mm) / scale_mm, 0, nodes - 4.001) + 1
    distance = np.abs(position[:, None] - np.arange(nodes)[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    weights: FloatArray = np.where(distance < 1, near, far).astype(np.float32)
    return weights
