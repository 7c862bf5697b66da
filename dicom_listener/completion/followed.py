"""What the books keep of a series beside its instances, and the records that are made of both."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.completion.taken_up import TakenUp
from dicom_listener.ending import Ending
from dicom_listener.series import ReceivedInstance, ReceivedSeries
from dicom_listener.series_report import SeriesReport
from dicom_listener.series_rows import SeriesProgress


@dataclass(slots=True)
class Followed:
    """A series that the books follow; times are Unix times in seconds."""

    calling_ae_title: str
    """Who sent its first instance."""
    first_at: float
    last_at: float
    conflicts: set[Path]
    """Files that are kept apart because another content has their SOP Instance UID."""


def follow(taken: TakenUp, *, wall: float) -> Followed:
    """Begin to follow a series, with the times of its row where it has one."""
    row, conflicts = taken.row, set(taken.conflicts)
    if row is not None:
        return Followed(row.calling_ae_title, row.first_at, row.last_at, conflicts)
    return Followed(taken.found[0].calling_ae_title if taken.found else "", wall, wall, conflicts)


def received(
    key: str, version: int, followed: Followed, instances: Sequence[ReceivedInstance], *, wall: float
) -> ReceivedSeries:
    """The hand-over of a series, without instances whose files are gone."""
    names = _names(instances[0].path.parent) if instances else frozenset()  # a series lies in one folder
    there = tuple(instance for instance in instances if instance.path.name in names)
    return ReceivedSeries(
        key=key,
        version=version,
        study_instance_uid=there[0].study_instance_uid if there else "",
        series_instance_uid=there[0].series_instance_uid if there else "",
        instances=there,
        calling_ae_title=followed.calling_ae_title,
        completed_at=wall,
    )


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 (names are wanted, paths cost as much as what this saves)
    except FileNotFoundError:
        return frozenset()


def progress_of(series: ReceivedSeries, followed: Followed) -> SeriesProgress:
    """What the row of a series says."""
    return SeriesProgress(
        series_key=series.key,
        version=series.version,
        study_instance_uid=series.study_instance_uid,
        series_instance_uid=series.series_instance_uid,
        calling_ae_title=series.calling_ae_title,
        n_instances=len(series.instances),
        n_conflicts=len(followed.conflicts),
        bytes=sum(instance.size_bytes for instance in series.instances),
        first_at=followed.first_at,
        last_at=followed.last_at,
    )


def report_of(series: ReceivedSeries, followed: Followed, ended_by: Ending, expected: int | None) -> SeriesReport:
    """What is told of a series that was handed over."""
    return SeriesReport(
        key=series.key,
        version=series.version,
        calling_ae_title=series.calling_ae_title,
        instances=len(series.instances),
        conflicts=len(followed.conflicts),
        bytes=sum(instance.size_bytes for instance in series.instances),
        seconds=max(0.0, series.completed_at - followed.first_at),
        expected=expected,
        ended_by=ended_by,
    )
