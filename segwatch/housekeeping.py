"""Purges what is no longer needed: instances and results of series whose every result was confirmed long enough ago.

A series that was rejected is purged after the same time. One that failed, or whose results still wait, is kept until
a person acts: nothing that could still be needed is removed to make room.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dicom_listener import state
from dicom_listener.spool import Spool
from dicom_listener.state import SeriesRow, SeriesState
from inference.jobs import Job, JobQueue, JobState
from reporter import outbox
from segwatch.results import remove_results

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """What is purged, where, and when."""

    engine: Engine
    spool: Spool
    queue: JobQueue
    results_root: Path
    retention_s: float

    def purge_due(self, now: float) -> list[str]:
        """Purge every series whose time has come; returns their keys."""
        with self.engine.begin() as connection:
            rows = [row for row in state.list_series(connection) if row.purged_at is None]
            kept = {row.series_key for row in rows if self._is_kept(connection, row, now)}
            due = sorted({row.series_key for row in rows} - kept)
        for key in due:
            # files first: a crash in between purges again, and no file is left without a row
            self.spool.purge(key)
            remove_results(self.results_root, key)
            with self.engine.begin() as connection:
                state.mark_purged(connection, key, now=now)
            logger.info("series %s: instances and results are purged", key)
        return due

    def _is_kept(self, connection: Connection, row: SeriesRow, now: float) -> bool:
        """Whether a version of a series still holds on to the files of the series."""
        if row.state is SeriesState.FORGOTTEN:
            return False
        if row.state is SeriesState.REJECTED:
            return row.decided_at is None or row.decided_at + self.retention_s > now
        if row.n_late or row.n_conflicts:
            return True  # instances that belong to no version: a person must look
        jobs = [job for job in self.queue.find(connection, row.series_key) if job.series_version == row.version]
        ends = [self._ended_at(connection, job) for job in jobs]
        return not ends or any(end is None or end + self.retention_s > now for end in ends)

    def _ended_at(self, connection: Connection, job: Job) -> float | None:
        """When nothing was left to do for a job; None while something is."""
        if job.state is JobState.REJECTED:
            return job.finished_at
        if job.state is not JobState.DONE:
            return None
        done = [
            item.done_at
            for item in outbox.find_by_series(connection, job.series_key)
            if item.run.series_version == job.series_version
        ]
        confirmed = [at for at in done if at is not None]
        return max(confirmed) if confirmed and len(confirmed) == len(done) else None


class Housekeeper:
    """Runs the housekeeping now and then."""

    def __init__(self, housekeeping: Housekeeping, *, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix time in seconds."""
        self._housekeeping = housekeeping
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Purge every minute until told to stop."""
        while not stop.wait(INTERVAL_S):
            try:
                self._housekeeping.purge_due(self._clock())
            except (OSError, DBAPIError) as error:
                logger.error("purging failed (%s); tried again in %g s", type(error).__name__, INTERVAL_S)
