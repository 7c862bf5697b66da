"""The last guard before a result leaves: no voxel, position or reference may differ from the segmentation.

It reads the encoded frames with numpy alone, so that a fault of the encoding library cannot hide behind its decoder.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.segmentation import Segmentation
from inference.volume import Volume
from reporter.errors import SegBuildError
from reporter.seg_source import SourceSeries

POSITION_TOLERANCE_MM = 1e-3
"""Between a frame and its source slice; decimal strings of 16 characters are far more exact."""
DIRECTION_TOLERANCE = 1e-3
"""Between direction cosines, and relative between spacings."""
GRID_TOLERANCE_VOXELS = 0.5
"""Between the volume's affine and the source's slice positions, along each axis; more would be a shift."""


def check_seg(dataset: Dataset, source: SourceSeries, volume: Volume, segmentation: Segmentation) -> None:
    """Compare an encoded DICOM SEG with what it was made from.

    Raises:
        SegBuildError: a voxel, frame, position, orientation, spacing or reference differs.
    """
    _check_volume(source, volume)
    _check_references(dataset, source)
    _check_shared(dataset, source)
    frames = _decode(dataset)
    seen: set[tuple[int, int]] = set()
    index_of = {item.sop_instance_uid: index for index, item in enumerate(source.slices)}
    for number, (groups, frame) in enumerate(zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True), 1):
        segment, index = _segment(dataset, groups), index_of.get(_derived_from(groups, number))
        if index is None:
            raise SegBuildError(f"frame {number} refers to an instance that is no slice of the volume")
        if (segment, index) in seen:
            raise SegBuildError(f"frame {number} repeats a slice of segment {segment}")
        seen.add((segment, index))
        position = _numbers(groups.PlanePositionSequence[0].ImagePositionPatient)
        if np.abs(position - source.slices[index].position).max() > POSITION_TOLERANCE_MM:
            raise SegBuildError(f"frame {number} lies off its source slice")
        if not np.array_equal(frame, segmentation.mask[index] == segment):
            raise SegBuildError(f"frame {number} differs from the mask")
    _check_complete(seen, segmentation)


def _check_volume(source: SourceSeries, volume: Volume) -> None:
    """The volume's affine must put each slice, row and column where the source header does: no shift, no mirror."""
    positions = np.array([item.position for item in source.slices])
    indices = np.linalg.solve(volume.affine[:3, :3], (positions - volume.affine[:3, 3]).T).T
    indices[:, 0] -= np.arange(len(positions))
    if np.abs(indices).max() > GRID_TOLERANCE_VOXELS:
        raise SegBuildError("the volume's slices do not lie at the positions of their source instances")
    orientation = np.array(source.slices[0].orientation)
    rows = orientation[3:] * source.pixel_spacing[0]
    columns = orientation[:3] * source.pixel_spacing[1]
    for step, source_step in ((volume.affine[:3, 1], rows), (volume.affine[:3, 2], columns)):
        if np.abs(step - source_step).max() > 10 * DIRECTION_TOLERANCE * np.linalg.norm(source_step):
            raise SegBuildError("the volume's rows or columns run another way than those of its source instances")


def _check_references(dataset: Dataset, source: SourceSeries) -> None:
    expected = {item.sop_instance_uid for item in source.slices}
    series = dataset.ReferencedSeriesSequence
    if len(series) != 1 or series[0].SeriesInstanceUID != source.series_instance_uid:
        raise SegBuildError("the result does not refer to its source series alone")
    named = [item.ReferencedSOPInstanceUID for item in series[0].ReferencedInstanceSequence]
    if len(named) != len(expected) or set(named) != expected:
        raise SegBuildError("the result does not refer to every source instance once")
    if dataset.StudyInstanceUID != source.study_instance_uid:
        raise SegBuildError("the result lies in another study than its source")
    if source.frame_of_reference_uid and dataset.FrameOfReferenceUID != source.frame_of_reference_uid:
        raise SegBuildError("the result has another Frame of Reference than its first source slice")


def _check_shared(dataset: Dataset, source: SourceSeries) -> None:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    orientation = _numbers(shared.PlaneOrientationSequence[0].ImageOrientationPatient)
    if np.abs(orientation - source.slices[0].orientation).max() > DIRECTION_TOLERANCE:
        raise SegBuildError("the result's Image Orientation (Patient) differs from the source's")
    spacing = _numbers(shared.PixelMeasuresSequence[0].PixelSpacing)
    if not np.allclose(spacing, source.pixel_spacing, rtol=DIRECTION_TOLERANCE):
        raise SegBuildError("the result's Pixel Spacing differs from the source's")
    if (dataset.Rows, dataset.Columns) != (source.rows, source.columns):
        raise SegBuildError("the result's frames have another size than the source's")


def _decode(dataset: Dataset) -> NDArray[np.bool_]:
    """Frames as (frame, y, x). BINARY packs bits across frame borders, lowest bit first (PS3.5 8.1.1, annex D)."""
    shape = int(dataset.NumberOfFrames), int(dataset.Rows), int(dataset.Columns)
    count = int(np.prod(shape))
    data = np.frombuffer(dataset.PixelData, np.uint8)
    if dataset.SegmentationType == "BINARY":
        values = np.unpackbits(data, count=count, bitorder="little")
        return values.reshape(shape).astype(np.bool_)
    values = data[:count]
    if not np.isin(values, (0, int(dataset.MaximumFractionalValue))).all():
        raise SegBuildError("a fractional result holds other values than none and all")
    return (values > 0).reshape(shape)


def _segment(dataset: Dataset, groups: Dataset) -> int:
    holder = groups if "SegmentIdentificationSequence" in groups else dataset.SharedFunctionalGroupsSequence[0]
    return int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)


def _derived_from(groups: Dataset, number: int) -> str:
    derivations = groups.get("DerivationImageSequence") or []
    items = derivations[0].SourceImageSequence if len(derivations) == 1 else []
    if len(items) != 1 or items[0].SpatialLocationsPreserved != "YES":
        raise SegBuildError(f"frame {number} names no single source image with preserved locations")
    return str(items[0].ReferencedSOPInstanceUID)


def _check_complete(seen: set[tuple[int, int]], segmentation: Segmentation) -> None:
    expected: set[tuple[int, int]] = set()
    for label in segmentation.labels:
        present = (segmentation.mask == label.number).any(axis=(1, 2))
        expected |= {(label.number, int(index)) for index in np.flatnonzero(present)}
    if expected - seen:
        raise SegBuildError(f"{len(expected - seen)} frames of the mask are missing from the result")
    if int(segmentation.mask.max()) > max(label.number for label in segmentation.labels):
        raise SegBuildError("the mask holds values that are no label of the model")


def _numbers(values: object) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
