"""`segwatch series reject` and `forget`: what a person decides about one series, through the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.acceptance.hosts import TRACEBACK, Site, destination_of, is_one_sentence
from tests.peers.dcmtk import Dcmtk
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

WriteSeries = Callable[..., list[Path]]
RETRIES = {"delivery.first_retry_seconds": 0.5, "delivery.longest_retry_seconds": 1.0}


def act(site: Site, *arguments: str) -> str:
    """Run `segwatch series ...`; gives what it says."""
    done = site.cli("series", *arguments, "-c", site.settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_person_rejects_is_never_sent(
    *, make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk, orthanc: Orthanc
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, **RETRIES}, [destination_of(orthanc)])
    orthanc.stop()
    try:
        site.start()
        for seed in (1, 2):
            assert dcmtk.send(*write_series(seed), port=site.port).returncode == 0
            site.wait_for_state("delivering", count=seed)
        first, _second = site.status()["series"]
        said = act(site, "reject", first["key"][:16], "--why", "a test of the scanner", "--by", "Dr Who")
        assert "rejected" in said
    finally:
        orthanc.start()
    site.wait_for_state("done")
    assert site.status()["counts"] == {"done": 1, "rejected": 1}
    (seg,) = orthanc.series("SEG")
    second_study = dcmread(write_series(2)[0]).StudyInstanceUID
    assert orthanc.studies()[0].tags["StudyInstanceUID"] == second_study
    assert len(orthanc.instances(seg)) == 1
    (shown,) = [series for series in site.status()["series"] if series["state"] == "rejected"]
    assert (shown["reason"], shown["detail"]) == ("rejected_by_person", "by Dr Who: a test of the scanner")
    assert "a test of the scanner" in act(site, "history")
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_what_is_forgotten_leaves_no_identifier_behind(
    make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    files = write_series(1)
    site.start()
    assert dcmtk.send(*files, port=site.port).returncode == 0
    site.wait_for_state("done")
    (series,) = site.status()["series"]
    ((event_id,),) = site.query("SELECT event_id FROM outbox WHERE event_id IS NOT NULL")
    assert site.cli("lookup", event_id, "-c", site.settings).returncode == 0
    by_key = site.cli("lookup", series["key"][:12], "-c", site.settings)
    assert str(dcmread(files[0]).StudyInstanceUID) in by_key.stdout, by_key.stderr
    assert event_id in by_key.stdout
    as_json = json.loads(site.cli("lookup", series["key"], "-c", site.settings, "--json").stdout)
    assert as_json["versions"][0]["status"]["state"] == "done"

    act(site, "forget", series["key"], "--why", "the patient withdrew")
    assert site.status()["counts"] == {"forgotten": 1}
    unknown = site.cli("lookup", event_id, "-c", site.settings)
    assert unknown.returncode == 1
    assert is_one_sentence(unknown.stderr), unknown.stderr
    forgotten = site.cli("lookup", series["key"][:8], "-c", site.settings)
    assert forgotten.returncode == 0, forgotten.stderr
    assert "forgotten" in forgotten.stdout
    again = site.cli("series", "reprocess", series["key"], "--why", "no", "-c", site.settings)
    assert again.returncode == 1
    assert is_one_sentence(again.stderr), again.stderr
    assert site.stop() == 0

    header = dcmread(files[0], stop_before_pixels=True)
    telling = [header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID, str(header.PatientName)]
    data = site.folder / "segwatch-data"
    kept = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert [path for path, content in kept.items() for text in telling if text.encode() in content] == []
    assert not list(data.rglob("*.dcm"))


def test_a_series_that_nobody_knows(make_site: Callable[..., Site], quick_model: str) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    for command in ("reprocess", "reject", "forget"):
        done = site.cli("series", command, "0123456789ab", "--why", "a mistake", "-c", site.settings)
        assert done.returncode == 1
        assert is_one_sentence(done.stderr), done.stderr
        assert "0123456789ab" in done.stderr
