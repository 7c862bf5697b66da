"""Segmentations made worse on purpose, by a known kind and amount: to grade samples with, and to show a bad case.

Pure: the same segmentation, kind, severity and seed give the same result. Lengths are shares of the image's width,
because a `Segmentation` does not carry the source grid's spacing.
"""

import dataclasses
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.segmentation import Segmentation

Mask = NDArray[np.uint8]

JAG_WIDTHS, SHIFT_WIDTHS, LEAK_WIDTHS = 0.10, 0.20, 0.06
"""Largest displacement of one slice, of the whole mask, and growth of the border, as shares of the image's width."""

BLOBS, FALSE_VOLUME, LEAST_FALSE_SHARE = 80, 3.0, 0.0005
"""Most false components, and their volume in all as a multiple of the lesion's and at least a share of the image's."""

NOISE_DEVIATION, NOISE_GRAIN_VOXELS, NOISE_REACH_VOXELS = 0.8, 0.8, 3.0
"""Noise around a ragged mask: its deviation at severity 1 in units of the step from background to foreground, the width
of its grains, and the width of the zone around the mask that it touches."""


class MaskDefect(StrEnum):
    """What can be wrong with a mask."""

    DROPPED_SLICES = "dropped_slices"
    JAGGED_SLICES = "jagged_slices"
    EROSION = "erosion"
    LEAK = "leak"
    SCATTERED = "scattered"
    MISSED = "missed"
    SHIFTED = "shifted"
    RAGGED = "ragged"


DEMO_DEFECT = MaskDefect.SCATTERED
"""The kind that the demo shows: visible at a glance, and typical of a model that meets images unlike its training's."""


def degrade(segmentation: Segmentation, kind: MaskDefect, severity: float, seed: int) -> Segmentation:
    """Make a segmentation worse; severity 0 changes nothing, 1 is the worst of its kind.

    Voxels that are added take the first label. The probabilities follow the mask: both grids are taken to cover the
    same field of view, what is added is made foreground and what is removed background, and all of it less sure by an
    amount that is drawn, so that confidence does not give every defect away.

    Raises:
        ValueError: the severity is not within 0..1.
    """
    if not 0 <= severity <= 1:
        raise ValueError(f"severity must be within 0..1, got {severity}")
    if severity == 0:
        return segmentation
    rng = np.random.default_rng([seed, list(MaskDefect).index(kind)])
    label = segmentation.labels[0].number if segmentation.labels else 1
    mask = _DEFECTS[kind](segmentation.mask, severity, rng, label)
    probabilities = _follow(segmentation, mask, severity, rng)
    return dataclasses.replace(segmentation, mask=mask, probabilities=probabilities)


def _drop_slices(mask: Mask, severity: float, rng: np.random.Generator, _label: int) -> Mask:
    result = mask.copy()
    result[rng.random(mask.shape[0]) < severity] = 0
    return result


def _jag_slices(mask: Mask, severity: float, rng: np.random.Generator, _label: int) -> Mask:
    reach = max(1, round(severity * JAG_WIDTHS * mask.shape[2]))
    steps = rng.integers(-reach, reach + 1, (mask.shape[0], 2))
    return np.stack([_moved(plane, (int(y), int(x))) for plane, (y, x) in zip(mask, steps, strict=True)])


def _erode(mask: Mask, severity: float, _rng: np.random.Generator, _label: int) -> Mask:
    """Peel the mask off to the given share of its greatest depth."""
    result = mask.copy()
    box = _box(mask, 1)
    depth = ndimage.distance_transform_edt(mask[box])
    result[box][depth <= severity * depth.max(initial=0.0)] = 0
    return result


def _leak(mask: Mask, severity: float, _rng: np.random.Generator, label: int) -> Mask:
    reach = max(1.0, severity * LEAK_WIDTHS * mask.shape[2])
    result = mask.copy()
    box = _box(mask, int(np.ceil(reach)))
    inside = mask[box] != 0
    if inside.any():
        result[box][(ndimage.distance_transform_edt(~inside) <= reach) & ~inside] = label
    return result


def _scatter(mask: Mask, severity: float, rng: np.random.Generator, label: int) -> Mask:
    """Add balls anywhere in the image; most of a chest CT lies outside the lungs."""
    result = mask.copy()
    count = max(2, round(severity * BLOBS))
    voxels = severity * max(FALSE_VOLUME * np.count_nonzero(mask), LEAST_FALSE_SHARE * mask.size)
    mean_radius = (3 * voxels / count / (4 * np.pi)) ** (1 / 3)
    for _ in range(count):
        radius = max(1.0, mean_radius * rng.uniform(0.7, 1.2))
        centre = rng.uniform((0, 0, 0), mask.shape)
        box = tuple(
            slice(max(0, int(middle - radius)), min(size, int(middle + radius) + 2))
            for middle, size in zip(centre, mask.shape, strict=True)
        )
        offsets = np.ogrid[box]
        inside = sum((axis - middle) ** 2 for axis, middle in zip(offsets, centre, strict=True)) <= radius**2
        result[box][inside & (result[box] == 0)] = label
    return result


