"""How one examination looks, and the person on the grid that is drawn."""

from dataclasses import dataclass

import numpy as np

from inference.phantom_anatomy import Thorax, cavity_distance
from inference.phantom_grid import FloatArray, Grid

AIR_HU = -1000.0
FAT_HU = -100.0
MUSCLE_HU = 50.0


@dataclass(frozen=True, slots=True)
class Scan:
    """How one examination looks: contrast medium, inflation, texture."""

    blood_hu: float
    lung_hu: float
    """Of aerated parenchyma at the centre of the chest."""
    gravity_hu_per_mm: float
    """Rise of parenchyma towards the back of a supine patient."""
    dependent_hu: float
    """Extra density right at the posterior pleura."""
    texture_hu: float
    edge_mm: float
    """Width of an organ's border."""
    noise_hu: float
    noise_grain_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A person in a scanner, on the grid that is drawn."""

    thorax: Thorax
    scan: Scan
    grid: Grid
    cavity: FloatArray
    """Signed distance to the inner chest wall, (z, y, x) mm."""


def sample_scan(rng: np.random.Generator) -> Scan:
    """Draw one examination; half of them with contrast medium."""
    return Scan(
        blood_hu=float(rng.uniform(90, 300) if rng.random() < 0.5 else rng.uniform(35, 55)),
        lung_hu=float(rng.uniform(-890, -790)),
        gravity_hu_per_mm=float(rng.uniform(0.1, 0.7)),
        dependent_hu=float(rng.uniform(0, 160)),
        texture_hu=float(rng.uniform(8, 30)),
        edge_mm=float(rng.uniform(1.0, 2.2)),
        noise_hu=float(np.exp(rng.uniform(np.log(8), np.log(60)))),
        noise_grain_mm=float(rng.uniform(0.4, 1.4)),
    )


def make_scene(thorax: Thorax, scan: Scan, grid: Grid) -> Scene:
    """Put a person on a grid."""
    return Scene(thorax, scan, grid, cavity_distance(thorax, grid))
