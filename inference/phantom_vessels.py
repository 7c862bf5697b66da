"""Pulmonary vessels and bronchi: trees that fill the lungs, drawn as tapering tubes.

A tree grows by joining random targets, nearest to the hilum first, to the closest node that exists (a light form of
constrained constructive optimisation, Schreiner and Buxbaum 1993). Radii follow Murray's law: a parent's radius to the
power `exponent` is the sum of its children's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.phantom_grid import FloatArray, Grid


@dataclass(frozen=True, slots=True, eq=False)
class Tubes:
    """Straight pieces of tube."""

    start: FloatArray
    """(n, 3), (z, y, x) mm."""
    stop: FloatArray
    radius: FloatArray
    """(n,), mm."""


def grow_tree(
    rng: np.random.Generator, root: FloatArray, targets: FloatArray, *, tip_radius: float, exponent: float
) -> Tubes:
    """Join `targets` (n, 3) to `root` (3,) and give each piece its radius."""
    order = np.argsort(np.linalg.norm(targets - root, axis=1))
    nodes = np.empty((len(targets) * 2 + 1, 3), dtype=np.float32)
    parents = np.full(len(nodes), -1, dtype=np.int64)
    path = np.zeros(len(nodes), dtype=np.float32)
    nodes[0], count = root, 1
    for target in targets[order]:
        reach = np.linalg.norm(nodes[:count] - target, axis=1)
        parent = int(np.argmin(reach + 0.25 * path[:count]))
        length = float(reach[parent])
        bend = (nodes[parent] + target) / 2 + rng.normal(0, 0.09 * length, 3).astype(np.float32)
        for node in (bend, target):
            nodes[count], parents[count] = node, parent
            path[count] = path[parent] + float(np.linalg.norm(node - nodes[parent]))
            parent, count = count, count + 1
    radius = _murray_radii(parents[:count], tip_radius, exponent)
    return Tubes(nodes[parents[1:count]], nodes[1:count], radius[1:])


def _murray_radii(parents: NDArray[np.int64], tip_radius: float, exponent: float) -> FloatArray:
    load = np.zeros(len(parents))
    is_tip = np.ones(len(parents), dtype=bool)
    is_tip[parents[1:]] = False
    load[is_tip] = tip_radius**exponent
    for node in range(len(parents) - 1, 0, -1):  # children follow their parents
        load[parents[node]] += load[node]
    radii: FloatArray = (load ** (1 / exponent)).astype(np.float32)
    return radii


def draw_tubes(target: FloatArray, grid: Grid, tubes: Tubes, value: float, *, extra_radius: float = 0.0) -> None:
    """Mix tubes of `value` HU into `target` (z, y, x) in place, with the partial volume of the grid's voxels.

    A value above the surroundings only ever raises voxels, a value below only lowers them.
    """
    edge = max(0.9, 0.8 * float(np.mean(grid.spacing)))
    raises = value > -500  # soft tissue and blood against lung; air in a bronchus lowers
    radii = tubes.radius + np.float32(extra_radius)
    margin = radii[:, None] + np.float32(edge)
    lows = np.minimum(tubes.start, tubes.stop) - margin
    highs = np.maximum(tubes.start, tubes.stop) + margin
    for start, stop, radius, low, high in zip(tubes.start, tubes.stop, radii, lows, highs, strict=True):
        box = grid.box(low, high)
        if box is None:
            continue
        distance = _segment_distance(grid.part(box), start, stop)
        share = np.clip(0.5 + (radius - distance) / edge, 0, 1) * min(1.0, (2 * float(radius) / edge) ** 2)
        region = target[box]
        mixed = region + share * (value - region)
        target[box] = np.maximum(region, mixed) if raises else np.minimum(region, mixed)


def _segment_distance(grid: Grid, start: FloatArray, stop: FloatArray) -> FloatArray:
    z, y, x = grid.broadcast
    along = stop - start
    length2 = max(float(along @ along), 1e-6)
    offset = (z - start[0], y - start[1], x - start[2])
    share = np.clip((offset[0] * along[0] + offset[1] * along[1] + offset[2] * along[2]) / length2, 0, 1)
    square = sum((offset[axis] - share * along[axis]) ** 2 for axis in range(3))
    distance: FloatArray = np.sqrt(square)
    return distance
