"""Builds the DICOM Segmentation of a series (PS3.3 A.51) that the usual viewers show at the right place.

The recipe, and why: BINARY and Explicit VR Little Endian on the source grid with a Derivation Image Sequence in each
frame, because OHIF and Weasis break without it; every source instance in the Referenced Series Sequence, those of
omitted empty frames too; FRACTIONAL with 8 bits where Columns is no multiple of 8, because OHIF scrambles unaligned
1-bit frames and Orthanc refuses to serve them.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from highdicom.seg import SegmentationFractionalTypeValues, SegmentationTypeValues
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from inference.segmentation import Segmentation
from inference.volume import Volume
from reporter.errors import SegBuildError
from reporter.seg_check import check_seg
from reporter.seg_codes import (
    MANUFACTURER,
    contributing_equipment,
    local_time,
    segment_descriptions,
    serial_number,
)
from reporter.seg_file import write_seg
from reporter.seg_identity import SegIdentity
from reporter.seg_patient import copy_patient_and_study
from reporter.seg_skeleton import skeletons
from reporter.seg_source import SourceSeries, read_source_series
from reporter.seg_text import ascii_text, described
from reporter.seg_uids import ResultInputs, SegUids, seg_uids

__all__ = ["SegIdentity", "build_seg", "write_seg"]

# at INFO highdicom writes the UIDs of sources into the log, its warnings speak of the stand-ins that it is given
logging.getLogger("highdicom").setLevel(logging.ERROR)

SERIES_NUMBER_BASE = 9000
"""Added to the source's Series Number: results stand behind the acquisitions in a list of series."""
LARGEST_SOURCE_NUMBER = 2**31 - 1 - SERIES_NUMBER_BASE
"""An IS value has 32 bits (PS3.5 6.2)."""
NO_LESION = "No lesion found"


def build_seg(
    volume: Volume, segmentation: Segmentation, sources: Sequence[Path], identity: SegIdentity
) -> FileDataset:
    """Build the DICOM SEG of a segmentation, check it against its inputs, and return it as it will be written.

    Empty frames are omitted. An empty mask becomes a result that says so: one empty frame per label on the middle
    slice, "No lesion found" in Series Description and Content Description, and references to all sources.

    Args:
        volume: names the source of each slice in `sop_instance_uids`.
        segmentation: its mask lies on the volume's grid.
        sources: the files of the source series, in any order.
        identity: versions and time.

    Raises:
        SegBuildError: a source header lacks the geometry or identifiers that a SEG needs, or the result differs
            from its inputs in a voxel, a position or a reference.
    """
    if segmentation.mask.shape != volume.voxels.shape:
        raise SegBuildError(f"mask {segmentation.mask.shape} and volume {volume.voxels.shape} differ in shape")
    identity = identity if identity.created_at is not None else replace(identity, created_at=time.time())
    source = read_source_series(sources, volume.sop_instance_uids)
    uids = seg_uids(
        ResultInputs(
            source.study_instance_uid,
            source.series_instance_uid,
            volume.sop_instance_uids,
            segmentation.model,
            segmentation.pixel_settings,
            identity.software_version,
            identity.note,
            identity.series_version,
        )
    )
    try:
        built = _highdicom_seg(volume, segmentation, source, identity, uids)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        # highdicom's answers to what it does not support; their texts may quote the header
        raise SegBuildError(f"highdicom could not encode the segmentation ({type(error).__name__})") from error
    _fix_what_differs_each_run(built, identity, uids)
    _name_predecessor(built, source, identity)
    result = _as_read(built)
    copy_patient_and_study(source.header, result)
    result = _as_read(result)
    check_seg(result, source, volume, segmentation)
    return result


def _highdicom_seg(
    volume: Volume, segmentation: Segmentation, source: SourceSeries, identity: SegIdentity, uids: SegUids
) -> highdicom.seg.Segmentation:
    images = skeletons(source, source.frame_of_reference_uid or uids.frame_of_reference_uid, volume.spacing[0])
    pixels: NDArray[np.uint8] = segmentation.mask
    empty = not pixels.any()
    further: list[Dataset] = []
    if empty:
        middle = len(images) // 2
        pixels = pixels[middle : middle + 1]
        further = images[:middle] + images[middle + 1 :]
        images = images[middle : middle + 1]
    when = local_time(identity)
    return highdicom.seg.Segmentation(
        source_images=images,
        further_source_images=further or None,
        pixel_array=pixels.copy(),  # highdicom scales a fractional mask in place
        segment_descriptions=segment_descriptions(segmentation, source),
        series_instance_uid=uids.series_instance_uid,
        sop_instance_uid=uids.sop_instance_uid,
        series_number=SERIES_NUMBER_BASE + min(max(source.series_number or 0, 0), LARGEST_SOURCE_NUMBER),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=ascii_text(segmentation.model.name),
        software_versions=f"Segwatch {ascii_text(identity.software_version, 40)}",
        device_serial_number=serial_number(segmentation.model, identity),
        contributing_equipment=[contributing_equipment(segmentation.model, identity)],
        content_label="SEGMENTATION",
        content_creator_name=f"{MANUFACTURER}^",
        content_description=_content_description(segmentation, empty),
        series_description=_series_description(segmentation, identity, empty),
        series_date=when.date(),
        series_time=when.time(),
        content_date=when.date(),
        content_time=when.time(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        **_pixel_encoding(source.columns),
    )


def _pixel_encoding(columns: int) -> dict[str, Any]:
    if columns % 8 == 0:
        return {"segmentation_type": SegmentationTypeValues.BINARY}
    return {
        "segmentation_type": SegmentationTypeValues.FRACTIONAL,
        "fractional_type": SegmentationFractionalTypeValues.OCCUPANCY,
        "max_fractional_value": 255,
    }


def _series_description(segmentation: Segmentation, identity: SegIdentity, empty: bool) -> str:
    what = NO_LESION if empty else "AI segmentation"
    version = f"v{identity.series_version}" if identity.series_version > 1 else ""
    suffix = " ".join(part for part in (identity.note, version) if part)
    return described(what, segmentation.model.name, segmentation.model.version, suffix)


def _content_description(segmentation: Segmentation, empty: bool) -> str:
    if empty:
        return f"{NO_LESION} by the AI model"
    return ascii_text("AI segmentation of " + ", ".join(label.name for label in segmentation.labels))


def _fix_what_differs_each_run(built: Dataset, identity: SegIdentity, uids: SegUids) -> None:
    """Same inputs, same bytes: an archive that already holds the instance must not see another content."""
    when = local_time(identity)
    built.InstanceCreationDate, built.InstanceCreationTime = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
    for item in built.ContributingEquipmentSequence:
        item.ContributionDateTime = when.strftime("%Y%m%d%H%M%S")
    for item in (*built.DimensionOrganizationSequence, *built.DimensionIndexSequence):
        item.DimensionOrganizationUID = uids.dimension_organization_uid


def _name_predecessor(built: Dataset, source: SourceSeries, identity: SegIdentity) -> None:
    """A SEG has no predecessor attribute: versions share the Tracking UID and name the earlier series."""
    if identity.predecessor_series_uid is None:
        return
    related = Dataset()
    related.StudyInstanceUID = source.study_instance_uid
    related.SeriesInstanceUID = identity.predecessor_series_uid
    related.PurposeOfReferenceCodeSequence = []  # type 2; no standard code says "earlier version of this result"
    built.RelatedSeriesSequence = [related]


def _as_read(dataset: Dataset) -> FileDataset:
    """The data set as a receiver would read it, each element undecoded."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return dcmread(buffer)
