"""Lung lesions of the phantom: ground glass, consolidation and solid nodules."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from inference.phantom_grid import FloatArray, Grid, random_field


class LesionKind(StrEnum):
    """Appearance of a lesion on CT (Fleischner Society glossary, 2008)."""

    GROUND_GLASS = "ground_glass"
    CONSOLIDATION = "consolidation"
    NODULE = "nodule"


ALL_KINDS = tuple(LesionKind)
MOST_LESIONS = 6
"""Largest number drawn where the caller gives none."""
_PLEURAL_SHARE = 0.35
"""Of all lesions, the share that touches the pleura."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One lesion, before it is drawn."""

    kind: LesionKind
    centre: FloatArray
    """(z, y, x), mm."""
    radii: FloatArray
    """(z, y, x), mm."""
    hu: float
    edge: float
    """Width of the border, mm."""
    roughness: float
    """Amplitude of the irregularity as a share of the radius."""
    seed: int


def sample_lesions(
    rng: np.random.Generator, points: FloatArray, depths: FloatArray, count: int, kinds: Sequence[LesionKind]
) -> tuple[Lesion, ...]:
    """Draw `count` lesions among lung `points` (n, 3), whose distance to the pleura is `depths` (n,), mm."""
    lesions = []
    for _ in range(count):
        kind = kinds[int(rng.integers(len(kinds)))]
        radius = _radius(rng, kind)
        pleural = rng.random() < _PLEURAL_SHARE
        suited = depths < min(0.8 * radius, 8.0) if pleural else depths > min(1.1 * radius, 12.0)
        candidates = points[suited] if suited.any() else points
        centre = candidates[int(rng.integers(len(candidates)))] + rng.uniform(-1.5, 1.5, 3)
        lesions.append(_lesion(rng, kind, radius, centre.astype(np.float32)))
    return tuple(lesions)


def _radius(rng: np.random.Generator, kind: LesionKind) -> float:
    low, high = (2.0, 15.0) if kind is LesionKind.NODULE else (6.0, 26.0)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))  # small ones are more frequent


def _lesion(rng: np.random.Generator, kind: LesionKind, radius: float, centre: FloatArray) -> Lesion:
    low, high = {
        LesionKind.GROUND_GLASS: (-650.0, -300.0),
        LesionKind.CONSOLIDATION: (-100.0, 80.0),
        LesionKind.NODULE: (-60.0, 90.0),
    }[kind]
    spread = 0.15 if kind is LesionKind.NODULE else 0.35
    return Lesion(
        kind=kind,
        centre=centre,
        radii=(radius * rng.uniform(1 - spread, 1 + spread, 3)).astype(np.float32),
        hu=float(rng.uniform(low, high)),
        edge=float(rng.uniform(3, 8) if kind is LesionKind.GROUND_GLASS else rng.uniform(1, 2)),
        roughness=float(rng.uniform(0.05, 0.2) if kind is LesionKind.NODULE else rng.uniform(0.15, 0.4)),
        seed=int(rng.integers(2**31)),
    )


def draw_lesions(hu: FloatArray, grid: Grid, lung: FloatArray, lesions: Sequence[Lesion]) -> FloatArray:
    """Mix lesions into `hu` in place, inside the lung distance `lung` only; return each voxel's share of lesion."""
    share = np.zeros(grid.shape, dtype=np.float32)
    for lesion in lesions:
        reach = lesion.radii * np.float32(1 + 2.5 * lesion.roughness) + np.float32(lesion.edge)
        box = grid.box(lesion.centre - reach, lesion.centre + reach)
        if box is None:
            continue
        part = _share(lesion, grid.part(box)) * (lung[box] < 0)
        region = hu[box]
        hu[box] = np.maximum(region, region + part * (np.float32(lesion.hu) - region))
        share[box] = np.maximum(share[box], part)
    return share


def _share(lesion: Lesion, grid: Grid) -> FloatArray:
    local = grid.moved(lesion.centre)
    z, y, x = local.broadcast
    level = np.sqrt((z / lesion.radii[0]) ** 2 + (y / lesion.radii[1]) ** 2 + (x / lesion.radii[2]) ** 2)
    mean = float(lesion.radii.mean())
    extent = float(lesion.radii.max()) * 2.5 + lesion.edge
    noise = random_field(np.random.default_rng(lesion.seed), local, max(0.6 * mean, 2.0), extent)
    distance = (level - 1 + lesion.roughness * noise) * mean
    edge = max(lesion.edge, 0.8 * float(np.mean(grid.spacing)))
    share: FloatArray = np.clip(0.5 - distance / edge, 0, 1).astype(np.float32)
    return share
