"""The demo: one machine plays hospital, PACS and central operations, with the real parts in between.

Only the ends are stand-ins: a storage SCP that writes files for the PACS, the embedded journal for Kafka, and a
generated chest CT for a patient. The second case is degraded on purpose, and says so in its Series Description.
"""

import queue
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine

from dicom_listener.routing.routes import Route, RouteState
from inference.errors import RejectionReason, SeriesRejectedError
from inference.jobs import JobState
from inference.phantom import make_phantom
from inference.phantom_dicom import write_ct_series
from inference.read_headers import find_series
from inference.segmentation import ModelIdentity, Segmentation
from inference.segmenter import Progress, Segmenter
from inference.sql_queue import SqlJobQueue
from inference.volume import Volume
from qc.central.consumer import CentralConsumer
from qc.central.messages import VerdictMessage
from qc.degradations import DEMO_DEFECT, degrade
from qc.quality_metrics import QualityMetrics
from qc.record import decode_message
from qc.stream.journal import JournalSource
from qc.stream.messages import Message
from qc.stream.topics import VERDICTS, Subscription, metrics_topic
from reporter import outbox
from reporter.storage_folder import FolderDestination
from segwatch import delivery_wiring, listener_wiring, state_wiring, wiring
from segwatch.central_wiring import running_central
from segwatch.commands.setup import write_key, write_new
from segwatch.errors import UsageError
from segwatch.pipeline import Observer
from segwatch.result_folder import ResultFolder, results_root
from segwatch.settings import CentralSettings, SiteSettings, load_settings
from segwatch.settings_text import central_toml, site_toml
from segwatch.worker import Worker

SITE_ID = "demo"
PACS_AE_TITLE = "DEMO-PACS"
PHANTOM_SHAPE = (90, 256, 288)
PHANTOM_SPACING_MM = (3.5, 1.4, 1.4)
FIRST_SEED, SECOND_SEED = 13, 12
QUIET_SECONDS = 1.0
DEGRADED_NOTE = "DEGRADED DEMO"
MARKER = ".segwatch-demo"


@dataclass(frozen=True, slots=True)
class Case:
    """What the demo shows of one case: as the PACS, and as central operations got it."""

    seg: Path
    preview: Path
    metrics: QualityMetrics
    verdict: VerdictMessage


@dataclass(frozen=True, slots=True)
class Demo:
    """A hospital with its PACS, and central operations, ready for cases."""

    settings: SiteSettings
    engine: Engine
    decided: "queue.SimpleQueue[Route]"
    port: int
    pacs: FolderDestination
    consumer: CentralConsumer

    def run_case(self, send: Callable[[], None], segmenter: Segmenter, note: str, observe: Observer) -> Case:
        """Take one CT all the way: `send` sends it to the listener.

        Raises:
            SeriesRejectedError: it cannot be segmented.
            UsageError: rules leave it out, or something on the way failed.
        """
        send()
        route = self.decided.get()
        while route.state is RouteState.WAITING:
            route = self.decided.get()
        if route.state is not RouteState.TAKEN:
            reasons = "; ".join(f"{reason.name}: {reason.detail}" for reason in route.reasons)
            raise UsageError(f"the series is not one that a site would segment: {reasons}")
        pipeline = wiring.make_pipeline(self.settings, segmenter, wiring.site_identity(self.settings), seg_note=note)
        places = wiring.make_places(self.settings, self.engine)
        Worker("demo", places, pipeline, wiring.make_policy(self.settings), observe=lambda _job: observe).work_once()
        self._check_job(route.series_key)
        for runner in delivery_wiring.make_deliverers(self.settings, self.engine):
            runner.drain_once(time.time())
        self.consumer.consume_available()
        return self._case(route.series_key, route.version)

    def _check_job(self, series_key: str) -> None:
        with self.engine.begin() as connection:
            job = SqlJobQueue().find(connection, series_key)[-1]
        if job.state is JobState.REJECTED:
            raise SeriesRejectedError(RejectionReason(job.reason or ""), job.detail or "")
        if job.state is not JobState.DONE:
            raise UsageError(f"the series could not be processed: {job.reason}: {job.detail}")

    def _case(self, series_key: str, version: int) -> Case:
        with self.engine.begin() as connection:
            items = outbox.find_by_series(connection, series_key)
        open_items = [item for item in items if item.done_at is None]
        if open_items:
            raise UsageError(f"a result did not reach {open_items[0].destination}: {open_items[0].last_error}")
        event_id = next(item.event_id for item in items if item.event_id is not None)
        records = [decode_message(message) for message in self._read(metrics_topic(SITE_ID))]
        verdicts = [VerdictMessage.model_validate_json(message.value) for message in self._read(VERDICTS)]
        return Case(
            seg=self.pacs.files[-1],
            preview=ResultFolder(results_root(self.settings), series_key, version, 0).preview,
            metrics=next(record for record in records if record.event_id == event_id).quality_metrics,
            verdict=next(verdict for verdict in verdicts if verdict.event_id == event_id),
        )

    def _read(self, topic: str) -> list[Message]:
        source = JournalSource(self.settings.stream.journal_dir, Subscription(names=(topic,)), _FromTheBeginning())
        try:
            return [stored.message for stored in source.poll(0.0)]
        finally:
            source.close()


