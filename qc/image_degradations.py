"""Images made worse on purpose: a model that meets images unlike its training's is how real segmentations fail."""

import dataclasses
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.volume import Volume

Voxels = NDArray[np.float32]
Spacing = tuple[float, float, float]

NOISE_HU, SHIFT_HU, BLUR_MM, MOTION_MM, THICKNESS_MM, GAIN = 350.0, 450.0, 6.0, 12.0, 20.0, 0.6
"""The worst of each kind."""


class ImageDefect(StrEnum):
    """What can be wrong with an image."""

    NOISE = "image_noise"
    """As of a very low dose."""
    BLUR = "image_blur"
    """As of a smooth kernel or breathing."""
    INTENSITY_SHIFT = "image_intensity_shift"
    """As of a wrong rescale intercept."""
    LOW_CONTRAST = "image_low_contrast"
    """As of a wrong rescale slope."""
    COARSE_SLICES = "image_coarse_slices"
    """As of thick slices, on the same grid."""
    MOTION = "image_motion"
    """Slices displaced against each other."""


def degrade_image(volume: Volume, kind: ImageDefect, severity: float, seed: int) -> Volume:
    """Make an image worse; severity 0 changes nothing, 1 is the worst of its kind. Grid and source stay the same.

    Raises:
        ValueError: the severity is not within 0..1.
    """
    if not 0 <= severity <= 1:
        raise ValueError(f"severity must be within 0..1, got {severity}")
    if severity == 0:
        return volume
    rng = np.random.default_rng([seed, list(ImageDefect).index(kind)])
    voxels = _DEFECTS[kind](volume.voxels, volume.spacing, severity, rng)
    return dataclasses.replace(volume, voxels=np.clip(voxels, -1024, 3071).astype(np.float32))


def _add_noise(voxels: Voxels, _spacing: Spacing, severity: float, rng: np.random.Generator) -> Voxels:
    return voxels + severity * NOISE_HU * rng.standard_normal(voxels.shape, dtype=np.float32)


def _blur(voxels: Voxels, spacing: Spacing, severity: float, _rng: np.random.Generator) -> Voxels:
    blurred: Voxels = ndimage.gaussian_filter(voxels, [severity * BLUR_MM / step for step in spacing])
    return blurred


def _shift_intensity(voxels: Voxels, _spacing: Spacing, severity: float, rng: np.random.Generator) -> Voxels:
    return voxels + np.float32(rng.choice((-1, 1)) * severity * SHIFT_HU)


def _lower_contrast(voxels: Voxels, _spacing: Spacing, severity: float, _rng: np.random.Generator) -> Voxels:
    return (voxels + 1000) * np.float32(1 - GAIN * severity) - 1000


def _coarsen(voxels: Voxels, spacing: Spacing, severity: float, _rng: np.random.Generator) -> Voxels:
    together = max(2, round(severity * THICKNESS_MM / spacing[0]))
    starts = np.arange(0, voxels.shape[0], together)
    sizes = np.diff(np.append(starts, voxels.shape[0]))
    means = np.add.reduceat(voxels, starts, axis=0) / sizes[:, None, None].astype(np.float32)
    return np.repeat(means, sizes, axis=0)


def _move(voxels: Voxels, spacing: Spacing, severity: float, rng: np.random.Generator) -> Voxels:
    reach = severity * MOTION_MM
    steps = rng.uniform(-reach, reach, (voxels.shape[0], 2)) / np.array(spacing[1:])
    return np.stack(
        [np.roll(plane, np.rint(step).astype(int), (0, 1)) for plane, step in zip(voxels, steps, strict=True)]
    )


_DEFECTS: dict[ImageDefect, Callable[[Voxels, Spacing, float, np.random.Generator], Voxels]] = {
    ImageDefect.NOISE: _add_noise,
    ImageDefect.BLUR: _blur,
    ImageDefect.INTENSITY_SHIFT: _shift_intensity,
    ImageDefect.LOW_CONTRAST: _lower_contrast,
    ImageDefect.COARSE_SLICES: _coarsen,
    ImageDefect.MOTION: _move,
}
