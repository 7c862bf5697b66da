"""The DICOM SEG: every sentence of the recipe, on small series."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread
from pydicom.dataset import FileDataset

from reporter.errors import SegBuildError
from reporter.seg import build_seg
from reporter.seg_file import read_series_uid, write_seg
from reporter.seg_identity import SegIdentity
from tests.unit.reporter.seg_cases import AXIAL, IDENTITY, LESION, OPACITY, SegCase, decoded, make_case


@pytest.fixture
def case(tmp_path: Path) -> SegCase:
    return make_case(tmp_path / "ct")


def build(case: SegCase, identity: SegIdentity = IDENTITY) -> FileDataset:
    return build_seg(case.volume, case.segmentation, case.paths, identity)


def test_mask_comes_back_voxel_for_voxel_whatever_the_file_order(case: SegCase) -> None:
    for paths in (case.paths, case.paths[::-1], sorted(case.paths)):
        seg = build_seg(case.volume, case.segmentation, paths, IDENTITY)
        assert np.array_equal(decoded(seg, case.volume), case.segmentation.mask)


@pytest.mark.parametrize(
    "affine",
    [
        pytest.param(AXIAL, id="axial"),
        pytest.param(AXIAL @ np.diag([1, -1, -1, 1.0]), id="prone"),
        pytest.param(AXIAL @ np.diag([-1, 1, -1, 1.0]), id="head last"),
        pytest.param(np.array([[0, 0, 0.7, 5], [2.5, 0, 0, 7], [0, -0.7, 0, 9], [0, 0, 0, 1.0]]), id="coronal"),
        pytest.param(np.array([[2.5, 0, 0, 5], [0, 0, 0.7, 7], [0, -0.7, 0, 9], [0, 0, 0, 1.0]]), id="sagittal"),
        pytest.param(
            np.array([[0.5, 0.1, 0.69, 1], [-0.2, 0.69, -0.06, 2], [2.44, -0.01, 0.13, 3], [0, 0, 0, 1]]), id="oblique"
        ),
    ],
)
def test_any_orientation(tmp_path: Path, affine: np.ndarray) -> None:
    if not np.isclose(affine[:3, 0] @ affine[:3, 1], 0):
        affine = _orthogonal(affine)
    case = make_case(tmp_path, affine=affine)
    assert np.array_equal(decoded(build(case), case.volume), case.segmentation.mask)


def _orthogonal(affine: np.ndarray) -> np.ndarray:
    steps, _ = np.linalg.qr(affine[:3, :3])
    result = affine.copy()
    result[:3, :3] = steps * np.linalg.norm(affine[:3, :3], axis=0)
    return result


def test_recipe_for_viewers(case: SegCase) -> None:
    seg = build(case)
    assert seg.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
    assert (seg.SegmentationType, seg.BitsAllocated, seg.SegmentsOverlap) == ("BINARY", 1, "NO")
    source = dcmread(case.paths[0], stop_before_pixels=True)
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "PatientBirthDate"):
        assert seg[keyword].value == source[keyword].value
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    occupied = int(case.segmentation.mask.any(axis=(1, 2)).sum())
    assert seg.NumberOfFrames == occupied < len(case.paths)
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    named = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert named == set(case.volume.sop_instance_uids)
    for groups in seg.PerFrameFunctionalGroupsSequence:
        [derivation] = groups.DerivationImageSequence
        [image] = derivation.SourceImageSequence
        assert image.SpatialLocationsPreserved == "YES"
    [segment] = seg.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    [algorithm] = segment.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    assert segment.TrackingUID.startswith("2.25.")
    assert segment.TrackingID
    assert str(seg.ContentCreatorName)


def test_equipment_names_algorithm_and_software(case: SegCase) -> None:
    seg = build(case)
    assert (seg.Manufacturer, seg.ManufacturerModelName) == ("Segwatch", "chest-lesions")
    assert seg.DeviceSerialNumber
    assert "0.1.0" in str(seg.SoftwareVersions)
    ours = seg.ContributingEquipmentSequence[0]
    assert (ours.Manufacturer, ours.ManufacturerModelName) == ("Segwatch", "chest-lesions")
    assert list(ours.SoftwareVersions) == ["1.0", "Segwatch 0.1.0"]
    assert seg.SeriesDescription == "AI segmentation: chest-lesions 1.0"
    assert seg.SeriesNumber >= 9000


def test_same_inputs_give_the_same_bytes(case: SegCase, tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        write_seg(build(case), tmp_path / name)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    assert read_series_uid(tmp_path / "a.dcm") == build(case).SeriesInstanceUID


@pytest.mark.parametrize("change", ["model", "settings", "software", "note", "slices"])
def test_other_inputs_give_other_uids_and_keep_the_tracking_uid(case: SegCase, change: str) -> None:
    first, other, identity = build(case), case, IDENTITY
    if change == "model":
        model = replace(case.segmentation.model, sha256="cd" * 32)
        other = replace(case, segmentation=replace(case.segmentation, model=model))
    elif change == "settings":
        other = replace(case, segmentation=replace(case.segmentation, pixel_settings="{}"))
    elif change == "software":
        identity = replace(identity, software_version="0.2.0")
    elif change == "note":
        identity = replace(identity, note="degraded on purpose")
    else:
        other = _without_last_slice(case)
    second = build_seg(other.volume, other.segmentation, other.paths, identity)
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID != second.SeriesInstanceUID
    assert first.SegmentSequence[0].TrackingUID == second.SegmentSequence[0].TrackingUID


def _without_last_slice(case: SegCase) -> SegCase:
    volume = replace(case.volume, voxels=case.volume.voxels[:-1], sop_instance_uids=case.volume.sop_instance_uids[:-1])
    return replace(case, volume=volume).with_mask(case.segmentation.mask[:-1])


def test_note_and_version_stand_in_the_description_and_the_predecessor_is_named(case: SegCase) -> None:
    seg = build(case, replace(IDENTITY, note="degraded", series_version=2, predecessor_series_uid="2.25.7"))
    assert seg.SeriesDescription == "AI segmentation: chest-lesions 1.0 degraded v2"
    assert seg.RelatedSeriesSequence[0].SeriesInstanceUID == "2.25.7"


def test_empty_mask_is_a_result_that_says_so(case: SegCase) -> None:
    case = case.with_mask(np.zeros_like(case.segmentation.mask))
    seg = build(case)
    assert seg.NumberOfFrames == 1
    assert not decoded(seg, case.volume).any()
    assert seg.SeriesDescription.startswith("No lesion found")
    assert seg.ContentDescription.startswith("No lesion found")
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(case.paths)
    assert float(seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices) == 2.5


@pytest.mark.parametrize("shape", [(5, 15, 21), (5, 16, 20), (4, 7, 9)])
@pytest.mark.parametrize("empty", [False, True])
def test_columns_that_are_no_multiple_of_8_become_fractional(
    tmp_path: Path, shape: tuple[int, int, int], empty: bool
) -> None:
    case = make_case(tmp_path, shape)
    if empty:
        case = case.with_mask(np.zeros(shape, np.uint8))
    seg = build(case)
    assert (seg.SegmentationType, seg.BitsAllocated) == ("FRACTIONAL", 8)
    assert set(np.unique(seg.pixel_array)) <= {0, seg.MaximumFractionalValue}
    assert np.array_equal(decoded(seg, case.volume), case.segmentation.mask)


def test_odd_rows_stay_binary_when_columns_are_aligned(tmp_path: Path) -> None:
    case = make_case(tmp_path, (5, 13, 24))
    seg = build(case)
    assert seg.SegmentationType == "BINARY"
    assert np.array_equal(decoded(seg, case.volume), case.segmentation.mask)


def test_several_labels_one_of_them_not_found(tmp_path: Path) -> None:
    case = make_case(tmp_path, labels=(LESION, OPACITY))
    assert np.array_equal(decoded(build(case), case.volume), case.segmentation.mask)
    only = case.with_mask(np.where(case.segmentation.mask == 2, 2, 0).astype(np.uint8))
    seg = build(only)
    assert np.array_equal(decoded(seg, case.volume), only.segmentation.mask)
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["Lesion", "Ground glass"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=arrays(np.uint8, (6, 16, 24), elements=st.sampled_from([0, 0, 0, 1])))
def test_every_mask_survives(case: SegCase, mask: np.ndarray) -> None:
    assert np.array_equal(decoded(build(case.with_mask(mask)), case.volume), mask)


def test_mask_of_another_shape_is_refused(case: SegCase) -> None:
    with pytest.raises(SegBuildError, match="shape"):
        build(case.with_mask(case.segmentation.mask[:-1]))


def test_values_that_are_no_label_are_refused(case: SegCase) -> None:
    with pytest.raises(SegBuildError):
        build(case.with_mask(case.segmentation.mask * 7))


def test_a_slice_without_a_source_file_is_refused(case: SegCase) -> None:
    with pytest.raises(SegBuildError, match="1 of 6 slices have no file"):
        build_seg(case.volume, case.segmentation, case.paths[1:], IDENTITY)


def test_a_volume_without_sources_is_refused(case: SegCase) -> None:
    with pytest.raises(SegBuildError, match="no source instances"):
        build_seg(replace(case.volume, sop_instance_uids=()), case.segmentation, case.paths, IDENTITY)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(np.diag([-1.0, 1, 1, 1]), id="slices reversed"),
        pytest.param(np.diag([1.0, 1, -1, 1]), id="columns mirrored"),
        pytest.param(np.diag([1.0, -1, 1, 1]), id="rows mirrored"),
    ],
)
def test_a_mirrored_volume_is_refused(case: SegCase, wrong: np.ndarray) -> None:
    volume = replace(case.volume, affine=case.volume.affine @ wrong)
    with pytest.raises(SegBuildError):
        build_seg(volume, case.segmentation, case.paths, IDENTITY)


def test_a_volume_shifted_by_a_slice_is_refused(case: SegCase) -> None:
    uids = case.volume.sop_instance_uids
    volume = replace(case.volume, sop_instance_uids=(*uids[1:], uids[0]))
    with pytest.raises(SegBuildError, match="positions of their source"):
        build_seg(volume, case.segmentation, case.paths, IDENTITY)
