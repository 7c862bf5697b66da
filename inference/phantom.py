"""Generated chest CTs with lesions: the demo, the tests, the benchmark and the training share them.

The person is drawn from the seed in millimetres and then sampled, so that two grids of one seed show the same chest.
Nothing here is clinical data; see `inference/models/MODEL_CARD.md` for what a network learns from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from inference.phantom_anatomy import Thorax, lung_distance, sample_thorax
from inference.phantom_grid import FloatArray, Grid, centred_axis
from inference.phantom_lesions import ALL_KINDS, MOST_LESIONS, Lesion, LesionKind, draw_lesions, sample_lesions
from inference.phantom_scene import Scan, make_scene, sample_scan
from inference.phantom_tissues import paint_body, paint_lungs
from inference.phantom_vessels import Tubes, draw_tubes, grow_tree
from inference.volume import Volume

CENTRE_Z_MM = -10.0
"""Middle of the lungs: the centre of every grid."""
FINEST_RENDER_MM = 1.4
"""Large grids are drawn at this spacing and interpolated."""
COARSEST_RENDER_MM = 3.0
"""Thicker voxels are averaged from finer ones, as a scanner does."""
RENDER_BUDGET = 8_000_000
"""Voxels above which a grid finer than `FINEST_RENDER_MM` is drawn coarser first."""


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A generated chest CT and the truth about it, all (z, y, x) on one grid."""

    volume: Volume
    lesion_mask: NDArray[np.uint8]
    """1 inside a lesion."""
    lung_mask: NDArray[np.bool_]
    """Both lungs with their vessels and lesions, without trachea and main bronchi."""


@dataclass(frozen=True, slots=True, eq=False)
class _Patient:
    thorax: Thorax
    scan: Scan
    vessels: tuple[Tubes, ...]
    bronchi: tuple[Tubes, ...]
    lesions: tuple[Lesion, ...]


def make_phantom(
    seed: int,
    *,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    lesions: int | None = None,
    kinds: Sequence[LesionKind] = ALL_KINDS,
    noise_hu: float | None = None,
) -> Phantom:
    """Draw the chest of `seed` on a grid of `shape` voxels (z, y, x) and `spacing_mm` (z, y, x) around its middle.

    `lesions` is their number (0 for a healthy chest; by default 0..6 by chance), `kinds` those to choose from;
    some may lie outside a grid that does not hold the whole chest. `noise_hu` replaces the scan's own noise.
    Axes run towards left (columns), posterior (rows) and superior (slices, feet first in the array).

    Raises ValueError for an empty shape, a spacing that is not positive, a negative count or no kinds.
    """
    if min(shape) < 1 or min(spacing_mm) <= 0:
        raise ValueError(f"shape and spacing must be positive, got {shape} and {spacing_mm}")
    if (lesions is not None and lesions < 0) or not kinds:
        raise ValueError("lesions must be 0 or more and kinds must not be empty")
    patient = _sample_patient(seed, lesions, kinds)
    grid = _grid(shape, spacing_mm)
    render_grid, weights = _render_grid(grid, spacing_mm)
    layers = _render(patient, render_grid, seed)
    hu, share, lung = (_sample(layer, weights) for layer in layers)
    noise = patient.scan.noise_hu if noise_hu is None else noise_hu
    _add_noise(hu, _stream(seed, "noise"), noise, [patient.scan.noise_grain_mm / step for step in spacing_mm])
    np.clip(hu, -1024, 3071, out=hu)
    inside_lung = lung < 0
    lesion_mask = ((share > 0.5) & inside_lung).astype(np.uint8)
    return Phantom(Volume(voxels=hu, affine=_affine(grid, spacing_mm)), lesion_mask, inside_lung)


_STREAMS = ("person", "scan", "surface", "trees", "lesions", "body", "lung", "noise")


def _stream(seed: int, name: str) -> np.random.Generator:
    """An independent generator per part, so that an option of one part does not change another."""
    return np.random.default_rng([seed, _STREAMS.index(name)])


def _sample_patient(seed: int, count: int | None, kinds: Sequence[LesionKind]) -> _Patient:
    thorax = sample_thorax(_stream(seed, "person"))
    # places are drawn on a grid of their own, whatever the output's
    places = _grid((80, 75, 85), (4.0, 4.0, 4.0))
    depth = -lung_distance(thorax, places, _stream(seed, "surface"))
    index = np.argwhere(depth > 1)
    points = np.stack([places.z[index[:, 0]], places.y[index[:, 1]], places.x[index[:, 2]]], axis=1)
    depths = depth[tuple(index.T)]
    vessels, bronchi = _trees(_stream(seed, "trees"), points, depths)
    rng = _stream(seed, "lesions")
    drawn = int(rng.integers(0, MOST_LESIONS + 1))
    found = sample_lesions(rng, points, depths, drawn if count is None else count, kinds)
    return _Patient(thorax, sample_scan(_stream(seed, "scan")), vessels, bronchi, found)


