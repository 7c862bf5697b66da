"""Training data: phantoms on the model's grid, and patches drawn from them with the variety that real scanners add.

Training and evaluation take phantoms of different seeds: `TRAINING_SEEDS` and `HELD_OUT_SEEDS` never meet.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import (
    RandGaussianNoise,
    RandGaussianSharpen,
    RandGaussianSmooth,
    RandScaleIntensity,
    RandShiftIntensity,
)
from numpy.typing import NDArray

from inference.phantom import make_phantom

SPACING_MM = (2.5, 2.5, 2.5)
"""(z, y, x) of the model's grid."""
SHAPE = (120, 120, 144)
"""Voxels of a training phantom: 300 x 300 x 360 mm hold every chest of the generator."""
WINDOW_HU = (-1000.0, 400.0)
"""Scaled to 0..1 and clipped."""
TRAINING_SEEDS = range(0, 10_000)
HELD_OUT_SEEDS = range(1_000_000, 1_010_000)

TRUNCATED_SHARE = 0.2
"""Of the patches, those that reach beyond the first or last slice: the server fills with air there."""

Augment = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One phantom on the model's grid."""

    seed: int
    image: NDArray[np.float16]
    """(z, y, x), 0..1."""
    lesion: NDArray[np.bool_]
    lung: NDArray[np.bool_]


def scale_hu(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Window to 0..1, as the manifest tells the server to do."""
    low, high = WINDOW_HU
    scaled: NDArray[np.float32] = np.clip((voxels - low) / (high - low), 0, 1).astype(np.float32)
    return scaled


def make_case(seed: int, lesions: int | None = None, noise_hu: float | None = None) -> Case:
    """Generate the case of one seed, with the generator's own number of lesions and noise unless they are given."""
    phantom = make_phantom(seed, shape=SHAPE, spacing_mm=SPACING_MM, lesions=lesions, noise_hu=noise_hu)
    image = scale_hu(phantom.volume.voxels).astype(np.float16)
    return Case(seed, image, phantom.lesion_mask.astype(bool), phantom.lung_mask)


def make_training_case(seed: int) -> Case:
    """One case to learn from: many lesions, or none in every fourth chest; the augmentation adds the noise."""
    return make_case(seed, lesions=0 if seed % 4 == 0 else 6 + seed % 11, noise_hu=0.0)


def generate(make: Callable[[int], Case], seeds: Iterable[int], *, processes: int = 2) -> Iterator[Case]:
    """Make cases in parallel, in the order of their seeds."""
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(make, seeds)


def augmentation(seed: int) -> Augment:
    """What scanners and readers change without changing the label: kernel, slice thickness, noise, level, side."""
    compose = Compose(
        [
            # nearly always: the server's resampling blurs more than the drawing does
            RandGaussianSmooth(prob=0.9, sigma_x=(0.35, 0.8), sigma_y=(0.35, 0.8), sigma_z=(0.35, 1.1)),
            RandGaussianSharpen(prob=0.15, alpha=(0.5, 2.0)),
            RandScaleIntensity(factors=0.08, prob=0.5),
            RandShiftIntensity(offsets=0.03, prob=0.5),
            RandGaussianNoise(prob=0.9, std=0.03),
        ]
    )
    compose.set_random_state(seed)

    def apply(patch: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(compose(patch)).clamp(0, 1)

    return apply


class PatchSampler:
    """Draws patches around lesions, around other lung tissue and anywhere in the body."""

    def __init__(self, cases: list[Case], patch: tuple[int, int, int], seed: int) -> None:
        self._cases = cases
        self._patch = np.array(patch)
        self._rng = np.random.default_rng(seed)
        self._augment = augmentation(seed)
        self._lesions = [np.flatnonzero(case.lesion) for case in cases]
        self._lungs = [np.flatnonzero(case.lung) for case in cases]

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """`size` images and masks, float32 (batch, 1, z, y, x)."""
        pairs = [self._pair() for _ in range(size)]
        return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])

    def _pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        index = int(self._rng.integers(len(self._cases)))
        case = self._cases[index]
        window = self._window(case, self._centre(index))
        image = torch.from_numpy(case.image[window].astype(np.float32))[None]
        mask = torch.from_numpy(case.lesion[window].astype(np.float32))[None]
        if self._rng.random() < 0.5:  # the heart is on the other side in few people, lesions on either
            image, mask = image.flip(-1), mask.flip(-1)
        image = self._augment(image)
        if self._rng.random() < TRUNCATED_SHARE:
            beyond = self._beyond(image.shape[1])
            image[:, beyond], mask[:, beyond] = 0, 0
        return image, mask

    def _beyond(self, depth: int) -> NDArray[np.bool_]:
        """Slices before the first or after the last of a stack that ends inside the patch."""
        first, last = np.sort(self._rng.integers(0, depth, 2))
        index = np.arange(depth)
        choice = self._rng.integers(3)
        before, after = index < first, index > last
        beyond: NDArray[np.bool_] = (before, after, before | after)[choice]
        return beyond

    def _centre(self, index: int) -> NDArray[np.int64]:
        choice = self._rng.random()
        lesions, lungs = self._lesions[index], self._lungs[index]
        shape = self._cases[index].image.shape
        if choice < 0.45 and lesions.size:
            place = np.array(np.unravel_index(lesions[self._rng.integers(lesions.size)], shape))
        elif choice < 0.75:
            place = np.array(np.unravel_index(lungs[self._rng.integers(lungs.size)], shape))
        else:
            place = self._rng.integers(0, shape)
        moved: NDArray[np.int64] = place + self._rng.integers(-self._patch // 4, self._patch // 4 + 1)
        return moved

    def _window(self, case: Case, centre: NDArray[np.int64]) -> tuple[slice, slice, slice]:
        start = np.clip(centre - self._patch // 2, 0, np.array(case.image.shape) - self._patch)
        z, y, x = (slice(int(first), int(first + size)) for first, size in zip(start, self._patch, strict=True))
        return z, y, x