class DegradingSegmenter:
    """A segmenter that spoils what another one makes, to show what a bad result looks like to the detector."""

    def __init__(self, segmenter: Segmenter) -> None:
        """Spoil the results of `segmenter`."""
        self._segmenter = segmenter

    @property
    def model(self) -> ModelIdentity:
        """The model behind it."""
        return self._segmenter.model

    @property
    def pixel_settings(self) -> str:
        """Of the model behind it, and that it was spoiled: the result must never carry the UIDs of a good one."""
        return f'{{"degraded":"{DEMO_DEFECT.value}","model":{self._segmenter.pixel_settings}}}'

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Segment, then degrade."""
        degraded = degrade(self._segmenter.segment(volume, progress), DEMO_DEFECT, 1.0, SECOND_SEED)
        return replace(degraded, pixel_settings=self.pixel_settings)


@contextmanager
def prepared_demo(out: Path) -> Iterator[Demo]:
    """Set up hospital, PACS and central operations in a folder, which is emptied first when it is an older demo's.

    Raises:
        UsageError: the folder holds something else.
    """
    _empty_folder(out)
    with FolderDestination(out / "pacs", PACS_AE_TITLE) as pacs:
        settings, central_settings = _write_settings(out, pacs)
        engine = state_wiring.make_state_engine(settings)
        decided: queue.SimpleQueue[Route] = queue.SimpleQueue()
        with (
            listener_wiring.running_listener(settings, engine, observe_routes=decided.put) as listening,
            running_central(central_settings) as consumer,
        ):
            yield Demo(settings, engine, decided, listening.port, pacs, consumer)
        engine.dispose()


def write_phantom(directory: Path, seed: int) -> Path:
    """Write a generated chest CT as a DICOM series."""
    phantom = make_phantom(seed, shape=PHANTOM_SHAPE, spacing_mm=PHANTOM_SPACING_MM, lesions=4)
    write_ct_series(phantom.volume, directory, seed=seed)
    return directory


def check_one_series(directory: Path) -> Path:
    """Check that a folder holds one series. Raises `NoInstancesError`, `UsageError`."""
    found = len(find_series(directory))
    if found != 1:
        raise UsageError(f"{directory} holds {found} series; the demo takes a folder with one")
    return directory


class _FromTheBeginning:
    """Reads every topic from its first message."""

    def next_offset(self, topic: str, partition: int) -> int:  # noqa: ARG002 (the same for every topic)
        """Always 0."""
        return 0


def is_earlier_demo(out: Path) -> bool:
    """Whether the folder is the output of an earlier demo, which the next one replaces."""
    return (out / MARKER).exists()


def _empty_folder(out: Path) -> None:
    if out.exists() and not is_earlier_demo(out) and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty and not the folder of an earlier demo; choose another")
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / MARKER).touch()
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error


def _write_settings(out: Path, pacs: FolderDestination) -> tuple[SiteSettings, CentralSettings]:
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port}
    changes = {
        "listener.host": "127.0.0.1",
        "listener.port": 0,
        "listener.quiet_seconds": QUIET_SECONDS,
        "routing.study_quiet_seconds": QUIET_SECONDS,
        "spool.minimum_free_bytes": 100_000_000,
        "spool.high_watermark": 0.99,
        "spool.journal_bytes": 67_108_864,
        "log.level": "ERROR",
        "destinations": (destination,),
    }
    write_new(out / "segwatch.toml", site_toml(SITE_ID, changes), force=False)
    write_new(out / "central.toml", central_toml({"log.level": "ERROR"}), force=False)
    write_key(out / "site.key")
    return load_settings(out / "segwatch.toml", SiteSettings), load_settings(out / "central.toml", CentralSettings)
