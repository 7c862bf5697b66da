"""Makes the parts of the central host from its settings; imports nothing of the imaging rooms."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from qc.central import tables
from qc.central.alerts import AlertRule
from qc.central.consumer import CentralConsumer, StoredPositions
from qc.central.processing import Judge, replay_parked
from qc.detector import LinearDetector, load_detector, reference_detector_path
from qc.stream.journal import JournalSource
from qc.stream.kafka_admin import ensure_topics
from qc.stream.kafka_source import KafkaSource
from qc.stream.messages import Source
from qc.stream.topics import ALERTS, ALL_METRICS, DEAD_LETTERS, VERDICTS
from segwatch.database import make_engine, make_tables
from segwatch.settings import CentralSettings
from segwatch.stream_wiring import kafka_connection, make_sink

logger = logging.getLogger(__name__)


def make_store_engine(settings: CentralSettings) -> Engine:
    """Open the central store, its tables made. Raises `SettingsError`."""
    engine = make_engine(settings.store_url)
    make_tables(engine, tables.METADATA)
    return engine


def make_detector(settings: CentralSettings) -> LinearDetector:
    """Load the detector. Raises `DetectorError`."""
    return load_detector(settings.detector.file or reference_detector_path())


def make_judge(settings: CentralSettings) -> Judge:
    """By what records are judged. Raises `DetectorError`, `AlertRuleError`."""
    return Judge(make_detector(settings), AlertRule(**settings.alerts.model_dump()))


@contextmanager
def running_central(settings: CentralSettings) -> Iterator[CentralConsumer]:
    """Give a consumer with its connections open; what was parked for a version like this one is processed first.

    Raises:
        SettingsError: the store cannot be used.
        StreamError: the message log cannot be used.
        DetectorError: the detector cannot be used.
    """
    judge = make_judge(settings)
    engine = make_store_engine(settings)
    _replay_parked(engine, judge)
    if settings.stream.kind == "kafka":
        ensure_topics(kafka_connection(settings.stream), (VERDICTS, ALERTS, DEAD_LETTERS))
    source = _make_source(settings, engine)
    sink = make_sink(settings.stream)
    try:
        yield CentralConsumer(source=source, sink=sink, engine=engine, judge=judge)
    finally:
        source.close()
        sink.close()
        engine.dispose()


def _replay_parked(engine: Engine, judge: Judge) -> None:
    """Once per start suffices: only another version of the software can know more than the one that parked them."""
    outcomes = replay_parked(engine, judge, time.time())
    if outcomes:
        counts = ", ".join(f"{count} {outcome.value}" for outcome, count in sorted(outcomes.items()))
        logger.info("records that were parked for a newer schema: %s", counts)


def _make_source(settings: CentralSettings, engine: Engine) -> Source:
    start = StoredPositions(engine)
    if settings.stream.kind == "kafka":
        group = settings.stream.kafka.group
        return KafkaSource(kafka_connection(settings.stream), ALL_METRICS, start, group=group)
    return JournalSource(settings.stream.journal_dir, ALL_METRICS, start)
