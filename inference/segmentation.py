"""`Segmentation`: what a segmenter says about a volume, with all that later rooms need to judge and encode it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CodedConcept:
    """A coded concept (PS3.3 8.8): value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class SegmentLabel:
    """One label of a model's output and how DICOM names it."""

    number: int
    """Value in the mask and Segment Number, from 1."""
    name: str
    """Segment Label."""
    category: CodedConcept
    """Segmented Property Category."""
    type: CodedConcept
    """Segmented Property Type."""
    rgb: tuple[int, int, int]
    """Recommended display colour, 0..255 each."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model made a segmentation."""

    name: str
    version: str
    sha256: str
    """Of the ONNX file, 64 hexadecimal digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Labels on the source grid and probabilities on the model's grid.

    Whoever makes one guarantees that `mask` lies on the very grid of the `Volume` it was made from.
    """

    mask: NDArray[np.uint8]
    """(z, y, x) on the volume's grid: 0 background, else a label's number."""
    labels: tuple[SegmentLabel, ...]
    probabilities: NDArray[np.float16]
    """(label, z, y, x) on the model's grid, 0..1, in the order of `labels`."""
    probability_affine: NDArray[np.float64]
    """(4, 4), mm, as `Volume.affine`, for the model's grid."""
    model: ModelIdentity
    pixel_settings: str
    """Canonical JSON of every setting that changes pixels (spacing, patch, overlap, threshold, ...)."""
    providers: tuple[str, ...]
    """Execution providers that the session really ran with."""
