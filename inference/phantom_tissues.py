"""What fills the phantom's surfaces: Hounsfield units of wall, bone, mediastinum, abdomen and lung."""

from dataclasses import dataclass

import numpy as np

from inference.phantom_anatomy import (
    Thorax,
    cavity_distance,
    diaphragm_height,
    ellipsoid,
)
from inference.phantom_grid import FloatArray, Grid, blend, inside, random_field

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


def paint_body(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """HU of everything but the lungs."""
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    z, y, x = grid.broadcast
    width, depth = thorax.half_width + thorax.wall + 6, thorax.half_depth + 0.8 * thorax.wall + 8
    level = (np.abs(x / width) ** 2.6 + np.abs((y - 8) / depth) ** 2.4) ** 0.4
    skin = ((level - 1) * 0.95 * depth).astype(np.float32) + 0 * z
    hu = np.full(grid.shape, AIR_HU, dtype=np.float32)
    _table(hu, grid, depth + 8)
    blend(hu, inside(skin, scan.edge_mm), FAT_HU)
    patches = random_field(rng, grid, 14.0)
    blend(hu, inside(skin + thorax.fat + 2 * patches, scan.edge_mm) * inside(patches - 1.2, 0.5), MUSCLE_HU)
    _ribs(hu, scene)
    _abdomen(hu, scene)
    _mediastinum(hu, scene, patches)
    _spine(hu, scene)
    return hu


def _table(hu: FloatArray, grid: Grid, top: float) -> None:
    _, y, x = grid.broadcast
    surface = np.abs(y - top - 3 + x * x / 1500) - 1.5 + 0 * grid.broadcast[0]
    blend(hu, inside(surface.astype(np.float32), 1.5) * (np.abs(x) < 210), -250.0)


def _ribs(hu: FloatArray, scene: Scene) -> None:
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    z, y, x = grid.broadcast
    phase = np.mod(z + 0.45 * y - 4, thorax.rib_pitch) - thorax.rib_pitch / 2
    across = np.hypot((scene.cavity - 6.5) / 4.2, phase / 6.5)
    distance = ((across - 1) * 4.2).astype(np.float32)
    shell = inside(distance, scan.edge_mm)
    anterior = np.clip((-y - 0.55 * thorax.half_depth) / 12, 0, 1) * (np.abs(x) < 0.75 * thorax.half_width)
    blend(hu, shell, (1 - anterior) * 550 + anterior * 100)
    blend(hu, inside(distance + 1.8, scan.edge_mm), (1 - anterior) * 220 + anterior * 90)
    sternum = ellipsoid(grid, (10, -thorax.half_depth - 7, 0), (75, 6, 18))
    blend(hu, inside(sternum, scan.edge_mm), 260.0)
    for side in (-1, 1):
        blade = ellipsoid(grid, (70, 0.85 * thorax.half_depth, side * 0.78 * (thorax.half_width + 12)), (65, 5.0, 32))
        blend(hu, inside(blade + 0.12 * np.abs(x - side * thorax.half_width), scan.edge_mm) * (scene.cavity > 8), 380.0)


def _abdomen(hu: FloatArray, scene: Scene) -> None:
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    z, _, x = grid.broadcast
    below = z - diaphragm_height(thorax, grid)
    organs = np.maximum(below + 2, scene.cavity + 2)
    wide = inside(organs, scan.edge_mm)
    blend(hu, wide * (x < 25), 0.35 * scan.blood_hu + 45)
    blend(hu, wide * (x >= 25), FAT_HU)
    low = thorax.dome_left
    spleen = ellipsoid(grid, (low - 45, 0.45 * thorax.half_depth, 0.62 * thorax.half_width), (42, 34, 40))
    stomach = ellipsoid(grid, (low - 38, -0.1 * thorax.half_depth, 0.42 * thorax.half_width), (30, 45, 42))
    blend(hu, inside(np.maximum(spleen, organs), scan.edge_mm), 0.4 * scan.blood_hu + 40)
    blend(hu, inside(np.maximum(stomach, organs), scan.edge_mm), 20.0)
    gas = np.maximum(stomach + 4, grid.broadcast[1] + 0.35 * thorax.half_depth)
    blend(hu, inside(np.maximum(gas, organs), scan.edge_mm), -990.0)


def _mediastinum(hu: FloatArray, scene: Scene, patches: FloatArray) -> None:
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    z, y, x = grid.broadcast
    above = np.maximum(scene.cavity, diaphragm_height(thorax, grid) - z)
    blend(hu, inside(above, scan.edge_mm), 35.0)
    blend(hu, inside(above, scan.edge_mm) * inside(0.4 - patches, 0.6), FAT_HU)
    heart = ellipsoid(grid, thorax.heart_centre, thorax.heart)
    for distance, value in (
        (heart + 2, 0.4 * scan.blood_hu + 30),
        (heart + 14, scan.blood_hu),
        (np.hypot(x - 20, y - thorax.spine_y + 18) - 12 + np.clip(z - 40, 0, None), scan.blood_hu),
        (np.hypot(x + 8, y + 20) - 14 + np.clip(z - 45, 0, None), scan.blood_hu),
        (np.hypot(x + 20, y + 16) - 9 + 0 * z, scan.blood_hu + 20),
        (ellipsoid(grid, (48, 0, 6), (13, 34, 16)), scan.blood_hu),
        (ellipsoid(grid, (12, 0, 8), (12, 14, 36)), scan.blood_hu),
    ):
        blend(hu, inside(np.maximum(distance.astype(np.float32), above), scan.edge_mm), value)


def _spine(hu: FloatArray, scene: Scene) -> None:
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    z, y, x = grid.broadcast
    disc = np.clip(np.abs(np.mod(z, 24) - 12) - 9, 0, 1)
    body = (np.hypot(x, 1.15 * (y - thorax.spine_y)) - 17 + 0 * z).astype(np.float32)
    blend(hu, inside(body, scan.edge_mm), 420 - 330 * disc)
    blend(hu, inside(body + 2.5, scan.edge_mm), 190 - 100 * disc)
    arch = np.hypot(x, y - thorax.spine_y - 26) - 13 + 0 * z
    blend(hu, inside(arch.astype(np.float32), scan.edge_mm), 400 - 300 * disc)
    blend(hu, inside((arch + 5).astype(np.float32), scan.edge_mm), 30.0)
    process = np.maximum(np.abs(x) - 3, np.abs(y - thorax.spine_y - 50) - 14) + 6 * disc
    blend(hu, inside(process.astype(np.float32), scan.edge_mm), 350.0)
    transverse = np.maximum(np.abs(x) - 32, np.abs(y - thorax.spine_y - 24 - 0.2 * np.abs(x)) - 4) + 8 * disc
    blend(hu, inside(transverse.astype(np.float32), scan.edge_mm), 350.0)


def paint_lungs(hu: FloatArray, scene: Scene, lung: FloatArray, rng: np.random.Generator) -> None:
    """Fill the lungs (signed distance `lung`) with parenchyma and fissures, in place."""
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    _, y, _ = grid.broadcast
    parenchyma = scan.lung_hu + scan.gravity_hu_per_mm * y
    parenchyma = parenchyma + scan.texture_hu * random_field(rng, grid, 26.0)
    parenchyma += 0.7 * scan.texture_hu * random_field(rng, grid, 7.0)
    posterior = np.clip(y / thorax.half_depth, 0, 1)
    parenchyma += scan.dependent_hu * posterior * np.exp(np.minimum(scene.cavity, 0) / 7)
    _fissures(parenchyma, grid, rng)
    blend(hu, inside(lung, scan.edge_mm), np.clip(parenchyma, -980, -550))


def _fissures(parenchyma: FloatArray, grid: Grid, rng: np.random.Generator) -> None:
    z, y, x = grid.broadcast
    wave = 4 * random_field(rng, grid, 45.0)
    tilt, height = rng.uniform(0.9, 1.4), rng.uniform(-30, 0)
    oblique = (z - height - tilt * y) / float(np.hypot(1, tilt)) + wave
    strength, width = rng.uniform(30, 130), max(1.0, 0.6 * float(np.mean(grid.spacing)))
    parenchyma += strength * np.exp(-((oblique / width) ** 2))
    horizontal = z - rng.uniform(0, 25) + wave
    parenchyma += strength * np.exp(-((horizontal / width) ** 2)) * ((x < 0) & (oblique > 0))
