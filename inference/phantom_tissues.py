"""What fills the phantom's surfaces: Hounsfield units of body wall, surroundings, mediastinum and lung."""

import numpy as np

from inference.phantom_abdomen import paint_abdomen
from inference.phantom_anatomy import diaphragm_height, ellipsoid
from inference.phantom_bones import paint_bones
from inference.phantom_grid import FloatArray, Grid, blend, inside, random_field, smooth_min
from inference.phantom_scene import AIR_HU, FAT_HU, MUSCLE_HU, Scene


def paint_body(scene: Scene, rng: np.random.Generator) -> FloatArray:
    """HU of everything but the lungs."""
    scan, grid = scene.scan, scene.grid
    hu = np.full(grid.shape, AIR_HU, dtype=np.float32)
    patches = random_field(rng, grid, 14.0)
    breast = float(rng.uniform(20, 65)) if rng.random() < 0.5 else 0.0
    skin, muscle = _skin(scene, breast)
    _surroundings(hu, scene, skin, rng)
    blend(hu, inside(skin, scan.edge_mm), FAT_HU)
    blend(hu, inside(skin, scan.edge_mm) * inside(1.1 - patches, 0.4), -20.0)  # fibrous and glandular strands
    blend(hu, inside(muscle + 2 * patches, scan.edge_mm) * inside(patches - 1.2, 0.5), MUSCLE_HU)
    blend(hu, inside(np.abs(skin + 1) - 1, scan.edge_mm), 0.0)
    paint_abdomen(hu, scene, rng)
    _mediastinum(hu, scene, patches)
    paint_bones(hu, scene)
    return hu


def _skin(scene: Scene, breast: float) -> tuple[FloatArray, FloatArray]:
    """Signed distances to the skin, shoulders and breasts included, and to the muscles below the fat."""
    thorax, grid = scene.thorax, scene.grid
    z, y, x = grid.broadcast
    width = thorax.half_width + thorax.wall + 6 + 0.7 * np.clip(z - 50, 0, 90)
    depth = thorax.half_depth + 0.8 * thorax.wall + 8
    level = (np.abs(x / width) ** 2.6 + np.abs((y - 8) / depth) ** 2.4) ** 0.4
    trunk = ((level - 1) * 0.95 * depth).astype(np.float32)
    skin = trunk
    if breast > 0:
        for side in (-1, 1):
            centre = (-10.0, -0.8 * depth, side * 0.5 * width.min())
            skin = smooth_min(skin, ellipsoid(grid, centre, (1.3 * breast, breast, 1.5 * breast)), 12)
    return skin, trunk + thorax.fat


def _surroundings(hu: FloatArray, scene: Scene, skin: FloatArray, rng: np.random.Generator) -> None:
    """Table top, mattress and folds of cloth."""
    grid = scene.grid
    z, y, x = grid.broadcast
    top = scene.thorax.half_depth + 0.8 * scene.thorax.wall + 16 + rng.uniform(0, 6)
    bend, thick = rng.uniform(1e-4, 9e-4), rng.uniform(1.5, 4)
    surface = np.abs(y - top - 3 + bend * x * x) - thick + 0 * z
    blend(hu, inside(surface.astype(np.float32), 1.5) * (np.abs(x) < 210), rng.uniform(-700, 100))
    mattress = np.abs(y - top + 4 + bend * x * x) - 6 + 0 * z
    blend(hu, inside(mattress.astype(np.float32), 2.0) * (np.abs(x) < 190), rng.uniform(-990, -880))
    cloth = np.abs(skin - rng.uniform(4, 12) - 5 * random_field(rng, grid, 40.0)) - 0.8
    blend(hu, inside(np.maximum(cloth, 1 - skin), 1.5), rng.uniform(-900, -550))


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
