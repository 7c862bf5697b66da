"""Which series of a study a running site segments, and what it says about the others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from inference.phantom_dicom import PhantomIdentity
from tests.acceptance.hosts import TRACEBACK, Site, is_one_sentence
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dcmtk

pytestmark = pytest.mark.slow

PERSON = PhantomIdentity(patient_id="ROUTED-4711", study_seed=1)
WriteSeries = Callable[..., list[Path]]


def with_elements(files: list[Path], **elements: object) -> list[Path]:
    for path in files:
        image = dcmread(path)
        for keyword, value in elements.items():
            setattr(image, keyword, value)
        image.save_as(path)
    return files


@pytest.fixture
def study(write_series: WriteSeries) -> list[Path]:
    """Two eligible series, the better one sent first, and a localizer."""
    return [
        *with_elements(write_series(1, PERSON), ConvolutionKernel="LUNG"),
        *with_elements(write_series(2, PERSON), ConvolutionKernel="BONE"),
        *with_elements(write_series(3, PERSON)[:2], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    ]


def test_of_a_study_one_series_is_segmented(
    make_site: Callable[..., Site], study: list[Path], quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    site.start()
    assert dcmtk.send(*study, port=site.port).returncode == 0
    for state in ("done", "passed_over", "not_taken"):
        site.wait_for_state(state)
    assert site.query("SELECT count(*) FROM jobs") == [(1,)]

    shown = {series["state"]: series for series in site.status()["series"]}
    best = shown["done"]["key"][:12]
    assert shown["done"]["taken_because"].startswith("best_series: better than series")
    assert shown["passed_over"]["reason"] == "better_series"
    assert shown["passed_over"]["detail"] == f"series {best} of the study is taken: its kernel is preferred"
    assert "localizer" in shown["not_taken"]["reason"]

    assert site.log().count("series routed: ") == 5  # two wait before they are chosen from
    # a person may want the other one too
    done = site.cli("series", "reprocess", shown["passed_over"]["key"][:12], "--why", "wanted", "-c", site.settings)
    assert done.returncode == 0, done.stderr
    site.wait_for_state("done", count=2)
    assert site.stop() == 0
    assert TRACEBACK not in site.log()
    assert "ROUTED-4711" not in site.log()


def test_who_opted_out_is_not_segmented_and_not_kept(
    make_site: Callable[..., Site], study: list[Path], quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, "routing.opt_out_file": "opt-out.txt"})
    options = ("-c", site.settings)
    refused = site.cli("listen", *options)
    assert refused.returncode == 1
    assert "opt-out.txt: no such file" in refused.stderr
    said = refused.stderr.splitlines()[-1]  # behind the warning that no result goes to any PACS
    assert is_one_sentence(said), refused.stderr

    added = site.cli("optout", "add", "patient", "--file", study[0], "--why", "objected", "--by", "Dr Who", *options)
    assert added.returncode == 0, added.stderr
    site.start()
    assert dcmtk.send(*study, port=site.port).returncode == 0
    site.wait_for_state("opted_out", count=3)
    site.wait(lambda: not list((site.folder / "segwatch-data" / "spool").rglob("*.dcm")), "its images are purged")
    assert site.query("SELECT count(*) FROM jobs") == [(0,)]

    status = site.cli("status", *options).stdout
    listed = site.cli("optout", "list", *options).stdout
    assert "objected" in listed
    assert site.cli("optout", "test", "patient", "--file", study[0], *options).returncode == 0
    assert site.stop() == 0
    kept = (site.folder / "opt-out.txt").read_text()
    for text in (status, listed, kept, added.stdout, site.log()):
        assert "ROUTED-4711" not in text
    assert TRACEBACK not in site.log()


def test_routes_explains_a_folder(segwatch_cli: SegwatchCli, study: list[Path], tmp_path: Path) -> None:
    folder = study[0].parents[1]
    (folder / "notes.txt").write_text("no DICOM")
    done = segwatch_cli("routes", folder)
    assert done.returncode == 0, done.stderr
    assert "1 not_taken, 1 passed_over, 1 taken" in done.stdout
    found = json.loads(segwatch_cli("routes", folder, "--json").stdout)
    decisions = {series["decision"]: [reason["name"] for reason in series["reasons"]] for series in found["series"]}
    assert decisions["taken"] == ["best_series"]
    assert decisions["passed_over"] == ["better_series"]
    assert "localizer" in decisions["not_taken"]
    assert "ROUTED-4711" not in done.stdout
    assert str(dcmread(study[0]).SeriesInstanceUID) not in json.dumps(found) + done.stdout

    assert segwatch_cli("routes", folder).stderr == ""
    (image,) = with_elements(study[:1], SpecificCharacterSet="ISO_IR 100")
    # of which pydicom warns, and quotes it
    image.write_bytes(image.read_bytes().replace(b"ISO_IR 100", b"DOE^JOHN  "))
    odd = segwatch_cli("routes", folder)
    assert (odd.returncode, odd.stderr) == (0, "")
    assert "DOE^JOHN" not in odd.stdout

    for wrong in (tmp_path / "nowhere", Path(__file__).parent):
        answer = segwatch_cli("routes", wrong)
        assert answer.returncode == 1
        assert is_one_sentence(answer.stderr)
