"""`Foreground`: the lesion mask cropped to its bounding box, labelled once for every family of metrics."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

CONNECTIVITY_26 = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a face, an edge or a corner belong together."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Foreground:
    """A mask of any label, cropped; axes (z, y, x). Make it with `find_foreground`."""

    mask: NDArray[np.bool_]
    """Foreground inside `box`; of size zero where the whole mask is empty."""
    box: Box
    """Where `mask` lies on the volume's grid."""
    voxel_volume_mm3: float

    @cached_property
    def voxels(self) -> int:
        """Number of foreground voxels."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def component_labels(self) -> NDArray[np.int32]:
        """Number of the 26-connected component of each voxel, 0 for background; shape of `mask`."""
        labels = np.zeros(self.mask.shape, dtype=np.int32)
        if self.voxels:
            ndimage.label(self.mask, structure=CONNECTIVITY_26, output=labels)
        return labels

    @cached_property
    def component_volumes_mm3(self) -> NDArray[np.float64]:
        """Volume of component k at index k - 1, mm3."""
        counts = np.bincount(self.component_labels[self.mask])[1:]
        return counts.astype(np.float64) * self.voxel_volume_mm3

    @cached_property
    def component_boxes(self) -> list[Box]:
        """Bounding box of component k at index k - 1, on the grid of `mask`."""
        return list(ndimage.find_objects(self.component_labels))


def find_foreground(mask: NDArray[np.uint8], voxel_volume_mm3: float) -> Foreground:
    """Crop a label mask, (z, y, x), to the box of all its labels."""
    slices: list[slice] = []
    cropped = mask
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        occupied = np.flatnonzero(cropped.any(axis=others))
        bounds = slice(int(occupied[0]), int(occupied[-1]) + 1) if occupied.size else slice(0, 0)
        slices.append(bounds)
        cropped = cropped[(slice(None),) * axis + (bounds,)]
    return Foreground(cropped != 0, (slices[0], slices[1], slices[2]), voxel_volume_mm3)