def _trees(
    rng: np.random.Generator, points: FloatArray, depths: FloatArray
) -> tuple[tuple[Tubes, ...], tuple[Tubes, ...]]:
    vessels: list[Tubes] = []
    bronchi = [
        _pipe([(150, 12, 0), (38, 20, 0)], float(rng.uniform(7, 10))),
        _pipe([(38, 20, 0), (16, 16, -34)], 6.0),
        _pipe([(38, 20, 0), (12, 16, 38)], 5.5),
    ]
    for side in (-1, 1):
        own = (points[:, 2] * side > 0) & (depths > 4)
        places = points[own]
        for root in ((14, 4, side * 30), (2, 10, side * 30)):
            chosen = places[rng.choice(len(places), int(rng.integers(600, 1000)))] + rng.uniform(-2, 2, (1, 3))
            vessels.append(
                grow_tree(
                    rng,
                    _point(root),
                    chosen.astype(np.float32),
                    tip_radius=float(rng.uniform(0.45, 0.75)),
                    exponent=2.6,
                )
            )
        deep = points[(points[:, 2] * side > 0) & (depths > 20)]
        tips = deep[rng.choice(len(deep), 28)].astype(np.float32)
        bronchi.append(grow_tree(rng, _point((14, 16, side * 36)), tips, tip_radius=0.9, exponent=2.4))
    return tuple(vessels), tuple(bronchi)


def _point(values: tuple[float, float, float]) -> FloatArray:
    return np.asarray(values, dtype=np.float32)


def _pipe(corners: Sequence[tuple[float, float, float]], radius: float) -> Tubes:
    nodes = np.asarray(corners, dtype=np.float32)
    return Tubes(nodes[:-1], nodes[1:], np.full(len(nodes) - 1, radius, dtype=np.float32))


def _render(patient: _Patient, grid: Grid, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """HU, share of lesion and signed distance to the pleura."""
    thorax, scan = patient.thorax, patient.scan
    lung = lung_distance(thorax, grid, _stream(seed, "surface"))
    scene = make_scene(thorax, scan, grid)
    hu = paint_body(scene, _stream(seed, "body"))
    paint_lungs(hu, scene, lung, _stream(seed, "lung"))
    for tubes in patient.vessels:
        draw_tubes(hu, grid, tubes, scan.blood_hu)
    for tubes in patient.bronchi:
        draw_tubes(hu, grid, tubes, 20.0, extra_radius=0.5)
    share = draw_lesions(hu, grid, lung, patient.lesions)
    for tubes in patient.bronchi:
        draw_tubes(hu, grid, tubes, -985.0)
    return hu, share, lung


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    return Grid(
        centred_axis(shape[0], spacing[0], CENTRE_Z_MM),
        centred_axis(shape[1], spacing[1], 0.0),
        centred_axis(shape[2], spacing[2], 0.0),
    )


def _affine(grid: Grid, spacing: tuple[float, float, float]) -> NDArray[np.float64]:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing
    affine[:, 3] = (float(grid.x[0]), float(grid.y[0]), float(grid.z[0]), 1.0)
    return affine


def _render_grid(grid: Grid, spacing: tuple[float, float, float]) -> tuple[Grid, list[FloatArray | None]]:
    """The grid to draw on, and for each axis the weights (output, drawn) that lead back, None for the identity."""
    large = grid.z.size * grid.y.size * grid.x.size > RENDER_BUDGET
    axes, weights = [], []
    for axis, step in zip((grid.z, grid.y, grid.x), spacing, strict=True):
        drawn, weight = axis, None
        if step > COARSEST_RENDER_MM:
            drawn, weight = _averaged(axis, step)
        elif large and step < FINEST_RENDER_MM and axis.size > 1:
            drawn, weight = _interpolated(axis)
        axes.append(drawn)
        weights.append(weight)
    return Grid(axes[0], axes[1], axes[2]), weights


def _averaged(axis: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
    parts = int(np.ceil(step / COARSEST_RENDER_MM))
    offsets = (np.arange(parts) - (parts - 1) / 2) * step / parts
    drawn = (axis[:, None] + offsets[None, :]).ravel().astype(np.float32)
    return drawn, np.kron(np.eye(axis.size), np.full((1, parts), 1 / parts)).astype(np.float32)


def _interpolated(axis: FloatArray) -> tuple[FloatArray, FloatArray]:
    length = float(axis[-1] - axis[0])
    drawn = np.linspace(axis[0], axis[-1], max(2, int(np.ceil(length / FINEST_RENDER_MM)) + 1), dtype=np.float32)
    position = (axis - axis[0]) / (drawn[1] - drawn[0])
    weight = np.clip(1 - np.abs(position[:, None] - np.arange(drawn.size)[None, :]), 0, None)
    return drawn, (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _sample(layer: FloatArray, weights: list[FloatArray | None]) -> FloatArray:
    if weights[0] is not None:
        layer = np.tensordot(weights[0], layer, axes=(1, 0))
    if weights[1] is not None:
        layer = np.matmul(weights[1], layer)
    if weights[2] is not None:
        layer = np.matmul(layer, weights[2].T)
    return layer


def _add_noise(hu: FloatArray, rng: np.random.Generator, deviation: float, grain: Sequence[float]) -> None:
    """Add noise of `deviation` HU, correlated over `grain` voxels (z, y, x), slice by slice to bound the memory."""
    if deviation == 0:
        return
    scale: float | None = None
    for index in range(hu.shape[0]):
        noise = ndimage.gaussian_filter(rng.standard_normal(hu.shape[1:], dtype=np.float32), grain[1:], truncate=3)
        scale = scale or deviation / max(float(noise.std()), 1e-6)
        hu[index] += noise * np.float32(scale)
