"""Pure: where the voxels of an array lie, and the grid on which a model sees them.

A grid is a shape (z, y, x) and an affine as in `Volume`: voxel indices in array order to LPS millimetres of voxel
**centres**.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""LPS axis and sign of an anatomical direction."""

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where the voxels of an array lie."""

    shape: Shape
    """(z, y, x)."""
    affine: NDArray[np.float64]
    """(4, 4), mm, as `Volume.affine`."""


def check_orientation(code: str) -> None:
    """Check an orientation code: three letters, one of each of L/R, P/A, S/I.

    Raises:
        ValueError: anything else.
    """
    if len(code) != 3 or {DIRECTIONS.get(letter, (None,))[0] for letter in code} != {0, 1, 2}:
        raise ValueError(f"orientation {code!r} is no code such as LPS or RAS: one letter of each of L/R, P/A, S/I")


def reorient(voxels: NDArray[np.generic], affine: NDArray[np.float64], code: str) -> tuple[NDArray[np.generic], Grid]:
    """Turn an array so that its axes run along anatomical directions, without copying.

    Args:
        voxels: (z, y, x).
        affine: of `voxels`.
        code: directions in which the x, y and z axis (last, middle, first array axis) shall increase, e.g. LPS. An
            oblique axis goes to the direction that it is closest to.

    Returns:
        A view of `voxels`, and where its voxels lie; `reorient` with the source's own code turns it back.

    Raises:
        ValueError: `code` is no orientation.
    """
    axes, signs = _best_axes(affine, code)
    turned = np.transpose(voxels, axes)[tuple(slice(None, None, sign) for sign in signs)]
    grid = _reoriented_grid(Grid(_shape(voxels), affine), axes, signs)
    return turned, grid


def orientation_of(affine: NDArray[np.float64]) -> str:
    """The orientation code closest to an affine."""
    best = max(permutations("LPS"), key=lambda letters: sum(abs(_along(affine, letters, i)) for i in range(3)))
    opposite = {"L": "R", "P": "A", "S": "I"}
    letters = (x if _along(affine, best, i) >= 0 else opposite[x] for i, x in enumerate(best))
    return "".join(letters)


def model_grid(source: Grid, code: str, spacing_mm: tuple[float, float, float] | None) -> Grid:
    """The grid on which a model sees a volume.

    Args:
        source: grid of the volume.
        code: orientation, see `reorient`.
        spacing_mm: distance of voxel centres along the (z, y, x) axes of the new grid; None keeps the source's.

    Returns:
        A grid of the same field of view, rounded to whole voxels, with the same centre.
    """
    axes, signs = _best_axes(source.affine, code)
    turned = _reoriented_grid(source, axes, signs)
    if spacing_mm is None:
        return turned
    steps = np.linalg.norm(turned.affine[:3, :3], axis=0)
    ratios = np.asarray(spacing_mm) / steps
    shape = np.maximum(1, np.round(np.asarray(turned.shape) / ratios)).astype(int)
    affine = turned.affine.copy()
    affine[:3, :3] = turned.affine[:3, :3] * ratios
    source_centre = turned.affine @ [*((np.asarray(turned.shape) - 1) / 2), 1.0]
    affine[:3, 3] = source_centre[:3] - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _shape(voxels: NDArray[np.generic]) -> Shape:
    return int(voxels.shape[0]), int(voxels.shape[1]), int(voxels.shape[2])


def _along(affine: NDArray[np.float64], letters: tuple[str, ...], position: int) -> float:
    """Component of the x, y or z axis (position 0, 1, 2) along the direction that a letter names."""
    axis, sign = DIRECTIONS[letters[position]]
    column = affine[:3, 2 - position]
    return float(sign * column[axis] / np.linalg.norm(column))


def _best_axes(affine: NDArray[np.float64], code: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Source axis, and +1 or -1, of each axis (z, y, x) of the reoriented array."""
    check_orientation(code)
    wanted = [DIRECTIONS[letter] for letter in reversed(code)]
    cosines = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes = max(permutations(range(3)), key=lambda p: sum(abs(cosines[wanted[i][0], p[i]]) for i in range(3)))
    signs = tuple(1 if wanted[i][1] * cosines[wanted[i][0], axes[i]] >= 0 else -1 for i in range(3))
    return axes, signs


def _reoriented_grid(source: Grid, axes: tuple[int, ...], signs: tuple[int, ...]) -> Grid:
    shape = source.shape[axes[0]], source.shape[axes[1]], source.shape[axes[2]]
    affine = source.affine.copy()
    affine[:3, :3] = source.affine[:3, list(axes)] * signs
    first = [shape[i] - 1 if signs[i] < 0 else 0 for i in range(3)]
    affine[:3, 3] = source.affine[:3, 3] + source.affine[:3, list(axes)] @ first
    return Grid(shape, affine)
