"""Pure resampling between a source grid and a model's grid and back, and the window that a model sees.

Two grids here differ by a permutation, flips, and a spacing and offset per axis, so that one linear interpolation per
axis maps one onto the other exactly. Indices refer to voxel centres (`grids`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from inference.grids import Grid

AXIS_TOLERANCE = 1e-3
"""Largest cross-talk between axes of two grids, in voxels per voxel, before they count as not parallel."""
ROUNDING = 1e-6
"""Interpolation weights add up to 1 within this: a plateau at the threshold still reaches it."""


@dataclass(frozen=True, slots=True)
class _AxisMap:
    """Source index = scale * target index + offset, along one axis."""

    source_axis: int
    scale: float
    offset: float


def resample(voxels: NDArray[np.float32], affine: NDArray[np.float64], target: Grid) -> NDArray[np.float32]:
    """Sample an array on another grid, linearly.

    Where the target is coarser the kernel is widened (see `_weights`), symmetrically, so that nothing moves. Beyond
    the border the nearest voxel is taken. Works slice by slice: beyond source and result it needs one array of the
    source's slices in the result's in-plane size.

    Args:
        voxels: (z, y, x).
        affine: of `voxels`.
        target: a grid with parallel axes, as `model_grid` makes.

    Returns:
        (z, y, x) on `target`, C-contiguous.

    Raises:
        ValueError: the axes of the grids are not parallel.
    """
    maps = _axis_maps(affine, target.affine)
    turned = np.transpose(voxels, [axis_map.source_axis for axis_map in maps])
    weights = [_weights(m, turned.shape[i], target.shape[i], smooth=True) for i, m in enumerate(maps)]
    planes = np.empty((turned.shape[0], *target.shape[1:]), dtype=np.float32)
    for index in range(turned.shape[0]):
        planes[index] = _resample_plane(turned[index], weights[1], weights[2])
    result = weights[0] @ planes.reshape(planes.shape[0], -1)
    return np.asarray(result, dtype=np.float32).reshape(target.shape)


def scale_window(voxels: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """Map a window of Hounsfield units to 0..1 and clip, in place (MONAI's ScaleIntensityRange)."""
    low, high = window_hu
    np.subtract(voxels, np.float32(low), out=voxels)
    np.multiply(voxels, np.float32(1 / (high - low)), out=voxels)
    return np.clip(voxels, 0, 1, out=voxels)


def labels_on_grid(
    probabilities: NDArray[np.float16],
    affine: NDArray[np.float64],
    target: Grid,
    *,
    numbers: tuple[int, ...],
    threshold: float,
) -> NDArray[np.uint8]:
    """Interpolate probabilities onto the source grid and decide there, so that borders stay smooth.

    A voxel gets the label of the highest probability where that reaches the threshold, else 0. Only the part of the
    target that can reach the threshold is looked at: linear interpolation never exceeds its neighbours.

    Args:
        probabilities: (label, z, y, x).
        affine: of the last three axes of `probabilities`.
        target: source grid, parallel to it.
        numbers: value in the mask of each label.
        threshold: above 0, at most 1; a probability equal to it counts.

    Returns:
        (z, y, x) on `target`.

    Raises:
        ValueError: the axes of the grids are not parallel.
    """
    mask = np.zeros(target.shape, dtype=np.uint8)
    maps = _axis_maps(affine, target.affine)
    turned = np.transpose(probabilities, [0, *(1 + axis_map.source_axis for axis_map in maps)])
    candidate: NDArray[np.bool_] = np.any(turned >= threshold, axis=0)
    if not candidate.any():
        return mask
    box = tuple(_target_range(candidate, i, m, target.shape[i]) for i, m in enumerate(maps))
    weights = [_weights(m, turned.shape[i + 1], target.shape[i], smooth=False)[box[i]] for i, m in enumerate(maps)]
    for row, index in enumerate(range(box[0].start, box[0].stop)):
        planes = _mix_planes(turned, weights[0][row])
        levels = np.stack([_resample_plane(plane, weights[1], weights[2]) for plane in planes])
        best = levels.argmax(axis=0)
        decided = np.asarray(numbers, dtype=np.uint8)[best]
        mask[index, box[1], box[2]] = np.where(levels.max(axis=0) >= threshold - ROUNDING, decided, 0)
    return mask


def _axis_maps(source: NDArray[np.float64], target: NDArray[np.float64]) -> list[_AxisMap]:
    """Which source axis each target axis runs along, and how its indices map.

    Raises:
        ValueError: the axes are not parallel.
    """
    between = np.linalg.inv(source) @ target
    linear = between[:3, :3]
    axes = np.abs(linear).argmax(axis=0)
    scales = linear[axes, range(3)]
    rest = linear.copy()
    rest[axes, range(3)] = 0
    if len(set(axes.tolist())) != 3 or np.abs(rest).max() > AXIS_TOLERANCE * np.abs(scales).max():
        raise ValueError("the axes of the two grids are not parallel")
    return [_AxisMap(int(axes[i]), float(scales[i]), float(between[axes[i], 3])) for i in range(3)]


def _weights(axis_map: _AxisMap, source_size: int, target_size: int, *, smooth: bool) -> csr_matrix:
    """Interpolation along one axis as a sparse (target, source) matrix whose rows add up to 1.

    Each row is the average of the linear interpolant over an interval around the target voxel's centre. For steps of
    `s > 1` source voxels its length `sqrt(2 (s^2 - 1))` gives the kernel the variance of a triangle of half-width `s`,
    the usual anti-aliasing; it vanishes at `s = 1`, and linear fields are reproduced exactly for any `s`.
    """
    centres = _source_centres(axis_map, source_size, target_size)[:, None]
    width = float(np.sqrt(2 * max(0.0, axis_map.scale**2 - 1))) if smooth else 0.0
    columns = np.floor(centres - width / 2).astype(int) + np.arange(int(np.ceil(width)) + 2)
    if width > 0:
        values = (
            _triangle_integral(centres + width / 2 - columns) - _triangle_integral(centres - width / 2 - columns)
        ) / width
    else:
        values = np.maximum(0, 1 - np.abs(centres - columns))
    rows = np.broadcast_to(np.arange(target_size)[:, None], columns.shape)
    used = values > 0
    places = rows[used], columns[used].clip(0, source_size - 1)
    return csr_matrix((values[used].astype(np.float32), places), shape=(target_size, source_size))


def _triangle_integral(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral from minus infinity to x of the hat function max(0, 1 - |t|)."""
    x = np.clip(x, -1, 1)
    return 0.5 + x - np.copysign(0.5 * x * x, x)


def _resample_plane(plane: NDArray[np.floating], rows: csr_matrix, columns: csr_matrix) -> NDArray[np.float32]:
    """Resample (y, x) along both axes."""
    tall = rows @ np.ascontiguousarray(plane, dtype=np.float32)
    return np.ascontiguousarray((columns @ np.ascontiguousarray(tall.T)).T)


def _mix_planes(volumes: NDArray[np.float16], row: csr_matrix) -> NDArray[np.float32]:
    """Weighted sum of a few slices: (label, z, y, x) to (label, y, x)."""
    mixed = np.zeros((volumes.shape[0], *volumes.shape[2:]), dtype=np.float32)
    for column, weight in zip(row.indices, row.data, strict=True):
        mixed += volumes[:, column].astype(np.float32) * weight
    return mixed


def _target_range(candidate: NDArray[np.bool_], axis: int, axis_map: _AxisMap, target_size: int) -> slice:
    """Target indices along an axis whose interpolation touches a candidate voxel."""
    hit = np.flatnonzero(candidate.any(axis=tuple(i for i in range(3) if i != axis)))
    centres = _source_centres(axis_map, candidate.shape[axis], target_size)
    touched = np.flatnonzero((centres > hit[0] - 1) & (centres < hit[-1] + 1))
    return slice(int(touched[0]), int(touched[-1]) + 1) if touched.size else slice(0, 0)


def _source_centres(axis_map: _AxisMap, source_size: int, target_size: int) -> NDArray[np.float64]:
    """Source index of each target voxel; beyond the border the nearest one."""
    centres = np.arange(target_size, dtype=np.float64) * axis_map.scale + axis_map.offset
    return np.clip(centres, 0, source_size - 1)
