"""`segwatch process`: one series from disk, and a named reason for everything that is none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from qc.metric_set import LESION_CORE_1
from qc.record import decode_record
from tests.acceptance.hosts import Site, is_one_sentence
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dciodvfy

pytestmark = pytest.mark.slow

REJECTED = {
    "abdomen_totalseg_j2k": "no_lungs",
    "legacy_seg_lungfcp/seg": "segmentation_as_ct",
    "odd_geometry_ct/gantrytilting": "gantry_tilt",
    "odd_geometry_ct/notavolume": "duplicate_positions",
    "odd_geometry_ct/slicecount": "not_ct",
    "odd_geometry_ct/sliceincrement/001": "missing_slices",
    "odd_geometry_ct/sliceincrement/002": "gantry_tilt_and_missing_slices",
    "odd_geometry_ct/sliceorientation": "not_ct",
    "odd_enhanced_ct/dicom_4d": "invalid_sop_class",
    "odd_enhanced_ct/dicom_4d_enhanced": "secondary_capture_as_ct",
    "odd_enhanced_ct/eCT_Supplemental.dcm": "multi_frame_not_supported",
}
SEVERAL_SERIES = {"odd_enhanced_ct/dicom_4d", "odd_enhanced_ct/dicom_4d_enhanced"}


def test_a_real_chest_ct_gives_seg_preview_record_and_verdict(
    segwatch_cli: SegwatchCli, test_data: Path, dciodvfy: Dciodvfy
) -> None:
    done = segwatch_cli("process", test_data / "chest_lidc0001", "--out", "out", "--json", timeout=1800)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    files = {name: segwatch_cli.folder / path for name, path in found["files"].items()}
    assert set(files) == {"seg.dcm", "preview.png", "record.json"}

    assert dciodvfy.errors(files["seg.dcm"]) == []
    source, seg = dcmread(test_data / "chest_lidc0001" / "000000.dcm"), dcmread(files["seg.dcm"])
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    assert seg.pixel_array.any()
    assert found["metrics"]["lesion_volume"] > 0
    assert files["preview.png"].read_bytes().startswith(b"\x89PNG")

    record = decode_record(files["record.json"].read_bytes())
    assert dict(record.metrics) == found["metrics"]
    assert set(found["metrics"]) == {metric.name for metric in LESION_CORE_1.metrics}
    verdict = found["verdict"]
    assert verdict["low_quality"] == (verdict["probability"] >= verdict["threshold"])
    # its 133 slices have 133 Frame of Reference UIDs, which is told and does not stop anything
    assert found["warnings"] == ["differing_frame_of_reference"]


def test_people_get_tables_and_the_places_of_the_files(
    segwatch_cli: SegwatchCli, make_site: Callable[..., Site], write_series: Callable[..., list[Path]], quick_model: str
) -> None:
    settings = make_site("local", {"model.manifest": quick_model}).settings
    folder = write_series(1)[0].parent
    done = segwatch_cli("process", folder, "--out", "out", "--config", settings)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for expected in (
        "Quality metrics",
        "in_lung_fraction",
        "Verdict:",
        "probability",
        "out/seg.dcm",
        "out/preview.png",
    ):
        assert expected in done.stdout
    # with the site's key the record is the one that the site itself would send, whenever it is made
    first = (segwatch_cli.folder / "out" / "record.json").read_bytes()
    again = segwatch_cli("process", folder, "--out", "again", "--config", settings)
    assert again.returncode == 0
    assert (segwatch_cli.folder / "again" / "record.json").read_bytes() == first


@pytest.mark.parametrize(("case", "reason"), REJECTED.items())
def test_what_cannot_be_segmented_ends_with_its_own_reason(
    case: str, reason: str, segwatch_cli: SegwatchCli, test_data: Path
) -> None:
    given = test_data / case
    if given.is_file():
        folder = segwatch_cli.folder / "alone"
        folder.mkdir()
        (folder / given.name).symlink_to(given)
        given = folder
    options = ("--series", "1") if case in SEVERAL_SERIES else ()
    done = segwatch_cli("process", given, "--out", "out", "--minimum-slices", "2", *options)
    assert done.returncode == 2
    assert is_one_sentence(done.stderr), done.stderr
    assert done.stderr.startswith(f"segwatch: {reason}: ")
    assert not list((segwatch_cli.folder / "out").glob("*"))


def test_the_nine_ct_slices_beside_the_legacy_seg_are_too_few(segwatch_cli: SegwatchCli, test_data: Path) -> None:
    # they are CT, hold lung and lie evenly: nothing but their number speaks against them
    done = segwatch_cli("process", test_data / "legacy_seg_lungfcp" / "ct", "--out", "out")
    assert done.returncode == 2
    assert is_one_sentence(done.stderr), done.stderr
    assert done.stderr.startswith("segwatch: too_few_slices: 9 ")


def test_a_folder_with_several_series_needs_a_choice(segwatch_cli: SegwatchCli, test_data: Path) -> None:
    folder = test_data / "odd_geometry_ct" / "sliceincrement"
    done = segwatch_cli("process", folder, "--out", "out")
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr
    assert "2 series" in done.stderr
    assert "--series" in done.stderr
    beyond = segwatch_cli("process", folder, "--out", "out", "--series", "3")
    assert beyond.returncode == 1
    assert is_one_sentence(beyond.stderr), beyond.stderr


@pytest.mark.parametrize("kind", ["missing", "empty", "no DICOM", "a file"])
def test_a_folder_without_dicom(kind: str, segwatch_cli: SegwatchCli) -> None:
    folder = segwatch_cli.folder / "ct"
    if kind == "a file":
        folder.write_text("not a folder")
    elif kind != "missing":
        folder.mkdir()
        if kind == "no DICOM":
            (folder / "notes.txt").write_text("nothing to see")
    done = segwatch_cli("process", folder, "--out", "out")
    assert done.returncode == 1
    assert is_one_sentence(done.stderr), done.stderr
    assert str(folder) in done.stderr


def test_an_output_folder_that_cannot_be_made(
    segwatch_cli: SegwatchCli, write_series: Callable[..., list[Path]]
) -> None:
    (segwatch_cli.folder / "taken").write_text("a file")
    for out in ("taken", "taken/below", "/proc/segwatch"):
        done = segwatch_cli("process", write_series(1)[0].parent, "--out", out)
        assert done.returncode == 1
        assert is_one_sentence(done.stderr), done.stderr
        assert f"--out {out}" in done.stderr
