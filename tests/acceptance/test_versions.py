"""Late slices, through the real command line and with a real PACS: a new version, and never a silent mixture."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.acceptance.conftest import SLICES
from tests.acceptance.hosts import TRACEBACK, Site, destination_of
from tests.peers.dcmtk import Dcmtk
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

WriteSeries = Callable[..., list[Path]]
RETRIES = {"delivery.first_retry_seconds": 0.5, "delivery.longest_retry_seconds": 1.0}


def segs(orthanc: Orthanc) -> list[Dataset]:
    """The results that the PACS holds, as files, in the order of the versions in their descriptions."""
    found = [
        dcmread(BytesIO(orthanc.file(one))) for series in orthanc.series("SEG") for one in orthanc.instances(series)
    ]
    return sorted(found, key=lambda seg: str(seg.SeriesDescription))


def states(site: Site) -> list[tuple[int, str]]:
    """Version and state of each row of `status`."""
    return sorted((one.version, one.state.value) for one in site.peek().series)


def test_late_slices_make_a_second_result_that_names_the_first(
    *, make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk, orthanc: Orthanc
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, **RETRIES}, [destination_of(orthanc)])
    files = write_series(1)
    punctual, late = files[:-2], files[-2:]
    site.start()
    assert dcmtk.send(*punctual, port=site.port).returncode == 0
    site.wait_for_state("done")
    assert dcmtk.send(*late, port=site.port).returncode == 0
    site.wait(lambda: states(site) == [(1, "done"), (2, "done")], "version 2 is done without anybody's doing")

    rows = sorted(site.status()["series"], key=lambda row: row["version"])
    assert [(row["instances"], row["late_instances"]) for row in rows] == [(SLICES - 2, 0), (SLICES, 0)]
    first, second = segs(orthanc)
    assert "v2" in second.SeriesDescription
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.SegmentSequence[0].TrackingUID == first.SegmentSequence[0].TrackingUID
    assert second.RelatedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    assert "RelatedSeriesSequence" not in first
    referenced = [len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) for seg in (first, second)]
    assert referenced == [SLICES - 2, SLICES], "neither is a mixture"

    # everything once more: known already, so nothing is reopened; the next series is complete after it
    assert dcmtk.send(*files, port=site.port).returncode == 0
    assert dcmtk.send(*write_series(2), port=site.port).returncode == 0
    site.wait_for_state("done", count=3)
    assert len(site.status()["series"]) == 3
    assert len(segs(orthanc)) == 3
    assert "series reopened by late instances" in site.log()
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_an_unsent_result_of_an_old_version_is_superseded(
    *, make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk, orthanc: Orthanc
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, **RETRIES}, [destination_of(orthanc)])
    files = write_series(1)
    orthanc.stop()
    try:
        site.start()
        assert dcmtk.send(*files[:-2], port=site.port).returncode == 0
        site.wait_for_state("delivering")
        assert dcmtk.send(*files[-2:], port=site.port).returncode == 0
        site.wait(lambda: states(site) == [(1, "superseded"), (2, "delivering")], "version 2 waits in place of 1")
    finally:
        orthanc.start()
    site.wait_for_state("done")
    shown = site.cli("status", "-c", site.settings).stdout
    assert "superseded" in shown
    assert "version 2 took its place" in " ".join(shown.replace("│", " ").split())
    (only,) = segs(orthanc)
    assert "v2" in only.SeriesDescription
    assert len(only.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == SLICES
    assert "RelatedSeriesSequence" not in only, "nobody ever got a result of version 1"
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_what_comes_for_a_rejected_series_waits_for_a_person(
    make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    files = write_series(1)
    site.start()
    assert dcmtk.send(*files[:-2], port=site.port).returncode == 0
    site.wait_for_state("done")
    (row,) = site.status()["series"]
    act(site, "reject", row["key"], "--why", "wrong protocol")
    assert dcmtk.send(*files[-2:], port=site.port).returncode == 0
    site.wait(lambda: site.peek().series[0].late_instances == 2, "the late slices are counted")
    assert states(site) == [(1, "rejected")]
    shown = site.cli("status", "-c", site.settings).stdout
    assert f"{SLICES - 2} + 2 late" in shown
    assert "segwatch series reprocess" in " ".join(shown.replace("│", " ").split())

    act(site, "reprocess", row["key"][:12], "--why", "it was right after all")
    site.wait(lambda: (2, "done") in states(site), "version 2 is done")
    newest = max(site.status()["series"], key=lambda one: one["version"])
    assert (newest["instances"], newest["late_instances"]) == (SLICES, 0)
    history = act(site, "history")
    assert "wrong protocol" in history
    assert "it was right after all" in history
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_a_sender_that_is_asked_ends_a_long_wait(
    make_site: Callable[..., Site],
    write_series: WriteSeries,
    quick_model: str,
    orthanc_factory: Callable[..., Orthanc],
) -> None:
    pacs = orthanc_factory(DicomAlwaysAllowFind=True)
    pacs.start()
    for path in write_series(1):
        pacs.upload(path)
    site = make_site(
        "clinic",
        {
            "model.manifest": quick_model,
            "listener.quiet_seconds": 3000.0,
            "listener.completion.ask_sender": True,
            "listener.completion.settle_seconds": 0.5,
        },
    )
    with site.settings.open("a", encoding="utf-8") as file:
        peer: dict[str, Any] = {"ae_title": '"ORTHANC"', "host": '"127.0.0.1"', "port": pacs.dicom_port}
        file.write("[[listener.peers]]\n" + "".join(f"{key} = {value}\n" for key, value in peer.items()))
    site.start()
    (series,) = pacs.series()
    pacs.send(series, called="SEGWATCH", port=site.port)
    site.wait_for_state("done")
    (row,) = site.status()["series"]
    assert (row["instances"], row["expected_instances"], row["ended_by"]) == (SLICES, SLICES, "count")
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def act(site: Site, *arguments: str) -> str:
    """Run `segwatch series ...`; gives what it says."""
    done = site.cli("series", *arguments, "-c", site.settings)
    assert done.returncode == 0, done.stderr
    return done.stdout