def _miss(mask: Mask, severity: float, rng: np.random.Generator, _label: int) -> Mask:
    labels, count = ndimage.label(mask != 0, structure=np.ones((3, 3, 3)))
    gone = rng.permutation(np.arange(1, count + 1))[: int(severity * count + 0.5)]
    return np.where(np.isin(labels, gone), 0, mask).astype(np.uint8)


def _shift(mask: Mask, severity: float, rng: np.random.Generator, _label: int) -> Mask:
    angle = rng.uniform(0, 2 * np.pi)
    reach = max(1.0, severity * SHIFT_WIDTHS * mask.shape[2])
    along = round(float(rng.uniform(-0.5, 0.5)) * severity * SHIFT_WIDTHS * mask.shape[0])
    return _moved(mask, (along, round(reach * np.sin(angle)), round(reach * np.cos(angle))))


def _make_ragged(mask: Mask, severity: float, rng: np.random.Generator, label: int) -> Mask:
    box = _box(mask, int(3 * NOISE_REACH_VOXELS))
    inside = (mask[box] != 0).astype(np.float32)
    if not inside.size:
        return mask.copy()
    noise = ndimage.gaussian_filter(rng.standard_normal(inside.shape, dtype=np.float32), NOISE_GRAIN_VOXELS)
    noise *= severity * NOISE_DEVIATION / max(float(noise.std()), 1e-6)
    near = ndimage.gaussian_filter(inside, NOISE_REACH_VOXELS) > 0.02
    marked = ndimage.gaussian_filter(inside, 1.0) + noise * near > 0.5
    result = mask.copy()
    result[box] = np.where(marked, np.where(mask[box] != 0, mask[box], label), 0)
    return result


_DEFECTS: dict[MaskDefect, Callable[[Mask, float, np.random.Generator, int], Mask]] = {
    MaskDefect.DROPPED_SLICES: _drop_slices,
    MaskDefect.JAGGED_SLICES: _jag_slices,
    MaskDefect.EROSION: _erode,
    MaskDefect.LEAK: _leak,
    MaskDefect.SCATTERED: _scatter,
    MaskDefect.MISSED: _miss,
    MaskDefect.SHIFTED: _shift,
    MaskDefect.RAGGED: _make_ragged,
}


def _follow(segmentation: Segmentation, mask: Mask, severity: float, rng: np.random.Generator) -> NDArray[np.float16]:
    """Probabilities that fit the new mask: on its side of 0.5 everywhere, flatter where there is or was lesion."""
    grid = segmentation.probabilities.shape[1:]
    indices = [
        ((np.arange(size) + 0.5) * source // size).astype(np.intp)
        for size, source in zip(grid, mask.shape, strict=True)
    ]
    nearest = np.ix_(*indices)
    result = segmentation.probabilities.astype(np.float32)
    before, after = result.max(axis=0) >= 0.5, mask[nearest] != 0
    sureness, flattening = rng.uniform(0.2, 1.0), rng.uniform(0.0, severity)
    result[0][after & ~before] = 0.5 + 0.49 * sureness
    result[:, before & ~after] = np.minimum(result[:, before & ~after], 0.5 - 0.49 * sureness)
    touched = before | after
    result[:, touched] = 0.5 + (result[:, touched] - 0.5) * (1 - flattening)
    return result.astype(np.float16)


def _moved(mask: Mask, steps: tuple[int, ...]) -> Mask:
    """Shift by whole voxels; what leaves the image is lost, what enters is background."""
    result = np.zeros_like(mask)
    target, source = [], []
    for step, size in zip(steps, mask.shape, strict=True):
        bounded = max(-size, min(size, step))
        target.append(slice(max(0, bounded), size + min(0, bounded)))
        source.append(slice(max(0, -bounded), size - max(0, bounded)))
    result[tuple(target)] = mask[tuple(source)]
    return result


def _box(mask: Mask, margin: int) -> tuple[slice, ...]:
    found = ndimage.find_objects((mask != 0).astype(np.uint8))
    if not found:
        return (slice(0, 0),) * mask.ndim
    return tuple(
        slice(max(0, bounds.start - margin), min(size, bounds.stop + margin))
        for bounds, size in zip(found[0], mask.shape, strict=True)
    )
