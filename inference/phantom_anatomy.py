"""One invented thorax: its dimensions and the signed distances of its large surfaces.

Shapes are superellipses and ellipsoids joined with rounded edges. The numbers are those of adult chests as seen on
axial CT, in millimetres, and vary from one person to the next.
"""

from dataclasses import dataclass

import numpy as np

from inference.phantom_grid import FloatArray, Grid, random_field, smooth_max, smooth_min

EDGE_RADIUS_MM = 8.0
"""Rounding where two surfaces meet, e.g. the costophrenic recess."""


@dataclass(frozen=True, slots=True)
class Thorax:
    """Dimensions of one person, mm."""

    half_width: float
    """Of the pleural cavities together."""
    half_depth: float
    wall: float
    """Thickness of the lateral chest wall, skin included."""
    fat: float
    """Thickness of the subcutaneous fat."""
    shoulder: float
    """z where the cavity begins to narrow."""
    apex: float
    """z of the lung apices."""
    dome_right: float
    """z of the right diaphragm dome."""
    dome_left: float
    recess: float
    """Depth of the diaphragm below its dome at the chest wall."""
    mediastinum: float
    """Half width of the column of great vessels."""
    heart: tuple[float, float, float]
    """Radii (z, y, x)."""
    rib_pitch: float
    bump: float
    """Amplitude of the unevenness of the pleura."""

    @property
    def spine_y(self) -> float:
        """Centre of the vertebral bodies."""
        return self.half_depth - 22

    @property
    def heart_centre(self) -> tuple[float, float, float]:
        """(z, y, x)."""
        return self.dome_left + 0.55 * self.heart[0] + 12, -0.3 * self.half_depth, 24.0


def sample_thorax(rng: np.random.Generator) -> Thorax:
    """Draw one person."""
    dome = float(rng.uniform(-100, -65))
    wall = 18 + 34 * float(rng.random()) ** 2  # most are slim
    return Thorax(
        half_width=float(rng.uniform(120, 148)),
        half_depth=float(rng.uniform(82, 106)),
        wall=wall,
        fat=float(rng.uniform(4, 0.55 * wall)),
        shoulder=float(rng.uniform(-10, 25)),
        apex=float(rng.uniform(115, 140)),
        dome_right=dome + float(rng.uniform(2, 16)),
        dome_left=dome,
        recess=float(rng.uniform(45, 75)),
        mediastinum=float(rng.uniform(24, 34)),
        heart=(float(rng.uniform(46, 60)), float(rng.uniform(44, 56)), float(rng.uniform(52, 68))),
        rib_pitch=float(rng.uniform(24, 29)),
        bump=float(rng.uniform(0.8, 2.5)),
    )


def cavity_distance(thorax: Thorax, grid: Grid) -> FloatArray:
    """Signed distance to the inner chest wall."""
    z, y, x = grid.broadcast
    rise = np.clip((z - thorax.shoulder) / (thorax.apex - thorax.shoulder), 0, None)
    taper = 1 + 0.0006 * np.clip(thorax.shoulder - z, 0, 120)
    across = np.abs(x) / (thorax.half_width * taper)
    along = np.abs(y - 14 * np.clip(rise, 0, 1)) / thorax.half_depth
    level = (across**2.5 + along**2.3 + rise**2.2) ** (1 / 2.35)
    distance: FloatArray = ((level - 1) * (0.9 * thorax.half_depth)).astype(np.float32)
    return distance


def mediastinum_distance(thorax: Thorax, grid: Grid) -> FloatArray:
    """Signed distance to everything between the lungs: spine, great vessels, heart, hila, anterior junction."""
    z, y, x = grid.broadcast
    narrow = np.clip((z - 40) / 80, 0, 1)
    column = ellipsoid(grid, (0, 2, 0), (1e4, 0.62 * thorax.half_depth, thorax.mediastinum))
    column = (column + 6 * narrow).astype(np.float32)
    spine = np.hypot(x, y - thorax.spine_y) - 21
    result = smooth_min(column, (spine + 0 * z).astype(np.float32), 10)
    result = smooth_min(result, ellipsoid(grid, thorax.heart_centre, thorax.heart), 12)
    result = smooth_min(result, ellipsoid(grid, (48, 6, 14), (26, 40, 30)), 10)
    descending = np.hypot(x - 20, y - thorax.spine_y + 18) - 14 + np.clip(z - 40, 0, None)
    result = smooth_min(result, descending.astype(np.float32), 6)
    for side in (-1, 1):
        result = smooth_min(result, ellipsoid(grid, (8, 12, side * 36), (22, 16, 14)), 8)
    junction = smooth_max((np.abs(x) - 4).astype(np.float32), (y + 0 * x).astype(np.float32), 4)
    return smooth_min(result, junction + 0 * z, 8)


def diaphragm_height(thorax: Thorax, grid: Grid) -> FloatArray:
    """z of the diaphragm, shape (1, y, x)."""
    _, y, x = grid.broadcast
    centre = 0.5 * thorax.half_width
    right = 1 / (1 + np.exp(x / 8))
    dome = right * thorax.dome_right + (1 - right) * thorax.dome_left
    radius2 = ((np.abs(x) - centre) / (0.62 * thorax.half_width)) ** 2 + ((y + 18) / (1.02 * thorax.half_depth)) ** 2
    height: FloatArray = (dome - thorax.recess * radius2**1.3).astype(np.float32)
    return height


def lung_distance(thorax: Thorax, grid: Grid, unevenness: np.random.Generator) -> FloatArray:
    """Signed distance to the pleura of both lungs (negative inside a lung)."""
    z, _, _ = grid.broadcast
    below = (diaphragm_height(thorax, grid) - z) * np.float32(0.8)
    result = smooth_max(cavity_distance(thorax, grid), below, EDGE_RADIUS_MM)
    result = smooth_max(result, -mediastinum_distance(thorax, grid), EDGE_RADIUS_MM / 2)
    result += np.float32(thorax.bump) * random_field(unevenness, grid, 22.0)
    return result


def ellipsoid(grid: Grid, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> FloatArray:
    """Signed distance, approximate away from the surface, to an axis-parallel ellipsoid; (z, y, x)."""
    z, y, x = grid.broadcast
    level = np.sqrt(
        ((z - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 + ((x - centre[2]) / radii[2]) ** 2
    )
    scale = float(np.mean(sorted(radii)[:2]))
    distance: FloatArray = ((level - 1) * scale).astype(np.float32)
    return distance
