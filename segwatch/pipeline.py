"""The whole site on one screen: read, find lungs, segment, measure, build.

Pure of network and settings: it gets a complete series and gives one frozen result. Where the result goes is
decided in `segwatch.worker`, which opens the one transaction that ends the stage.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_listener.series import ReceivedSeries
from inference.lungs import find_lungs
from inference.read_series import ReadLimits, read_series
from inference.segmentation import Segmentation
from inference.segmentation_store import load_segmentation, save_segmentation
from inference.segmenter import Segmenter
from inference.volume import Volume
from qc.metrics.measure import measure
from qc.periods import PeriodLength, period_of
from qc.pseudonyms import event_id, study_key
from qc.quality_metrics import QualityMetrics
from qc.record import ModelReference, QualityRecord, make_record
from reporter.seg import build_seg
from reporter.seg_identity import SegIdentity

Stage = Literal["read", "lungs", "segment", "measure", "seg"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is; `seconds` is given when it ended."""

    stage: Stage
    done: int
    of: int
    seconds: float | None = None


Observer = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class SiteIdentity:
    """What a record and a SEG say about where they were made."""

    site_id: str
    secret: bytes
    period: PeriodLength
    software_version: str


@dataclass(frozen=True, slots=True, eq=False)
class ProcessedSeries:
    """Everything that one run over a series gave."""

    volume: Volume
    lungs: NDArray[np.bool_]
    segmentation: Segmentation
    metrics: QualityMetrics
    record: QualityRecord
    seg: Dataset


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages with their tools."""

    segmenter: Segmenter
    limits: ReadLimits
    identity: SiteIdentity
    seg_note: str = ""
    """Shown in the Series Description, e.g. for a deliberately degraded case."""

    def run(
        self,
        series: ReceivedSeries,
        *,
        generation: int = 0,
        checkpoint: Path | None = None,
        predecessor_series_uid: str | None = None,
        observe: Observer,
    ) -> ProcessedSeries:
        """Process one series; `checkpoint` keeps the segmentation, so that a crash after it does not segment again.

        `predecessor_series_uid` names the result of the series' version before, which the new one replaces.

        Raises:
            SeriesRejectedError: the series cannot be segmented.
            InferenceError: the engine failed.
            SegBuildError: the result could not be encoded, or is not what was segmented.
        """
        paths = [instance.path for instance in series.instances]
        with _timed("read", observe):
            volume = read_series(paths, self.limits)
        with _timed("lungs", observe):
            lungs = find_lungs(volume)
        with _timed("segment", observe):
            segmentation = self._segment_once(volume, checkpoint, observe)
        with _timed("measure", observe):
            metrics = measure(volume, segmentation, lungs)
        record = self._record(series, volume, segmentation, metrics, generation)
        with _timed("seg", observe):
            seg = build_seg(volume, segmentation, paths, self._seg_identity(series, predecessor_series_uid))
        return ProcessedSeries(volume, lungs, segmentation, metrics, record, seg)

    def _segment_once(self, volume: Volume, checkpoint: Path | None, observe: Observer) -> Segmentation:
        if checkpoint is not None:
            kept = load_segmentation(
                checkpoint,
                shape=volume.voxels.shape,
                model=self.segmenter.model,
                pixel_settings=self.segmenter.pixel_settings,
            )
            if kept is not None:
                return kept
        segmentation = self.segmenter.segment(volume, lambda done, of: observe(Progress("segment", done, of)))
        if checkpoint is not None:
            save_segmentation(segmentation, checkpoint)
        return segmentation

    def _record(
        self,
        series: ReceivedSeries,
        volume: Volume,
        segmentation: Segmentation,
        metrics: QualityMetrics,
        generation: int,
    ) -> QualityRecord:
        model, identity = segmentation.model, self.identity
        return make_record(
            metrics,
            event_id=event_id(
                identity.secret,
                series_key=series.key,
                series_version=series.version,
                generation=generation,
                model_sha256=model.sha256,
                metric_set=metrics.metric_set,
            ),
            site_id=identity.site_id,
            model=ModelReference(name=model.name, version=model.version, sha256=model.sha256),
            study_key=study_key(identity.secret, series.study_instance_uid),
            period=period_of(volume.acquisition_date, identity.period),
            software_version=identity.software_version,
        )

    def _seg_identity(self, series: ReceivedSeries, predecessor_series_uid: str | None) -> SegIdentity:
        return SegIdentity(
            software_version=self.identity.software_version,
            created_at=series.completed_at,  # not the time of this attempt: a repeated attempt gives the same bytes
            series_version=series.version,
            predecessor_series_uid=predecessor_series_uid,
            note=self.seg_note,
        )


@contextmanager
def _timed(stage: Stage, observe: Observer) -> Iterator[None]:
    """Tell the observer when a stage begins and how long it took."""
    observe(Progress(stage, 0, 1))
    start = time.perf_counter()
    yield
    observe(Progress(stage, 1, 1, time.perf_counter() - start))
