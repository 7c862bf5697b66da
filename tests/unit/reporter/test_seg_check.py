"""The guard before a result leaves: each way in which it could lie is noticed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from dicom_listener.series import series_key
from reporter.errors import SegBuildError
from reporter.seg import build_seg
from reporter.seg_check import check_seg
from reporter.seg_source import SourceSeries, read_source_series
from tests.unit.reporter.seg_cases import IDENTITY, SegCase, make_case


@pytest.fixture
def case(tmp_path: Path) -> SegCase:
    return make_case(tmp_path)


def _source(case: SegCase) -> SourceSeries:
    return read_source_series(case.paths, case.volume.sop_instance_uids)


def _frames(seg: Dataset) -> np.ndarray:
    shape = (int(seg.NumberOfFrames), seg.Rows, seg.Columns)
    bits = np.unpackbits(np.frombuffer(seg.PixelData, np.uint8), bitorder="little")
    return bits[: int(np.prod(shape))].reshape(shape).copy()


def _repack(seg: Dataset, frames: np.ndarray) -> None:
    packed = np.packbits(frames.ravel(), bitorder="little").tobytes()
    seg.PixelData = packed + b"\0" * (len(packed) % 2)


def _mirror(seg: FileDataset) -> None:
    _repack(seg, _frames(seg)[:, :, ::-1])


def _shift(seg: FileDataset) -> None:
    _repack(seg, np.roll(_frames(seg), 1, axis=2))


def _one_voxel(seg: FileDataset) -> None:
    frames = _frames(seg)
    frames[0, 3, 3] ^= 1
    _repack(seg, frames)


def _swap_frames(seg: FileDataset) -> None:
    _repack(seg, _frames(seg)[::-1])


def _swap_positions(seg: FileDataset) -> None:
    first, second = seg.PerFrameFunctionalGroupsSequence[0:2]
    first.PlanePositionSequence, second.PlanePositionSequence = (
        second.PlanePositionSequence,
        first.PlanePositionSequence,
    )


def _half_a_slice_off(seg: FileDataset) -> None:
    position = seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    position.ImagePositionPatient = [*position.ImagePositionPatient[:2], position.ImagePositionPatient[2] + 1.25]


def _other_source(seg: FileDataset) -> None:
    images = [
        groups.DerivationImageSequence[0].SourceImageSequence[0] for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    images[0].ReferencedSOPInstanceUID = images[1].ReferencedSOPInstanceUID


def _foreign_source(seg: FileDataset) -> None:
    groups = seg.PerFrameFunctionalGroupsSequence[0]
    groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def _no_derivation(seg: FileDataset) -> None:
    seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence = []


def _locations_not_preserved(seg: FileDataset) -> None:
    groups = seg.PerFrameFunctionalGroupsSequence[0]
    groups.DerivationImageSequence[0].SourceImageSequence[0].SpatialLocationsPreserved = "NO"


def _a_reference_missing(seg: FileDataset) -> None:
    del seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]


def _other_series(seg: FileDataset) -> None:
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


def _other_study(seg: FileDataset) -> None:
    seg.StudyInstanceUID = "1.2.3"


def _other_frame_of_reference(seg: FileDataset) -> None:
    seg.FrameOfReferenceUID = "1.2.3"


def _other_orientation(seg: FileDataset) -> None:
    shared = seg.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, -1, 0]


def _other_spacing(seg: FileDataset) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.75]


def _frame_dropped(seg: FileDataset) -> None:
    frames = _frames(seg)[1:]
    del seg.PerFrameFunctionalGroupsSequence[0]
    seg.NumberOfFrames = len(frames)
    _repack(seg, frames)


LIES = [
    _mirror, _shift, _one_voxel, _swap_frames, _swap_positions, _half_a_slice_off, _other_source, _foreign_source,
    _no_derivation, _locations_not_preserved, _a_reference_missing, _other_series, _other_study,
    _other_frame_of_reference, _other_orientation, _other_spacing, _frame_dropped,
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_noticed(case: SegCase, lie: Callable[[FileDataset], None]) -> None:
    seg = build_seg(case.volume, case.segmentation, case.paths, IDENTITY)
    source = _source(case)
    check_seg(seg, source, case.volume, case.segmentation)
    lie(seg)
    with pytest.raises(SegBuildError):
        check_seg(seg, source, case.volume, case.segmentation)


def test_the_mask_is_left_as_it_is(tmp_path: Path) -> None:
    case = make_case(tmp_path / "odd", (5, 15, 21))
    before = case.segmentation.mask.copy()
    build_seg(case.volume, case.segmentation, case.paths, IDENTITY)
    assert np.array_equal(case.segmentation.mask, before)  # highdicom scales in place


def test_differing_frames_of_reference_are_told_with_the_key_of_the_series(
    case: SegCase, caplog: pytest.LogCaptureFixture
) -> None:
    header = dcmread(case.paths[0])
    header.FrameOfReferenceUID = "1.2.3.4"
    header.save_as(case.paths[0])
    read_source_series(case.paths, case.volume.sop_instance_uids)
    (line,) = caplog.messages
    assert series_key(header.StudyInstanceUID, header.SeriesInstanceUID) in line
    assert header.SeriesInstanceUID not in line
