"""The phantom's skeleton: ribs with their cartilage, sternum, shoulder blades and spine."""

import numpy as np

from inference.phantom_anatomy import ellipsoid
from inference.phantom_grid import FloatArray, blend, inside
from inference.phantom_scene import Scene


def paint_bones(hu: FloatArray, scene: Scene) -> None:
    """Mix the skeleton into `hu` in place."""
    _ribs(hu, scene)
    _sternum_and_blades(hu, scene)
    _spine(hu, scene)


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


def _sternum_and_blades(hu: FloatArray, scene: Scene) -> None:
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    x = grid.broadcast[2]
    sternum = ellipsoid(grid, (10, -thorax.half_depth - 7, 0), (75, 6, 18))
    blend(hu, inside(sternum, scan.edge_mm), 260.0)
    for side in (-1, 1):
        blade = ellipsoid(grid, (70, 0.85 * thorax.half_depth, side * 0.78 * (thorax.half_width + 12)), (65, 5.0, 32))
        blend(hu, inside(blade + 0.12 * np.abs(x - side * thorax.half_width), scan.edge_mm) * (scene.cavity > 8), 380.0)


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
    process = np.maximum(np.abs(x) - 3, np.abs(y - thorax.spine_y - 45) - 9) + 6 * disc
    blend(hu, inside(process.astype(np.float32), scan.edge_mm), 350.0)
    transverse = np.maximum(np.abs(x) - 32, np.abs(y - thorax.spine_y - 24 - 0.2 * np.abs(x)) - 4) + 8 * disc
    blend(hu, inside(transverse.astype(np.float32), scan.edge_mm), 350.0)
