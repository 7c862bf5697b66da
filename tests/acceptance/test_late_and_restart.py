"""What a PACS does in practice: repeats, sends the rest later, and sends while the site restarts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.acceptance.conftest import SLICES
from tests.acceptance.hosts import TRACEBACK, Site
from tests.peers.dcmtk import Dcmtk

pytestmark = pytest.mark.slow

WriteSeries = Callable[..., list[Path]]


def only_series(site: Site) -> dict[str, Any]:
    """The one series of `segwatch status --json`."""
    (series,) = site.status()["series"]
    return dict(series)


def test_what_is_sent_twice_is_taken_once(
    make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    files = write_series(1)
    site.start()
    for _ in range(2):
        assert dcmtk.send(*files, port=site.port).returncode == 0
    site.wait_for_state("done")
    # and once more, when it is done: nothing late, nothing segmented again
    again = dcmtk.send(*files, port=site.port)
    assert again.returncode == 0
    assert again.stderr.count("Received Store Response (Success)") == SLICES
    # the next series is complete after it, so all of it has been looked at
    assert dcmtk.send(*write_series(2), port=site.port).returncode == 0
    site.wait_for_state("done", count=2)
    first, second = site.status()["series"]
    assert first["version"] == second["version"] == 1
    assert first["instances"] == second["instances"] == SLICES
    assert first["late_instances"] == first["conflicting_instances"] == 0
    assert site.status()["spool"]["instances"] == 2 * SLICES
    assert site.stop() == 0


def test_another_content_under_a_known_uid_is_kept_apart(
    make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    files = write_series(1)
    changed = dcmread(files[3])
    changed.InstanceNumber = 999
    changed.save_as(site.folder / "changed.dcm")
    site.start()
    assert dcmtk.send(*files, port=site.port).returncode == 0
    assert dcmtk.send(site.folder / "changed.dcm", port=site.port).returncode == 0
    site.wait_for_state("done")
    site.wait(lambda: site.peek().series[0].conflicting_instances == 1, "the conflict is counted")
    assert only_series(site)["instances"] == SLICES
    assert "kept apart" in site.cli("status", "-c", site.settings).stdout
    assert site.stop() == 0


def test_half_a_series_in_the_spool_is_taken_up_after_a_restart(
    make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk
) -> None:
    # long enough that half a series is not taken for a whole one, also on a busy machine
    site = make_site("clinic", {"model.manifest": quick_model, "listener.quiet_seconds": 15.0})
    files = write_series(1)
    site.start()
    assert dcmtk.send(*files[:10], port=site.port).returncode == 0
    site.wait_for_state("receiving")
    assert site.stop() == 0
    assert only_series(site)["state"] == "receiving"

    site.start()
    assert dcmtk.send(*files[10:], port=site.port).returncode == 0
    site.wait_for_state("done")
    series = only_series(site)
    assert (series["version"], series["instances"], series["late_instances"]) == (1, SLICES, 0)
    assert site.stop() == 0


def test_a_series_that_cannot_be_segmented_is_rejected_by_name(
    make_site: Callable[..., Site], write_series: WriteSeries, quick_model: str, dcmtk: Dcmtk
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    site.start()
    assert dcmtk.send(*write_series(1)[:10], port=site.port).returncode == 0
    assert dcmtk.send(*(path for path in write_series(2) if path.stem != "ct0012"), port=site.port).returncode == 0
    site.wait_for_state("rejected")
    site.wait_for_state("not_taken")
    states = {series["instances"]: (series["state"], series["reason"]) for series in site.status()["series"]}
    assert states == {10: ("not_taken", "too_few_slices"), SLICES - 1: ("rejected", "missing_slices")}
    shown = site.cli("status", "-c", site.settings).stdout
    assert "too_few_slices: 10" in shown
    assert site.status()["outbox"] == []
    assert site.stop() == 0
    assert TRACEBACK not in site.log()
