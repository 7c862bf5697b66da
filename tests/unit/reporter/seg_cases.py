"""Small CT series on disk with a segmentation, for the tests of whatever is built from them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset

from inference.phantom_dicom import write_ct_series
from inference.segmentation import CodedConcept, ModelIdentity, Segmentation, SegmentLabel
from inference.volume import Volume
from reporter.seg_identity import SegIdentity

CREATED_AT = 1_700_000_000.0
IDENTITY = SegIdentity("0.1.0", created_at=CREATED_AT)
MODEL = ModelIdentity("chest-lesions", "1.0", "ab" * 32)
ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
LESION = SegmentLabel(1, "Lesion", ABNORMAL, CodedConcept("52988006", "SCT", "Lesion"), (255, 80, 40))
OPACITY = SegmentLabel(2, "Ground glass", ABNORMAL, CodedConcept("112120", "DCM", "Ground glass"), (40, 160, 255))
AXIAL = np.array([[0.0, 0, 0.7, -20], [0, 0.7, 0, -30], [2.5, 0, 0, -100], [0, 0, 0, 1]])
"""Rows run to the left, columns to the back, slices to the head."""


@dataclass(frozen=True)
class SegCase:
    """A series on disk in shuffled order, its volume and a mask."""

    paths: list[Path]
    volume: Volume
    segmentation: Segmentation

    def edit_sources(self, edit: Callable[[FileDataset, int], None]) -> None:
        """Change each source file; `edit` gets the data set and the slice index."""
        index_of = {uid: index for index, uid in enumerate(self.volume.sop_instance_uids)}
        for path in self.paths:
            dataset = dcmread(path)
            edit(dataset, index_of[dataset.SOPInstanceUID])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pydicom remarks upon what is malformed on purpose
                dataset.save_as(path)

    def with_mask(self, mask: NDArray[np.uint8]) -> "SegCase":
        """The same series with another mask."""
        return replace(self, segmentation=replace(self.segmentation, mask=mask))


def make_case(
    directory: Path,
    shape: tuple[int, int, int] = (6, 16, 24),
    *,
    affine: NDArray[np.float64] = AXIAL,
    labels: tuple[SegmentLabel, ...] = (LESION,),
    seed: int = 1,
) -> SegCase:
    """Write a series of noise with an asymmetric mask in its inner slices."""
    random = np.random.default_rng(seed)
    voxels = random.normal(-700, 100, shape).astype(np.float32)
    paths = write_ct_series(Volume(voxels, affine), directory, seed=seed)
    uids = tuple(str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths)
    mask = np.zeros(shape, np.uint8)
    for label in labels:
        blob = random.random(shape) < 0.1
        blob[0], blob[-1] = False, False
        mask[blob] = label.number
    shuffled = [paths[index] for index in random.permutation(len(paths))]
    return SegCase(shuffled, Volume(voxels, affine, uids), make_segmentation(mask, labels))


def make_segmentation(mask: NDArray[np.uint8], labels: tuple[SegmentLabel, ...] = (LESION,)) -> Segmentation:
    """A segmentation around a mask."""
    probabilities = np.zeros((len(labels), 1, 1, 1), np.float16)
    return Segmentation(mask, labels, probabilities, np.eye(4), MODEL, '{"threshold":0.5}', ("CPUExecutionProvider",))


def decoded(seg: FileDataset, volume: Volume) -> NDArray[np.uint8]:
    """The mask that a receiver reads: frames put on the slices whose positions they carry, by pydicom's decoder."""
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    mask = np.zeros(volume.voxels.shape, np.uint8)
    positions = (volume.affine @ np.array([[z, 0, 0, 1] for z in range(len(mask))]).T).T[:, :3]
    for groups, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        distances = np.linalg.norm(positions - position, axis=1)
        assert distances.min() < 1e-3
        holder = groups if "SegmentIdentificationSequence" in groups else seg.SharedFunctionalGroupsSequence[0]
        mask[int(distances.argmin())][frame > 0] = holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return mask
