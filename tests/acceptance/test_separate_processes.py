"""`segwatch listen`, `work` and `deliver` as processes of their own, over PostgreSQL; a stop in the midst of work."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import SLICES
from tests.acceptance.hosts import START_TIMEOUT_S, TRACEBACK, Host, Site, destination_of
from tests.peers.cli import SegwatchCli
from tests.peers.dcmtk import Dcmtk
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

STOP_S = 45.0
"""A stop gives a job that is under way 20 s; the rest is for a busy machine."""


def test_one_worker_of_two_dies_and_the_other_finishes(
    *,
    segwatch_cli: SegwatchCli,
    make_site: Callable[..., Site],
    write_series: Callable[..., list[Path]],
    slow_model: str,
    dcmtk: Dcmtk,
    orthanc: Orthanc,
    postgres_url: str,
) -> None:
    changes = {"state.url": postgres_url, "model.manifest": slow_model, "worker.lease_seconds": 5.0}
    site = make_site("clinic", changes, [destination_of(orthanc)])
    listener, deliverer = (Host(segwatch_cli, site.settings, command) for command in ("listen", "deliver"))
    first, second = (Host(segwatch_cli, site.settings, "work", "--name", name) for name in ("first", "second"))
    listener.launch().wait_for_port(site.port, timeout=START_TIMEOUT_S)
    first.launch()
    first.wait_for_log('"ready": "work"')
    assert dcmtk.send(*write_series(1), port=site.port).returncode == 0
    first.wait_for_log("attempt 1 begins")
    first.kill()
    assert site.status()["counts"] == {"segmenting": 1}

    second.launch()
    deliverer.launch()
    second.wait_for_log("attempt 2 begins")
    deliverer.wait(lambda: site.peek().counts == {"done": 1}, "the series is done")
    (series,) = site.status()["series"]
    assert (series["instances"], series["version"]) == (SLICES, 1)
    assert len(orthanc.series("SEG")) == len(orthanc.instances()) == 1
    for host in (listener, second, deliverer):
        assert host.stop() == 0
        assert host.log().splitlines()[-1].endswith("stopped")
        assert TRACEBACK not in host.log()


def test_a_stop_in_the_middle_of_segmenting_goes_on_at_the_next_start(
    *,
    make_site: Callable[..., Site],
    write_series: Callable[..., list[Path]],
    slow_model: str,
    dcmtk: Dcmtk,
    orthanc: Orthanc,
) -> None:
    site = make_site("clinic", {"model.manifest": slow_model, "worker.lease_seconds": 5.0}, [destination_of(orthanc)])
    site.start()
    assert dcmtk.send(*write_series(1), port=site.port).returncode == 0
    site.wait_for_log("attempt 1 begins")
    began = time.monotonic()
    assert site.stop() == 0
    assert time.monotonic() - began < STOP_S
    assert not site.members()
    site.start()
    site.wait_for_state("done")
    assert len(orthanc.series("SEG")) == len(orthanc.instances()) == 1
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_a_second_site_over_the_same_folder_is_refused(make_site: Callable[..., Site], quick_model: str) -> None:
    site = make_site("clinic", {"model.manifest": quick_model})
    site.start()
    other = site.settings.with_name("other.toml")
    other.write_text(site.settings.read_text().replace(f"port = {site.port}", "port = 0"))
    second = Host(site.cli, other, "site")
    assert second.launch().wait(120) == 1
    assert "another listener uses the spool" in second.process.output()
    assert TRACEBACK not in second.process.output()
    assert site.process.is_running
    assert site.stop() == 0
