"""The lung mask that the metrics need: classical, and independent of the lesion model.

The steps follow Hu, Hoffman and Reinhardt (IEEE TMI 20(6), 2001): air inside the body, the parts of it that look like
aerated lung, without the large airways, the two lungs apart, and a closing that takes in vessels and consolidations.
All of it runs on a coarse grid of blocks; only the last step goes back to the source grid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.errors import RejectionReason, SeriesRejectedError
from inference.volume import Volume

COARSE_MM = 2.5
"""Blocks are as close to cubes of this edge as whole voxels allow."""
TISSUE_HU = -400.0
"""Halfway between aerated lung and soft tissue: the border of the body and of the lungs."""
PARENCHYMA_HU = (-965.0, -500.0)
"""Block means of aerated lung. Gas in bowel, trachea or outside is lower, stool and partial volume mostly higher."""
TABLE_MM = 5.0
"""Plates of this thickness (table, mask, clothes) are no part of the body."""
CORE_MM = 5.0
"""Parenchyma is at least this thick in every direction; the blurred rim of a gas bubble is not."""
MINIMUM_CORE_ML = 12.0
MINIMUM_CORE_SHARE = 0.2
"""Of a component's volume; gas with a blurred rim stays far below."""
MINIMUM_LUNG_ML = 40.0
MINIMUM_CROSS_SECTION = 0.08
"""Share of the body's cross-section that the lungs must fill in the slice that shows most of them."""
AIRWAY_HU = -930.0
"""A small separate hole in a slice is an airway when its darkest block is below; parenchyma keeps above."""
AIRWAY_MM2 = 800.0
"""Largest cross-section of a trachea, with a margin over the 500 mm2 of a large adult's."""
SECOND_LUNG_SHARE = 0.1
"""A part smaller than this share of the larger lung is no second lung."""
HOLE_MM2 = 700.0
"""Largest hole in a slice that is filled: a lesion or a vessel. The dome of the liver soon grows larger."""
CLOSING_MM = 15.0
"""Nodules at the pleura and vessels at the hilum of about this width are taken in, larger ones in part."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Coarse:
    """Block means of the volume."""

    hu: NDArray[np.float32]
    """(z, y, x)."""
    spacing: tuple[float, float, float]
    """Block edges, mm."""
    factors: tuple[int, int, int]
    """Source voxels per block."""

    @property
    def block_ml(self) -> float:
        return float(np.prod(self.spacing)) / 1000


def find_lungs(volume: Volume) -> NDArray[np.bool_]:
    """Find both lungs, with their vessels and lesions, without trachea and large bronchi where these lie apart.

    Returns (z, y, x) on the grid of `volume`. Of a consolidation at the pleura wider than about 15 mm a part stays
    outside, and where the chest is cut off by the image's border the lung may be lost to the air outside.

    Raises:
        SeriesRejectedError: NO_LUNGS, when no region looks like lung or it is too small to be worth a metric.
    """
    coarse = _coarsen(volume)
    body = _body(coarse)
    lungs = _aerated(coarse, body)
    _check(coarse, body, lungs)
    airways = _airways(coarse, lungs)
    closed = np.zeros_like(lungs)
    for lung in _split(coarse, lungs & ~airways):
        closed |= _close(coarse, lung)
    closed &= ~ndimage.binary_dilation(airways, structure=_cross_in_plane()) | (lungs & ~airways)
    return _to_source(closed, coarse.factors, volume.voxels.shape)


def _coarsen(volume: Volume) -> _Coarse:
    z, y, x = (max(1, round(COARSE_MM / step)) for step in volume.spacing)
    depth, height, width = volume.voxels.shape
    padding = [(0, -size % factor) for size, factor in zip((depth, height, width), (z, y, x), strict=True)]
    planes = [(depth + padding[0][1]) // z, (height + padding[1][1]) // y, (width + padding[2][1]) // x]
    hu = np.empty(planes, dtype=np.float32)
    for index in range(planes[0]):  # slab by slab: no second copy of a large volume
        slab = volume.voxels[index * z : (index + 1) * z].mean(axis=0)
        slab = np.pad(slab, padding[1:], mode="edge")
        hu[index] = slab.reshape(planes[1], y, planes[2], x).mean(axis=(1, 3))
    step_z, step_y, step_x = volume.spacing
    return _Coarse(hu, (z * step_z, y * step_y, x * step_x), (z, y, x))


def _body(coarse: _Coarse) -> BoolArray:
    """The patient, holes filled slice by slice."""
    plate = _disc(coarse, TABLE_MM / 2)
    tissue = ndimage.binary_opening(coarse.hu > TISSUE_HU, structure=plate)
    labels, count = ndimage.label(tissue)
    if count == 0:
        return np.zeros(coarse.hu.shape, dtype=bool)
    body = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])


def _aerated(coarse: _Coarse, body: BoolArray) -> BoolArray:
    """The components of air in the body that hold lung parenchyma."""
    labels, count = ndimage.label((coarse.hu < TISSUE_HU) & body)
    low, high = PARENCHYMA_HU
    core = ndimage.binary_opening((coarse.hu > low) & (coarse.hu < high) & body, structure=_ball(coarse, CORE_MM / 2))
    size = np.bincount(labels.ravel(), minlength=count + 1)
    core_size = np.bincount(labels[core], minlength=count + 1)
    is_lung = (core_size * coarse.block_ml >= MINIMUM_CORE_ML) & (core_size >= MINIMUM_CORE_SHARE * size)
    is_lung[0] = False
    found: BoolArray = is_lung[labels]
    return found


def _check(coarse: _Coarse, body: BoolArray, lungs: BoolArray) -> None:
    volume_ml = float(lungs.sum()) * coarse.block_ml
    lung_area, body_area = lungs.sum(axis=(1, 2)), body.sum(axis=(1, 2))
    share = float(np.max(lung_area / np.maximum(body_area, 1), initial=0.0))
    if volume_ml < MINIMUM_LUNG_ML or share < MINIMUM_CROSS_SECTION:
        raise SeriesRejectedError(
            RejectionReason.NO_LUNGS,
            f"found {volume_ml:.0f} mL of aerated lung filling at most {share:.0%} of a slice of the body "
            f"(at least {MINIMUM_LUNG_ML:.0f} mL and {MINIMUM_CROSS_SECTION:.0%} are needed)",
        )


def _airways(coarse: _Coarse, lungs: BoolArray) -> BoolArray:
    """Small holes that lie apart in their slice and hold nothing but air: trachea and main bronchi."""
    airways = np.zeros_like(lungs)
    block_mm2 = coarse.spacing[1] * coarse.spacing[2]
    for index, plane in enumerate(lungs):
        labels, count = ndimage.label(plane)
        if count == 0:
            continue
        numbers = np.arange(1, count + 1)
        area = ndimage.sum_labels(plane, labels, numbers) * block_mm2
        darkest = ndimage.minimum(coarse.hu[index], labels, numbers)
        airway = np.concatenate([[False], (area < AIRWAY_MM2) & (darkest < AIRWAY_HU)])
        airways[index] = airway[labels]
    return airways


def _split(coarse: _Coarse, lungs: BoolArray) -> list[BoolArray]:
    """Left and right apart, so that a closing does not bridge the mediastinum; one part where that fails."""
    for radius in (0.0, COARSE_MM, 2 * COARSE_MM, 3 * COARSE_MM):
        seeds = ndimage.binary_erosion(lungs, structure=_ball(coarse, radius)) if radius else lungs
        labels, count = ndimage.label(seeds)
        if count < 2:
            continue
        sizes = np.bincount(labels.ravel())[1:]
        first, second = np.argsort(sizes)[::-1][:2]
        if sizes[second] < SECOND_LUNG_SHARE * sizes[first]:
            continue
        marks = np.where(labels == first + 1, 1, np.where(labels == second + 1, 2, 0))
        nearest = ndimage.distance_transform_edt(
            marks == 0, sampling=coarse.spacing, return_distances=False, return_indices=True
        )
        owner = marks[tuple(nearest)]
        return [lungs & (owner == 1), lungs & (owner == 2)]
    return [lungs]


def _close(coarse: _Coarse, lung: BoolArray) -> BoolArray:
    """Closing with a ball of `CLOSING_MM`, then filling of what is enclosed."""
    margin = [int(np.ceil(CLOSING_MM / step)) + 1 for step in coarse.spacing]
    box = ndimage.find_objects(lung.astype(np.uint8))[0]
    # in z the border copies the last slice: beyond the first and last slice the lung goes on
    cut = np.pad(lung[box], [(margin[0], margin[0])] + [(0, 0)] * 2, mode="edge")
    cut = np.pad(cut, [(0, 0), (margin[1], margin[1]), (margin[2], margin[2])])
    grown = ndimage.distance_transform_edt(~cut, sampling=coarse.spacing) <= CLOSING_MM
    shrunk = ndimage.distance_transform_edt(grown, sampling=coarse.spacing) > CLOSING_MM
    inner = tuple(slice(edge, -edge) for edge in margin)
    closed = np.zeros_like(lung)
    closed[box] = (shrunk | cut)[inner]
    closed[box] = ndimage.binary_fill_holes(closed[box])
    return _fill_small_holes(coarse, closed)


def _fill_small_holes(coarse: _Coarse, lung: BoolArray) -> BoolArray:
    """Fill what is enclosed in a slice and small, although it goes on above or below."""
    filled = lung.copy()
    block_mm2 = coarse.spacing[1] * coarse.spacing[2]
    for index, plane in enumerate(lung):
        labels, _ = ndimage.label(ndimage.binary_fill_holes(plane) & ~plane)
        small = np.bincount(labels.ravel()) * block_mm2 <= HOLE_MM2
        small[0] = False
        filled[index] |= small[labels]
    return filled


def _to_source(mask: BoolArray, factors: tuple[int, int, int], shape: tuple[int, ...]) -> BoolArray:
    """Interpolate between block centres and cut at one half."""
    weights = [
        _block_weights(blocks, factor, size) for blocks, factor, size in zip(mask.shape, factors, shape, strict=True)
    ]
    source = np.empty(shape, dtype=bool)
    soft = mask.astype(np.float32)
    in_plane = np.matmul(np.matmul(weights[1], soft), weights[2].T) if factors[0] == 1 else None
    for index in range(shape[0]):
        if in_plane is not None:
            source[index] = in_plane[index] >= 0.5
            continue
        near = np.flatnonzero(weights[0][index])
        plane = np.tensordot(weights[0][index, near], soft[near], axes=(0, 0))
        source[index] = weights[1] @ plane @ weights[2].T >= 0.5
    return source


def _block_weights(blocks: int, factor: int, size: int) -> NDArray[np.float32]:
    """Linear interpolation from block centres to voxel centres, (size, blocks)."""
    position = np.clip((np.arange(size) + 0.5) / factor - 0.5, 0, blocks - 1)
    weights: NDArray[np.float32] = np.clip(1 - np.abs(position[:, None] - np.arange(blocks)), 0, None).astype(
        np.float32
    )
    return weights


def _ball(coarse: _Coarse, radius: float) -> BoolArray:
    reach = [int(radius // step) for step in coarse.spacing]
    axes = np.ogrid[tuple(slice(-count, count + 1) for count in reach)]
    z, y, x = ((axis * step) ** 2 for axis, step in zip(axes, coarse.spacing, strict=True))
    inside: BoolArray = z + y + x <= radius**2
    return inside


def _disc(coarse: _Coarse, radius: float) -> BoolArray:
    return _ball(_Coarse(coarse.hu, (1e9, *coarse.spacing[1:]), coarse.factors), radius)


def _cross_in_plane() -> BoolArray:
    cross: BoolArray = ndimage.generate_binary_structure(2, 1)[None]
    return cross
