"""Records and a detector for tests of the central host: one metric decides."""

import hashlib
import uuid

from sqlalchemy import Connection, RowMapping, Table, select

from qc.central.alerts import AlertRule
from qc.central.processing import Judge
from qc.detector import Feature, FitInfo, LinearDetector, NamedMetricSet, Performance, Transform
from qc.metric_set import LESION_CORE_1
from qc.quality_metrics import QualityMetrics
from qc.record import ModelReference, QualityRecord, make_record, record_message
from qc.stream.messages import Message

GOOD, BAD = 0.95, 0.15
"""Smoothness of a case that the sample detector passes, and of one that it flags."""

RULE = AlertRule(window=6, window_minimum=4, baseline=12, baseline_minimum=8, tail=0.02)
MODEL = ModelReference(name="phantom", version="1.0", sha256="ab" * 32)


def detector(threshold: float = 0.5) -> LinearDetector:
    """Flags whoever's smoothness is below 0.5."""
    return LinearDetector(
        schema_version=1,
        name="sample",
        version="1.0",
        metric_set=NamedMetricSet(name="lesion-core", version=1),
        features=(
            Feature(
                metric="smoothness",
                transform=Transform.IDENTITY,
                mean=0.5,
                scale=0.1,
                coefficient=-2.0,
                fitted_minimum=0.1,
                fitted_maximum=1.0,
            ),
        ),
        intercept=0.0,
        threshold=threshold,
        prevalence=0.5,
        fit=FitInfo(
            data="none",
            samples=0,
            low_quality=0,
            groups=0,
            seed=0,
            method="written by hand",
            threshold_rule="none",
            held_out=Performance(samples=0, low_quality=0, groups=0, auc=1, sensitivity=1, specificity=1),
        ),
    )


def judge(rule: AlertRule = RULE) -> Judge:
    return Judge(detector(), rule)


def record(
    site: str, number: int, smoothness: float = GOOD, *, period: str = "2026-W48", model: ModelReference = MODEL
) -> QualityRecord:
    values = {
        "smoothness": smoothness,
        "connected_components": 3.0,
        "intensity_mode": -500.0 + number % 7,
        "in_lung_fraction": 0.97,
        "lesion_volume": 40.0,
        "lesion_lung_share": 0.01,
        "mean_confidence": 0.9,
    }
    return make_record(
        QualityMetrics(LESION_CORE_1, values),
        event_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{site}/{number}")),
        site_id=site,
        model=model,
        study_key=hashlib.sha256(f"{site}/{number}".encode()).hexdigest(),
        period=period,
        software_version="0.1.0",
    )


def message(site: str, number: int, smoothness: float = GOOD) -> Message:
    return record_message(record(site, number, smoothness))


def decline(site: str, good: int, bad: int) -> list[Message]:
    """Good cases, then bad ones."""
    return [message(site, number, GOOD if number < good else BAD) for number in range(good + bad)]


def rows(connection: Connection, table: Table) -> list[RowMapping]:
    return list(connection.execute(select(table).order_by(*table.primary_key.columns)).mappings())
