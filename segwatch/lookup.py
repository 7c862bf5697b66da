"""From a record or a series key back to the study: what only this site can tell, for its own people and for no log."""

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from dicom_listener import state
from dicom_listener.routing import routes
from dicom_listener.series import KEY_LENGTH
from inference.jobs import JobQueue
from reporter import outbox
from segwatch.errors import UsageError
from segwatch.result_folder import ResultFolder
from segwatch.status import SeriesStatus, series_status

SHORTEST_KEY = 8
"""Hexadecimal digits of a key that must be given at least: a slip of the finger shall not name another patient."""
_HEXADECIMAL = re.compile(rf"[0-9a-f]{{1,{KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class VersionFound:
    """One version of a series, and what was made of it."""

    sent_by: str
    """AE title, or name of a STOW-RS client."""
    status: SeriesStatus
    rules: str | None
    """Name of the rule set by which it was decided; None where it was not, or by a person."""
    records: tuple[str, ...]
    """Ids of its quality records, oldest first."""
    results: str | None
    """Folder of its newest run, with SEG and preview; None where there is none, or not any more."""


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """A series and its study."""

    key: str
    study_instance_uid: str | None
    """None once it is erased here, because the series was forgotten or its patient opted out."""
    series_instance_uid: str | None
    versions: tuple[VersionFound, ...]


def is_series_key(text: str) -> bool:
    """Whether it can be a series key or its beginning; ids of records hold hyphens."""
    return _HEXADECIMAL.fullmatch(text.lower()) is not None


def find_series(connection: Connection, queue: JobQueue, key_prefix: str, results_root: Path) -> SeriesFound:
    """The one series whose key begins so, with every version of it.

    Raises:
        UsageError: fewer than `SHORTEST_KEY` digits are given.
        UnknownSeriesError: no series or several begin so.
    """
    if len(key_prefix) < SHORTEST_KEY:
        raise UsageError(f"give at least {SHORTEST_KEY} digits of the series key; `segwatch status` lists the keys")
    newest = state.find_by_prefix(connection, key_prefix.lower())
    key = newest.series_key
    rows = [row for row in state.list_series(connection) if row.series_key == key]
    jobs = {job.series_version: job for job in queue.find(connection, key)}
    items = outbox.find_by_series(connection, key)
    found = []
    for row in rows:
        route = routes.find(connection, key, row.version)
        records = tuple(item.event_id for item in items if item.event_id and item.run.series_version == row.version)
        status = series_status(row, jobs.get(row.version), items, route)
        rules = (route.rules or None) if route else None
        results = ResultFolder.newest(results_root, key, row.version)
        path = None if results is None else str(results.path)
        found.append(VersionFound(row.calling_ae_title, status, rules, records, path))
    return SeriesFound(key, newest.study_instance_uid or None, newest.series_instance_uid or None, tuple(found))
