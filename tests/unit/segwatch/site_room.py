"""A site without network and without a real model: state, spool, queue, and a segmenter that thresholds."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.series import ReceivedSeries
from dicom_listener.spool.spool import Spool
from dicom_listener.state import SeriesProgress
from dicom_listener.stored import StoreRequest
from inference.phantom import make_phantom
from inference.phantom_dicom import write_ct_series
from inference.read_series import ReadLimits
from inference.segmentation import CodedConcept, ModelIdentity, Segmentation, SegmentLabel
from inference.segmenter import Progress
from inference.sql_queue import SqlJobQueue
from inference.sql_queue import metadata as queue_metadata
from inference.volume import Volume
from qc.periods import PeriodLength
from reporter import outbox
from segwatch import acts, made_results
from segwatch.database import make_engine, make_tables
from segwatch.housekeeping import Housekeeping
from segwatch.opt_out import OptOutCheck
from segwatch.pipeline import Pipeline, SiteIdentity
from segwatch.series_acts import SeriesActs
from segwatch.superseding import superseding
from segwatch.worker import Worker, WorkerPlaces, WorkerPolicy

NOW = 1_700_000_000.0
POLICY = WorkerPolicy(lease_s=60, maximum_attempts=2, retry_s=10, poll_s=0.01)
RETENTION_S = 3600.0
IDENTITY = SiteIdentity("hospital-a", b"k" * 32, PeriodLength.WEEK, "0.1.0")
LESION = SegmentLabel(
    1,
    "Lesion",
    CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
    CodedConcept("52988006", "SCT", "Lesion"),
    (200, 0, 0),
)

MODEL = ModelIdentity("threshold", "1.0.0", "a" * 64)


@dataclass
class ThresholdSegmenter:
    """Calls everything above 0 HU a lesion; counts how often it was asked; raises what it is told to."""

    calls: int = 0
    error: Exception | None = None
    model: ModelIdentity = MODEL
    pixel_settings: str = "{}"

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        self.calls += 1
        if self.error is not None:
            raise self.error
        mask = (volume.voxels > 0).astype(np.uint8)
        if progress is not None:
            progress(1, 1)
        return Segmentation(
            mask=mask,
            labels=(LESION,),
            probabilities=mask[None].astype(np.float16),
            probability_affine=volume.affine,
            model=self.model,
            pixel_settings=self.pixel_settings,
            providers=("TestProvider",),
        )


@dataclass
class SiteRoom:
    """The parts of a site that need no network."""

    folder: Path
    segmenter: ThresholdSegmenter = field(default_factory=ThresholdSegmenter)
    queue: SqlJobQueue = field(default_factory=SqlJobQueue)
    now: float = NOW
    destinations: tuple[str, ...] = ("pacs",)
    engine: Engine = field(init=False)
    spool: Spool = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.engine = make_engine(f"sqlite:///{self.folder / 'state.sqlite'}")
        make_tables(self.engine, state.metadata, queue_metadata, outbox.metadata, acts.metadata, made_results.metadata)
        self.spool = Spool(self.folder / "spool", high_watermark=1.1)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def worker(self, *, minimum_slices: int = 2, opt_out: OptOutCheck = lambda _heads: None) -> Worker:
        pipeline = Pipeline(self.segmenter, ReadLimits(minimum_slices=minimum_slices), IDENTITY)
        places = WorkerPlaces(self.engine, self.queue, self.spool.root, self.results, self.destinations)
        return Worker("test", places, pipeline, POLICY, opt_out=opt_out, clock=lambda: self.now)

    def acts(self) -> SeriesActs:
        return SeriesActs(self.engine, self.spool, self.queue, self.results)

    def housekeeping(self) -> Housekeeping:
        return Housekeeping(self.engine, self.spool, self.queue, self.results, RETENTION_S)

    def receive(self, ct: list[Path], *, version: int = 1, queued: bool = True) -> str:
        """Store a series in the spool, complete it and, unless told otherwise, queue it; returns its key."""
        stored = [self.spool.store(*_as_sent(path)) for path in ct]
        instances = tuple(sorted((one.instance for one in stored), key=lambda one: one.sop_instance_uid))
        first, key = instances[0], stored[0].series_key
        study, uid = first.study_instance_uid, first.series_instance_uid
        series = ReceivedSeries(key, version, study, uid, instances, "PACS", self.now)
        size = sum(one.size_bytes for one in instances)
        progress = SeriesProgress(key, version, study, uid, "PACS", len(instances), 0, size, self.now, self.now)

        def take(connection: Connection, series: ReceivedSeries) -> None:
            if queued:
                self.queue.enqueue(connection, series.key, series.version, now=self.now)

        hand_over = superseding(self.queue, take, clock=lambda: self.now)
        with self.engine.begin() as connection:
            state.complete(connection, series, progress)
            hand_over(connection, series)
        return key

    def store(self, ct: list[Path]) -> None:
        """Make instances durable, and nothing else."""
        for path in ct:
            self.spool.store(*_as_sent(path))

    def receive_late(self, key: str, ct: list[Path]) -> None:
        """Store further instances of a series that a person rejected, as the intake does."""
        self.store(ct)
        with self.engine.begin() as connection:
            state.count_extra(connection, key, 1, n_late=len(ct), n_conflicts=0, last_at=self.now)

    def confirm(self, *destinations: str) -> None:
        """Mark what waits for these destinations as delivered."""
        with self.engine.begin() as connection:
            for row in state.list_series(connection):
                for item in outbox.find_by_series(connection, row.series_key):
                    if item.destination in destinations:
                        outbox.mark_done(connection, item.id, now=self.now)

    def confirm_everything(self) -> None:
        """Mark all of the outbox as delivered."""
        self.confirm(*self.destinations, "stream")


def small_ct(folder: Path, seed: int = 3) -> list[Path]:
    """A coarse phantom as files: lungs are in view, and it takes a second."""
    phantom = make_phantom(seed, shape=(30, 80, 88), spacing_mm=(10.0, 4.5, 4.5), lesions=2)
    return write_ct_series(phantom.volume, folder, seed=seed)


def _as_sent(path: Path) -> tuple[StoreRequest, bytes]:
    dataset = dcmread(path)
    meta = dataset.file_meta
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    request = StoreRequest(
        str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(meta.TransferSyntaxUID), "PACS", "SEGWATCH"
    )
    return request, buffer.getvalue()
