"""Real files of many scanners, and files that are odd on purpose: read, or refused by name, never a traceback."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from inference.errors import NoInstancesError, RejectionReason, SeriesRejectedError
from inference.read_series import ReadLimits, find_series, read_series
from inference.volume import Volume

ONE, TWO = ReadLimits(minimum_slices=1), ReadLimits(minimum_slices=2)
Reason = RejectionReason


def codes(volume: Volume) -> list[str]:
    return [warning.code for warning in volume.warnings]


READABLE = [
    # folder, slices, spacing (z, y, x), warnings
    ("chest_lidc0001", 133, (2.5, 0.703, 0.703), ["differing_frame_of_reference"]),
    ("chest_cmbcrc_lungkernel", 100, (2.5, 0.898, 0.898), []),
    ("abdomen_cptac_lungbases", 35, (5.0, 0.859, 0.859), []),
    ("abdomen_totalseg_j2k", 20, (2.0, 0.977, 0.977), []),
    ("minimal_header", 2, (1.0, 0.625, 0.625), ["missing_frame_of_reference", "missing_modality"]),
    ("legacy_seg_lungfcp/ct", 9, (1.0, 0.760, 0.760), []),
    ("chest_lidc_stacks/LIDC-IDRI-0001", 16, (2.5, 0.703, 0.703), []),
    ("chest_lidc_stacks/LIDC-IDRI-0002", 12, (1.25, 0.682, 0.682), []),
    ("chest_lidc_stacks/LIDC-IDRI-0003", 11, (2.5, 0.820, 0.820), []),
]


@pytest.mark.parametrize(("folder", "slices", "spacing", "warnings"), READABLE, ids=[row[0] for row in READABLE])
def test_series_that_are_read(
    test_data: Path, folder: str, slices: int, spacing: tuple[float, float, float], warnings: list[str]
) -> None:
    (paths,) = find_series(test_data / folder)
    volume = read_series(paths, TWO)
    assert volume.voxels.shape == (slices, 512, 512)
    assert volume.spacing == pytest.approx(spacing, abs=1e-3)
    assert codes(volume) == warnings
    assert len(set(volume.sop_instance_uids)) == slices
    assert volume.voxels.min() == -1024
    assert volume.affine[2, 0] > 0  # these are axial: slices go from feet to head
    assert 0.1 < (volume.voxels > -200).mean() < 0.9  # patient and air


REJECTED = [
    ("legacy_seg_lungfcp/seg", Reason.SEGMENTATION_AS_CT),
    ("odd_geometry_ct/gantrytilting", Reason.GANTRY_TILT),
    ("odd_geometry_ct/sliceincrement/001", Reason.MISSING_SLICES),
    ("odd_geometry_ct/sliceincrement/002", Reason.TILT_AND_MISSING_SLICES),
    ("odd_geometry_ct/notavolume", Reason.DUPLICATE_POSITIONS),
    ("odd_geometry_ct/slicecount", Reason.NOT_CT),
    ("odd_geometry_ct/sliceorientation", Reason.NOT_CT),
    ("odd_enhanced_ct/dicom_4d", Reason.INVALID_SOP_CLASS),
    ("odd_enhanced_ct/dicom_4d_enhanced", Reason.SECONDARY_CAPTURE),
    ("interop_highdicom/ct_source", Reason.MISSING_SLICES),
    ("interop_dcmqi/segmentations/24x38x3/multiframe", Reason.MULTI_FRAME),
]


@pytest.mark.parametrize(("folder", "reason"), REJECTED, ids=[row[0] for row in REJECTED])
def test_series_that_are_refused(test_data: Path, folder: str, reason: Reason) -> None:
    for paths in find_series(test_data / folder):
        with pytest.raises(SeriesRejectedError) as caught:
            read_series(paths, TWO if len(paths) > 1 else ONE)
        assert caught.value.reason is reason


def test_a_whole_folder_of_one_wrong_kind_is_refused_for_that_kind(test_data: Path) -> None:
    paths = sorted((test_data / "odd_enhanced_ct" / "dicom_4d").glob("*.dcm"))
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(paths, TWO)
    assert caught.value.reason is Reason.INVALID_SOP_CLASS


def test_an_enhanced_ct_is_refused(test_data: Path) -> None:
    with pytest.raises(SeriesRejectedError) as caught:
        read_series([test_data / "odd_enhanced_ct" / "eCT_Supplemental.dcm"], ONE)
    assert caught.value.reason is Reason.MULTI_FRAME


def test_files_of_two_series_are_refused(test_data: Path) -> None:
    paths = [path for group in find_series(test_data / "chest_slices_tcga") for path in group]
    with pytest.raises(SeriesRejectedError) as caught:
        read_series(paths, TWO)
    assert caught.value.reason is Reason.MIXED_SERIES


@pytest.mark.parametrize("folder", ["chest_slices_tcga", "covid_slices_nysbu"])
def test_single_slices_of_many_scanners_are_read(test_data: Path, folder: str) -> None:
    groups = find_series(test_data / folder)
    assert len(groups) >= 13
    for paths in groups:
        volume = read_series(paths, ONE)
        assert set(codes(volume)) <= {"lossy_compression", "unusual_rescale_type"}
        assert volume.voxels.min() >= -1024
        assert 500 < volume.voxels.max() < 5000


LOSSLESS = ("1.2", "1.2.1", "1.2.1.99", "1.2.2", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.90", "1.2.5")
LOSSY = {"1.2.4.50": 16.5, "1.2.4.51": 4, "1.2.4.53": 4, "1.2.4.55": 4, "1.2.4.81": 1, "1.2.4.91": 4}
"""Mean absolute difference from the lossless image, HU; .50 has 8 bits for 8000 HU, and 12 bits have steps of 2."""


def read_syntax(test_data: Path, syntax: str) -> Volume:
    (path,) = (test_data / "odd_transfer_syntaxes").glob(f"CTImage*_1.2.840.10008.{syntax}.dcm")
    return read_series([path], ONE)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_syntaxes_give_the_same_hounsfield_units(test_data: Path, syntax: str) -> None:
    volume = read_syntax(test_data, syntax)
    np.testing.assert_array_equal(volume.voxels, read_syntax(test_data, "1.2.1").voxels)
    assert codes(volume) == []


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_syntaxes_are_close_and_warned_of(test_data: Path, syntax: str) -> None:
    volume = read_syntax(test_data, syntax)
    difference = np.abs(volume.voxels - read_syntax(test_data, "1.2.1").voxels)
    assert difference.mean() < LOSSY[syntax]
    assert codes(volume) == ["lossy_compression"]


def test_every_syntax_of_the_folder_is_tested(test_data: Path) -> None:
    assert len(list((test_data / "odd_transfer_syntaxes").glob("CTImage*.dcm"))) == len(LOSSLESS) + len(LOSSY)


@pytest.mark.parametrize("syntax", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_a_truncated_file_of_any_syntax_is_refused(test_data: Path, tmp_path: Path, syntax: str, share: float) -> None:
    (path,) = (test_data / "odd_transfer_syntaxes").glob(f"CTImage*_1.2.840.10008.{syntax}.dcm")
    content = path.read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SeriesRejectedError) as caught:
        read_series([tmp_path / "cut.dcm"], ONE)
    assert caught.value.reason in (Reason.UNDECODABLE_PIXELS, Reason.UNREADABLE_FILE)


def test_odd_files_never_give_a_traceback(test_data: Path) -> None:
    outcomes: dict[str, int] = {}
    for path in sorted(p for p in (test_data / "odd_pydicom").rglob("*") if p.is_file()):
        try:
            read_series([path], ONE)
            outcome = "read"
        except SeriesRejectedError as error:
            outcome = error.reason.value
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes["read"] >= 3
    assert len(outcomes) >= 5


def test_odd_folders_never_give_a_traceback(test_data: Path) -> None:
    for folder in sorted(p for p in test_data.rglob("*") if p.is_dir()):
        try:
            groups = find_series(folder)
        except NoInstancesError:
            continue
        for paths in groups[:3]:
            try:
                read_series(paths[:4], TWO)
            except SeriesRejectedError as error:
                assert error.detail


@pytest.mark.parametrize("seed", range(60))
def test_damaged_bytes_never_give_a_traceback(test_data: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    files = sorted((test_data / "odd_transfer_syntaxes").glob("CTImage*.dcm"))
    content = bytearray(files[seed % len(files)].read_bytes())
    for place in rng.integers(128, 4000 if seed % 2 else len(content), size=20):
        content[place] = rng.integers(256)
    (tmp_path / "damaged.dcm").write_bytes(content)
    try:
        read_series([tmp_path / "damaged.dcm"], ONE)
    except SeriesRejectedError as error:
        assert error.detail


def test_each_slice_of_a_real_series_is_the_file_at_its_position(test_data: Path) -> None:
    """Against pydicom alone: stored value - 1024, its padding of -2000 clipped to air."""
    (paths,) = find_series(test_data / "chest_lidc0001")
    volume = read_series(paths, TWO)
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in map(dcmread, paths)}
    for k in range(0, 133, 12):
        source = by_uid[volume.sop_instance_uids[k]]
        np.testing.assert_allclose((volume.affine @ [k, 0, 0, 1])[:3], source.ImagePositionPatient, atol=1e-3)
        np.testing.assert_array_equal(volume.voxels[k], np.maximum(source.pixel_array.astype(float) - 1024, -1024))
