import shutil
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference.phantom import make_phantom
from inference.phantom_dicom import PhantomIdentity, write_ct_series
from inference.volume import Volume

VOLUME = make_phantom(0, shape=(6, 48, 56), spacing_mm=(7.3, 6.1, 5.7)).volume


def test_series_reads_back_within_half_a_hounsfield_unit(tmp_path: Path) -> None:
    paths = write_ct_series(VOLUME, tmp_path / "ct", seed=1)
    assert len(paths) == 6
    for index, path in enumerate(paths):
        data = pydicom.dcmread(path)
        hu = data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)
        assert np.abs(hu - VOLUME.voxels[index]).max() <= 0.5
        expected = (VOLUME.affine @ [index, 0, 0, 1])[:3]
        np.testing.assert_allclose(np.array(data.ImagePositionPatient, dtype=float), expected, atol=1e-6)
    assert [float(value) for value in data.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    assert [float(value) for value in data.PixelSpacing] == pytest.approx([6.1, 5.7])


def test_one_series_has_one_frame_of_reference_and_distinct_instances(tmp_path: Path) -> None:
    read = [pydicom.dcmread(path) for path in write_ct_series(VOLUME, tmp_path, seed=1)]
    assert len({data.FrameOfReferenceUID for data in read}) == 1
    assert len({data.SeriesInstanceUID for data in read}) == 1
    assert len({data.SOPInstanceUID for data in read}) == 6
    assert all(data.SOPInstanceUID.is_valid and data.SOPInstanceUID.startswith("2.25.") for data in read)


def test_identity_and_seed_name_study_and_series(tmp_path: Path) -> None:
    def first(name: str, seed: int, identity: PhantomIdentity) -> pydicom.FileDataset:
        return pydicom.dcmread(write_ct_series(VOLUME, tmp_path / name, seed=seed, identity=identity)[0])

    one = PhantomIdentity(patient_id="P1", study_seed=5, acquired=date(2021, 3, 4))
    a, again, b = first("a", 1, one), first("again", 1, one), first("b", 2, one)
    other = first("c", 1, PhantomIdentity(patient_id="P2", patient_name="Other^Invented", study_seed=5))
    assert a.SOPInstanceUID == again.SOPInstanceUID
    assert a.StudyInstanceUID == b.StudyInstanceUID != other.StudyInstanceUID
    assert a.SeriesInstanceUID != b.SeriesInstanceUID
    assert (a.PatientID, str(other.PatientName), a.AcquisitionDate) == ("P1", "Other^Invented", "20210304")


def test_oblique_volume_keeps_its_geometry(tmp_path: Path) -> None:
    turn = np.eye(4)
    turn[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    volume = Volume(voxels=VOLUME.voxels, affine=turn @ VOLUME.affine)
    data = pydicom.dcmread(write_ct_series(volume, tmp_path, seed=3)[2])
    np.testing.assert_allclose(
        np.array(data.ImageOrientationPatient, dtype=float), [0.8, 0.6, 0, -0.6, 0.8, 0], atol=1e-6
    )
    np.testing.assert_allclose(
        np.array(data.ImagePositionPatient, dtype=float), (volume.affine @ [2, 0, 0, 1])[:3], atol=1e-6
    )


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    path = write_ct_series(VOLUME, tmp_path, seed=1)[0]
    report = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    complaints = [
        line for line in (report.stdout + report.stderr).splitlines() if line.startswith(("Error", "Warning"))
    ]
    assert complaints == []
