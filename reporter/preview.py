"""A picture of a result for people at the site: a few slices with the segmentation drawn over them.

It carries no patient data. It is no diagnostic image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from inference.segmentation import Segmentation, SegmentLabel
from inference.volume import Volume
from reporter.durable_file import write_durably
from reporter.preview_window import PlaneView, plane_view, windowed

TILE_PX = 320
"""Width of one picture."""
CAPTION_PX = 22
AXIAL_SLICES = 5
OVERLAY_OPACITY = 0.35
LUNG_RGB = (90, 170, 255)
BACKGROUND = (16, 18, 22)
TEXT = (225, 228, 232)


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """What the pictures show, all on one grid."""

    volume: Volume
    segmentation: Segmentation
    lungs: NDArray[np.bool_] | None


def write_preview(
    volume: Volume, segmentation: Segmentation, path: Path, lungs: NDArray[np.bool_] | None = None
) -> None:
    """Write a PNG: axial slices through the segmentation, the one with most of it first, and one coronal slice.

    Without any segmented voxel the slices are spread over the lungs, or over the volume.

    Args:
        volume: in HU, shown in the lung window (-600/1500 HU).
        segmentation: its labels are filled in their colours and outlined.
        path: replaced if it exists.
        lungs: (z, y, x) on the volume's grid; outlined in blue where given.

    Raises:
        OSError: the file cannot be written.
    """
    subject = _Subject(volume, segmentation, lungs)
    axial, coronal = plane_view(volume, "axial"), plane_view(volume, "coronal")
    found = segmentation.mask > 0
    shown = found if found.any() or lungs is None else lungs
    tiles = []
    for rank, index in enumerate(choose_slices(_areas(shown, axial), AXIAL_SLICES)):
        area_cm2 = float(axial.picture(found, index).sum()) * axial.pixel_mm[0] * axial.pixel_mm[1] / 100
        what = f"{area_cm2:.1f} cm2" + (", largest" if rank == 0 and found.any() else "")
        tiles.append(_tile(subject, axial, index, f"axial {index + 1}: {what}"))
    index = choose_slices(_areas(shown, coronal), 1)[0]
    tiles.append(_tile(subject, coronal, index, f"coronal {index + 1}"))
    sheet = _sheet(tiles, segmentation, empty=not found.any())
    write_durably(path, lambda file: sheet.save(file, format="PNG"))


def choose_slices(areas: NDArray[np.int64], count: int) -> list[int]:
    """The slice of largest area first, then up to `count` - 1 others, evenly spread over those with any area.

    Where no slice has any, they are spread over all, the middle one first.
    """
    candidates = np.flatnonzero(areas)
    first = int(np.argmax(areas)) if candidates.size else len(areas) // 2
    if not candidates.size:
        candidates = np.arange(len(areas))
    middles = (np.arange(count - 1) + 0.5) * len(candidates) / max(count - 1, 1)
    others = sorted({int(candidates[int(middle)]) for middle in middles} - {first})
    return [first, *others]


def _areas(mask: NDArray[np.bool_], view: PlaneView) -> NDArray[np.int64]:
    areas: NDArray[np.int64] = mask.sum(axis=view.axes[1:], dtype=np.int64)
    return areas


def _tile(subject: _Subject, view: PlaneView, index: int, caption: str) -> Image.Image:
    hu = subject.volume.voxels
    size = (TILE_PX, max(1, round(TILE_PX * _aspect(view, hu.shape))))
    grey = Image.fromarray(windowed(view.picture(hu, index))).resize(size, Image.Resampling.BILINEAR)
    pixels = np.repeat(np.asarray(grey, dtype=np.float32)[:, :, np.newaxis], 3, axis=2)
    if subject.lungs is not None:
        _outline(pixels, _enlarged(view.picture(subject.lungs, index), size), LUNG_RGB)
    mask = view.picture(subject.segmentation.mask, index)
    for label in subject.segmentation.labels:
        area = _enlarged(mask == label.number, size)
        pixels[area] = (1 - OVERLAY_OPACITY) * pixels[area] + OVERLAY_OPACITY * np.array(label.rgb, np.float32)
        _outline(pixels, area, label.rgb)
    tile = Image.new("RGB", (TILE_PX, size[1] + CAPTION_PX), BACKGROUND)
    tile.paste(Image.fromarray(pixels.astype(np.uint8)), (0, 0))
    draw = ImageDraw.Draw(tile)
    draw.text((6, size[1] + 3), caption, fill=TEXT, font=_font())
    for side, left in (("R", 4), ("L", TILE_PX - 14)):
        draw.text((left, size[1] // 2 - 8), side, fill=TEXT, font=_font(), stroke_width=2, stroke_fill=BACKGROUND)
    return tile


def _aspect(view: PlaneView, shape: tuple[int, ...]) -> float:
    """Height over width in the patient."""
    return float(shape[view.axes[1]] * view.pixel_mm[0] / (shape[view.axes[2]] * view.pixel_mm[1]))


def _enlarged(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    picture = Image.fromarray((np.ascontiguousarray(mask) * 255).astype(np.uint8))
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST)) > 0


def _outline(pixels: NDArray[np.float32], area: NDArray[np.bool_], rgb: tuple[int, int, int]) -> None:
    pixels[area & ~ndimage.binary_erosion(area)] = rgb


def _sheet(tiles: Sequence[Image.Image], segmentation: Segmentation, *, empty: bool) -> Image.Image:
    columns = 3
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    header = CAPTION_PX + 8
    sheet = Image.new("RGB", (columns * TILE_PX, header + sum(heights)), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    model = segmentation.model
    title = f"{model.name} {model.version}: " + ("no lesion found" if empty else "segmentation")
    draw.text((6, 6), f"{title}   (lung window; not for diagnosis)", fill=TEXT, font=_font())
    _legend(draw, segmentation.labels, sheet.width)
    top = header
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * TILE_PX, top))
        top += height
    return sheet


def _legend(draw: ImageDraw.ImageDraw, labels: Sequence[SegmentLabel], width: int) -> None:
    right = width - 8
    for label in reversed(labels):
        right -= int(draw.textlength(label.name, font=_font()))
        draw.text((right, 6), label.name, fill=TEXT, font=_font())
        right -= 16
        draw.rectangle((right, 9, right + 10, 19), fill=label.rgb)
        right -= 12


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that no font of the host is needed."""
    return ImageFont.load_default(size=13)
