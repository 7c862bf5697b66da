"""Pure tiling of a volume into patches of one fixed shape, and Gaussian blending of what a model says about them.

The conventions are those of MONAI's `sliding_window_inference` (monai/inferers/utils.py, `dense_patch_slices` and
`compute_importance_map` of monai/data/utils.py), so that a model trained and evaluated there gives the same result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""One patch (z, y, x) to (channel, z, y, x)."""

SIGMA_SCALE = 0.125
"""Standard deviation of the importance map in patch lengths (MONAI's `sigma_scale`)."""
LEAST_IMPORTANCE = 1e-3
"""Smallest weight at a patch's corner, so that no voxel is divided by nearly nothing (MONAI's clamp)."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a volume is cut."""

    patch: Shape
    """(z, y, x) voxels; every patch has this very shape."""
    overlap: float
    """Share of a patch that neighbours share along an axis, 0 <= overlap < 1."""


def tile_starts(length: int, patch: int, overlap: float) -> list[int]:
    """First index of each patch along one axis; the last patch ends with the volume.

    A volume shorter than the patch has one patch at 0 and needs padding.
    """
    if length <= patch:
        return [0]
    interval = max(1, int(patch * (1 - overlap)))
    count = -(-(length - patch) // interval) + 1
    return [min(i * interval, length - patch) for i in range(count)]


def tiles(shape: Shape, tiling: Tiling) -> Iterator[Shape]:
    """First corner (z, y, x) of every patch, in array order."""
    z, y, x = (tile_starts(*axis, tiling.overlap) for axis in zip(shape, tiling.patch, strict=True))
    return product(z, y, x)


def count_tiles(shape: Shape, tiling: Tiling) -> int:
    """Number of patches of a volume."""
    return sum(1 for _ in tiles(shape, tiling))


def importance_map(patch: Shape) -> NDArray[np.float32]:
    """Weight of each voxel of a patch, 0..1: a Gaussian around its centre."""
    weights = np.ones((), dtype=np.float32)
    for size in patch:
        offsets = np.arange(size, dtype=np.float32) - (size - 1) / 2
        axis = np.exp(-(offsets**2) / (2 * (size * SIGMA_SCALE) ** 2)).astype(np.float32)
        weights = weights[..., None] * axis
    return np.maximum(weights, max(float(weights.min()), LEAST_IMPORTANCE)).astype(np.float32)


def predict_volume(
    image: NDArray[np.float32],
    predict: Predict,
    tiling: Tiling,
    *,
    channels: int,
    outside: float,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float16]:
    """Predict every patch and blend the predictions.

    Args:
        image: (z, y, x).
        predict: called once per patch, always with the same shape.
        tiling: shape and overlap of the patches.
        channels: of what `predict` returns.
        outside: value beyond the volume, where it is smaller than a patch.
        progress: called with (patches done, patches in all) after each patch.

    Returns:
        (channel, z, y, x) on the grid of `image`: the weighted mean of all predictions of a voxel. Float16 rounds a
        probability by at most 0.0005.
    """
    shape = _shape3(image.shape)
    padded, inside = _pad(image, tiling.patch, outside)
    grown = _shape3(padded.shape)
    weights = importance_map(tiling.patch)
    total = np.zeros((channels, *grown), dtype=np.float32)
    weight_sum = np.zeros(grown, dtype=np.float32)
    count = count_tiles(grown, tiling)
    for done, corner in enumerate(tiles(grown, tiling), start=1):
        where = tuple(slice(start, start + size) for start, size in zip(corner, tiling.patch, strict=True))
        total[(slice(None), *where)] += predict(np.ascontiguousarray(padded[where])) * weights
        weight_sum[where] += weights
        if progress is not None:
            progress(done, count)
    result = np.empty((channels, *shape), dtype=np.float16)
    for channel in range(channels):
        np.divide(total[channel][inside], weight_sum[inside], out=total[channel][inside])
        result[channel] = total[channel][inside]
    return result


def _shape3(shape: tuple[int, ...]) -> Shape:
    return shape[0], shape[1], shape[2]


def _pad(image: NDArray[np.float32], patch: Shape, value: float) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """Grow a volume to at least a patch, half on either side; the slices cut the original out again."""
    missing = [max(0, size - length) for size, length in zip(patch, image.shape, strict=True)]
    inside = tuple(slice(m // 2, m // 2 + length) for m, length in zip(missing, image.shape, strict=True))
    if not any(missing):
        return image, inside
    return np.pad(image, [(m // 2, m - m // 2) for m in missing], constant_values=value), inside
