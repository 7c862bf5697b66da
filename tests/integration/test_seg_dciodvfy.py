"""dicom3tools' dciodvfy finds no error in a DICOM SEG, whatever its source and kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from inference.phantom import make_phantom
from inference.phantom_dicom import write_ct_series
from inference.read_series import read_series
from inference.segmentation import Segmentation, SegmentLabel
from inference.volume import Volume
from reporter.seg import build_seg
from reporter.seg_file import write_seg
from tests.peers.dcmtk import Dciodvfy
from tests.unit.reporter.seg_cases import IDENTITY, LESION, OPACITY, decoded, make_case, make_segmentation


def lesions_like(volume: Volume) -> np.ndarray:
    """Some soft tissue in the middle third of the slices."""
    mask = ((volume.voxels > -500) & (volume.voxels < -200)).astype(np.uint8)
    third = len(mask) // 3
    mask[:third], mask[2 * third :] = 0, 0
    return mask


def check(dciodvfy: Dciodvfy, seg: FileDataset, folder: Path) -> None:
    write_seg(seg, folder / "seg.dcm")
    assert dciodvfy.errors(folder / "seg.dcm") == []


def test_phantom(dciodvfy: Dciodvfy, tmp_path: Path) -> None:
    phantom = make_phantom(5, shape=(24, 96, 96), spacing_mm=(10.0, 3.6, 3.6), lesions=5)
    paths = write_ct_series(phantom.volume, tmp_path / "ct", seed=5)
    volume = read_series(paths)
    assert phantom.lesion_mask.any()
    seg = build_seg(volume, make_segmentation(phantom.lesion_mask), paths, IDENTITY)
    assert np.array_equal(decoded(seg, volume), phantom.lesion_mask)
    check(dciodvfy, seg, tmp_path)


@pytest.mark.parametrize(
    ("shape", "labels", "empty"),
    [
        ((6, 16, 24), (LESION,), True),
        ((6, 15, 21), (LESION,), False),
        ((6, 15, 21), (LESION,), True),
        ((6, 16, 24), (LESION, OPACITY), False),
        ((6, 16, 24), (LESION, OPACITY), True),
    ],
    ids=["empty", "odd", "odd and empty", "two labels", "two labels, empty"],
)
def test_kinds(
    dciodvfy: Dciodvfy, tmp_path: Path, shape: tuple[int, int, int], labels: tuple[SegmentLabel, ...], empty: bool
) -> None:
    case = make_case(tmp_path / "ct", shape, labels=labels)
    if empty:
        case = case.with_mask(np.zeros(shape, np.uint8))
    identity = replace(IDENTITY, note="degraded", series_version=2, predecessor_series_uid="2.25.7")
    check(dciodvfy, build_seg(case.volume, case.segmentation, case.paths, identity), tmp_path)


def test_bad_headers(dciodvfy: Dciodvfy, tmp_path: Path) -> None:
    case = make_case(tmp_path / "ct")

    def spoil(dataset: FileDataset, index: int) -> None:
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyID", "StudyDate", "Modality"):
            del dataset[keyword]
        dataset.PatientSex = "X"
        dataset.SpacingBetweenSlices = "-2.5"
        dataset.add_new("PixelPaddingValue", "US", 63536)  # the pixels are signed
        dataset.FrameOfReferenceUID = f"1.2.3.{index}"

    case.edit_sources(spoil)
    check(dciodvfy, build_seg(case.volume, case.segmentation, case.paths, IDENTITY), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("empty", [False, True])
def test_real_ct(dciodvfy: Dciodvfy, test_data: Path, tmp_path: Path, empty: bool) -> None:
    paths = sorted((test_data / "chest_lidc0001").glob("*.dcm"))
    volume = read_series(paths)
    mask = np.zeros(volume.voxels.shape, np.uint8) if empty else lesions_like(volume)
    segmentation: Segmentation = make_segmentation(mask)
    seg = build_seg(volume, segmentation, paths, IDENTITY)
    assert np.array_equal(decoded(seg, volume), mask)
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 133
    check(dciodvfy, seg, tmp_path)
