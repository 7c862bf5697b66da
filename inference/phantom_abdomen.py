"""What lies below the phantom's diaphragm: liver, spleen, stomach and bowel."""

import numpy as np

from inference.phantom_anatomy import diaphragm_height, ellipsoid
from inference.phantom_grid import FloatArray, Grid, blend, inside, random_field
from inference.phantom_scene import FAT_HU, Scene

_BOWEL_LOOPS = 26


def paint_abdomen(hu: FloatArray, scene: Scene, rng: np.random.Generator) -> None:
    """Mix the abdomen into `hu` in place."""
    thorax, scan, grid = scene.thorax, scene.scan, scene.grid
    z, _, x = grid.broadcast
    below = z - diaphragm_height(thorax, grid)
    organs = np.maximum(below + 2, scene.cavity + 2)  # distance to what the diaphragm covers
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
    _bowel(hu, scene, organs, rng)


def _bowel(hu: FloatArray, scene: Scene, organs: FloatArray, rng: np.random.Generator) -> None:
    """Loops with gas, fluid or stool: none of them is lung, all of them have its densities somewhere."""
    thorax, grid = scene.thorax, scene.grid
    centres = rng.uniform((-150, -0.75, -0.8), (thorax.dome_left - 30, 0.3, 0.8), (_BOWEL_LOOPS, 3))
    centres = (centres * (1, thorax.half_depth, thorax.half_width)).astype(np.float32)
    radii = rng.uniform(9, 24, (_BOWEL_LOOPS, 3)).astype(np.float32)
    contents = rng.uniform(0, 1, (_BOWEL_LOOPS, 2))
    mottle = random_field(rng, grid, 6.0)
    for centre, radius, (content, level) in zip(centres, radii, contents, strict=True):
        box = grid.box(centre - radius - 4, centre + radius + 4)
        if box is None:
            continue
        loop = _loop(grid.part(box), centre, radius)
        value = _content(content, level, mottle[box])
        region = hu[box]
        blend(region, inside(np.maximum(loop - 3, organs[box]), scene.scan.edge_mm), 40.0)
        blend(region, inside(np.maximum(loop, organs[box]), scene.scan.edge_mm), value)


def _loop(grid: Grid, centre: FloatArray, radius: FloatArray) -> FloatArray:
    z, y, x = grid.moved(centre).broadcast
    level = np.sqrt((z / radius[0]) ** 2 + (y / radius[1]) ** 2 + (x / radius[2]) ** 2)
    distance: FloatArray = (level - 1) * radius.mean()
    return distance


def _content(content: float, level: float, mottle: FloatArray) -> float | FloatArray:
    if content < 0.35:
        return -990.0
    if content < 0.65:
        stool: FloatArray = np.clip(mottle * np.float32(300 * level + 100) - np.float32(150), -950, 150)
        return stool
    return 10 + 250 * level**3
