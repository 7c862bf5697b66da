"""`segwatch site` is killed (SIGKILL, all its processes) at each stage; after a restart everything is there once."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.conftest import SLICES
from tests.acceptance.hosts import TRACEBACK, Central, Site, destination_of
from tests.acceptance.topics import Event, read_topic
from tests.peers.dcmtk import Dcmtk
from tests.peers.kafka import KafkaBroker
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

SETTINGS = {
    "worker.lease_seconds": 5.0,
    "worker.retry_seconds": 1.0,
    "worker.poll_seconds": 0.5,
    "delivery.first_retry_seconds": 1.0,
    "delivery.longest_retry_seconds": 2.0,
    # a peer that hangs must hang for longer than the test needs to act
    "delivery.timeout_seconds": 60.0,
}
LEASE = "SELECT lease_until_at FROM jobs"
HELD = "SELECT count(*) FROM outbox WHERE kind = ? AND lease_owner IS NOT NULL"


@dataclass
class Scene:
    """A site with its peers, and one series."""

    site: Site
    central: Central
    orthanc: Orthanc
    broker: KafkaBroker
    dcmtk: Dcmtk
    files: list[Path]

    def send(self, files: list[Path] | None = None) -> None:
        """Send the series, or a part of it, and see each instance acknowledged."""
        files = files or self.files
        done = self.dcmtk.send(*files, port=self.site.port)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Received Store Response (Success)") == len(files)

    def kill_in(self, state: str) -> None:
        """Kill all processes of the site, if that was not done yet; then its state says where it was."""
        self.site.kill()
        (series,) = self.site.status()["series"]
        assert series["state"] == state, self.site.log()[-2000:]

    def published(self) -> list[Event]:
        """The records in the site's topic."""
        return read_topic(self.broker, self.site.topic)

    def finish(self) -> list[Event]:
        """Restart, and look at everything that must be there once; gives all copies of the record."""
        if not self.site.process.is_running:
            self.site.start()
        self.site.wait_for_state("done")
        (series,) = self.site.status()["series"]
        assert (series["version"], series["instances"], series["late_instances"]) == (1, SLICES, 0)
        (seg,) = self.orthanc.series("SEG")
        assert len(self.orthanc.instances(seg)) == 1
        assert self.site.stop() == 0
        assert TRACEBACK not in self.site.log()

        copies = self.published()
        assert len(set(copies)) == 1
        self.central.start()
        self.central.wait_for_messages(self.site.topic, len(copies))
        joined = "central_records JOIN central_verdicts USING (event_id) WHERE site_id = ?"
        (event_id,) = self.central.query(f"SELECT event_id FROM {joined}", self.site.site_id)  # noqa: S608 (a constant)
        assert event_id == (copies[0].id,)
        assert self.central.stop() == 0
        return copies


@pytest.fixture
def make_scene(
    *,
    own_broker: KafkaBroker,
    orthanc: Orthanc,
    dcmtk: Dcmtk,
    make_site: Callable[..., Site],
    make_central: Callable[..., Central],
    write_series: Callable[..., list[Path]],
    quick_model: str,
) -> Callable[..., Scene]:
    """A function that sets the scene; the site runs."""

    def make(name: str, **changes: object) -> Scene:
        stream = {"stream.kind": "kafka", "stream.kafka.bootstrap_servers": own_broker.bootstrap}
        own = {f"{key.replace('__', '.')}": value for key, value in changes.items()}
        site = make_site(name, {"model.manifest": quick_model, **SETTINGS, **stream, **own}, [destination_of(orthanc)])
        scene = Scene(site, make_central(stream), orthanc, own_broker, dcmtk, write_series(1))
        site.start()
        return scene

    return make


@pytest.fixture
def hanging_orthanc(orthanc: Orthanc) -> Iterator[Orthanc]:
    orthanc.suspend()
    yield orthanc
    orthanc.resume()


@pytest.fixture
def hanging_broker(own_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    own_broker.suspend()
    yield own_broker
    own_broker.resume()


def test_receiving(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("receiving", listener__quiet_seconds=15.0)
    half = SLICES // 2
    scene.send(scene.files[:half])
    scene.site.kill()  # at once: what was acknowledged is on disk, whatever the state knows of it
    scene.site.start()
    scene.send(scene.files[half:])
    scene.finish()


def test_waiting_for_the_rest_of_the_study(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("waiting", routing__study_quiet_seconds=20.0)
    scene.send()
    scene.site.wait_for_state("waiting")
    scene.kill_in("waiting")
    scene.finish()


def test_queued(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene("queued")
    (worker,) = [pid for pid, command in scene.site.members().items() if " work --name" in command]
    os.kill(worker, signal.SIGSTOP)
    scene.send()
    scene.site.wait_for_state("queued")
    scene.kill_in("queued")
    scene.finish()


def test_segmenting(make_scene: Callable[..., Scene], slow_model: str) -> None:
    scene = make_scene("segmenting", model__manifest=slow_model)
    scene.send()
    scene.site.wait_for_log("attempt 1 begins")
    scene.kill_in("segmenting")
    scene.finish()
    assert "attempt 2 begins" in scene.site.log()


def test_segmented_but_not_yet_noted(make_scene: Callable[..., Scene], slow_model: str) -> None:
    scene = make_scene("segmented", model__manifest=slow_model)
    results = scene.site.folder / "segwatch-data" / "results"
    scene.send()
    scene.site.wait_for_log("attempt 1 begins")
    (leased,) = scene.site.query(LEASE)
    scene.site.wait(lambda: scene.site.query(LEASE) != [leased], "it is in the middle of segmenting")
    with scene.site.locked_state():
        scene.site.wait(lambda: bool(list(results.rglob("preview.png"))), "the results are written")
        # the site cannot note that they are
        scene.site.kill()
    (seg,) = results.rglob("seg.dcm")
    first = seg.read_bytes()
    scene.kill_in("segmenting")
    scene.finish()
    assert seg.read_bytes() == first


def test_delivering(make_scene: Callable[..., Scene], hanging_orthanc: Orthanc) -> None:
    scene = make_scene("delivering")
    scene.send()
    scene.site.wait(lambda: scene.site.query(HELD, "dicom") == [(1,)], "it talks to the PACS")
    with scene.site.locked_state():
        hanging_orthanc.resume()
        scene.site.wait(lambda: len(hanging_orthanc.series("SEG")) == 1, "the PACS has the SEG")
        # the site cannot note that it does
        scene.site.kill()
    scene.kill_in("delivering")
    scene.finish()


def test_publishing(make_scene: Callable[..., Scene], hanging_broker: KafkaBroker) -> None:
    scene = make_scene("publishing")
    scene.send()
    scene.site.wait(lambda: scene.site.query(HELD, "record") == [(1,)], "it talks to the broker")
    with scene.site.locked_state():
        hanging_broker.resume()
        scene.site.wait(lambda: len(scene.published()) == 1, "the record is in the topic")
        # the site cannot note that it is
        scene.site.kill()
    scene.kill_in("delivering")
    assert len(scene.finish()) == 2
