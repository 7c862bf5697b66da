"""Keeps a segmentation in one durable file, so that a crash after segmenting does not segment again.

The file is an npz without pickles; the zip's CRC-32 of every member is what tells a damaged one.
"""

import json
import logging
import os
import struct
import tempfile
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.segmentation import CodedConcept, ModelIdentity, Segmentation, SegmentLabel

_LOGGER = logging.getLogger(__name__)

FORMAT = 1
"""Raised when the layout changes; a file of another format is made anew."""

_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""What zipfile and NumPy raise at a damaged file; RuntimeError for "encrypted" or unknown compression."""


def save_segmentation(segmentation: Segmentation, path: Path) -> None:
    """Write a segmentation; when this returns, the file survives a power failure, and there is no half of one.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    bits = max(1, int(segmentation.mask.max(initial=0)).bit_length())
    planes = [np.packbits(segmentation.mask.reshape(-1) >> bit & 1) for bit in range(bits)]
    header = {
        "format": FORMAT,
        "shape": segmentation.mask.shape,
        "labels": [asdict(label) for label in segmentation.labels],
        "model": asdict(segmentation.model),
        "pixel_settings": segmentation.pixel_settings,
        "providers": segmentation.providers,
    }
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
                mask=np.stack(planes),
                probabilities=segmentation.probabilities,
                probability_affine=segmentation.probability_affine,
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def load_segmentation(
    path: Path, *, shape: tuple[int, ...], model: ModelIdentity, pixel_settings: str
) -> Segmentation | None:
    """Read a segmentation back, if it is whole and was made by this very model with these very settings.

    Args:
        path: as given to `save_segmentation`.
        shape: (z, y, x) of the volume that it must fit.
        model: who would make it now.
        pixel_settings: how it would be made now.

    Returns:
        None where there is no file, or one that does not fit or is damaged: the caller segments again.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise ValueError("a member fails its check sum")
        with np.load(path, allow_pickle=False) as arrays:
            return _restore(dict(arrays), shape, model, pixel_settings)
    except FileNotFoundError:
        return None
    except _DAMAGE as error:
        _LOGGER.warning("the kept segmentation %s cannot be used and is made again: %s", path.name, error)
        return None


def _restore(
    arrays: dict[str, NDArray[Any]], shape: tuple[int, ...], model: ModelIdentity, pixel_settings: str
) -> Segmentation:
    """Rebuild the record.

    Raises:
        ValueError: it was made otherwise, or the arrays do not belong together.
        KeyError, TypeError: an entry is missing or of the wrong type.
    """
    header = json.loads(arrays["header"].tobytes())
    if header["format"] != FORMAT:
        raise ValueError(f"it has format {header['format']}, this software writes {FORMAT}")
    found = ModelIdentity(**header["model"])
    if found != model or header["pixel_settings"] != pixel_settings:
        raise ValueError("it was made by another model or with other settings")
    if tuple(header["shape"]) != tuple(shape):
        raise ValueError(f"it has shape {tuple(header['shape'])}, the volume has {tuple(shape)}")
    labels = tuple(_label(entry) for entry in header["labels"])
    probabilities, affine = arrays["probabilities"], arrays["probability_affine"]
    if probabilities.dtype != np.float16 or probabilities.ndim != 4 or probabilities.shape[0] != len(labels):
        raise ValueError("its probabilities do not fit its labels")
    if affine.shape != (4, 4):
        raise ValueError("its affine is no 4 x 4 matrix")
    mask = np.zeros(shape, dtype=np.uint8)
    for bit, plane in enumerate(arrays["mask"]):
        mask |= np.unpackbits(plane, count=mask.size).reshape(shape) << np.uint8(bit)
    return Segmentation(mask, labels, probabilities, affine, found, pixel_settings, tuple(header["providers"]))


def _label(entry: dict[str, Any]) -> SegmentLabel:
    red, green, blue = entry["rgb"]
    concepts = {key: CodedConcept(**entry[key]) for key in ("category", "type")}
    return SegmentLabel(entry["number"], entry["name"], concepts["category"], concepts["type"], (red, green, blue))


def _sync_directory(directory: Path) -> None:
    """Make a rename durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
