"""Purges what is no longer needed: instances and results of series whose every result was confirmed long enough ago.

A series that was rejected, that rules left out, or that another one of its study was preferred to, is purged after the
same time. One whose patient or study opted out is purged at once. One that failed, or whose results still wait, is kept
until a person acts: nothing that could still be needed is removed to make room.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dicom_listener import state
from dicom_listener.errors import SpoolError
from dicom_listener.routing import routes
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.spool.spool import Spool
from dicom_listener.state import SeriesRow, SeriesState
from inference.jobs import Job, JobQueue, JobState
from reporter import outbox
from segwatch.database import erase_traces
from segwatch.made_results import drop_results
from segwatch.result_folder import remove_results

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
            decided = routes.all_routes(connection)
            opted_out = {key for (key, _), route in decided.items() if route.state is RouteState.OPTED_OUT}
            kept = {row.series_key for row in rows if self._holds(connection, row, decided, opted_out, now)}
            due = sorted({row.series_key for row in rows} - kept)
        purged = []
        for key in due:
            # files first: a crash in between purges again, and no file is left without a row
            if not self._purge(key):
                logger.info("series %s: an instance came in the last moment, so it is kept", key)
                continue
            remove_results(self.results_root, key)
            with self.engine.begin() as connection:
                state.mark_purged(connection, key, now=now)
                for route in decided.values():
                    if route.series_key == key and route.state is RouteState.OPTED_OUT:
                        routes.erase_identifiers(connection, key, route.version)
                        drop_results(connection, key)
            if key in opted_out:
                erase_traces(self.engine)
            logger.info("series %s: instances and results are purged", key)
            purged.append(key)
        return purged

    def _purge(self, key: str) -> bool:
        """Remove the images; False when an instance is there that reopens the series as soon as it is noticed."""
        with self.engine.begin() as connection:
            newest = state.latest(connection, key)
            members = state.known_uids(connection, key)
        # instances beside a version that a person took out go with it
        is_handed_over = newest is not None and newest.state is SeriesState.COMPLETE
        return self.spool.purge(key, only=members if is_handed_over else None)

    def _holds(
        self,
        connection: Connection,
        row: SeriesRow,
        decided: Mapping[tuple[str, int], Route],
        opted_out: Collection[str],
        now: float,
    ) -> bool:
        """Whether a version holds on to the files; of a series that opted out only what is under way does."""
        if row.series_key not in opted_out:
            return self._is_kept(connection, row, decided.get((row.series_key, row.version)), now)
        jobs = self.queue.find(connection, row.series_key)
        items = outbox.find_by_series(connection, row.series_key)
        is_under_way = any(job.state in (JobState.QUEUED, JobState.RUNNING) for job in jobs)
        return row.completed_at is None or is_under_way or any(item.done_at is None for item in items)

    def _is_kept(self, connection: Connection, row: SeriesRow, route: Route | None, now: float) -> bool:
        """Whether a version of a series still holds on to the files of the series."""
        if row.state is SeriesState.FORGOTTEN:
            return False
        if row.state is SeriesState.REJECTED:
            return row.decided_at is None or row.decided_at + self.retention_s > now
        if route is not None and route.state in (RouteState.NOT_TAKEN, RouteState.PASSED_OVER):
            return route.decided_at + self.retention_s > now or self._is_in_reserve(connection, route)
        if row.n_late or row.n_conflicts:
            return True  # instances that belong to no version: a person must look
        jobs = [job for job in self.queue.find(connection, row.series_key) if job.series_version == row.version]
        ends = [self._ended_at(connection, job) for job in jobs]
        return not ends or any(end is None or end + self.retention_s > now for end in ends)

    def _is_in_reserve(self, connection: Connection, route: Route) -> bool:
        """Whether a series that was passed over may be needed: the one that was preferred is not segmented yet."""
        if route.state is not RouteState.PASSED_OVER:
            return False
        taken = [one for one in routes.of_study(connection, route.study_hash) if one.state is RouteState.TAKEN]
        open_states = (JobState.QUEUED, JobState.RUNNING)
        return any(job.state in open_states for one in taken for job in self.queue.find(connection, one.series_key))

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
            except (SpoolError, OSError, DBAPIError) as error:
                what = str(error) if isinstance(error, SpoolError) else type(error).__name__
                logger.error("purging failed (%s); tried again in %g s", what, INTERVAL_S)
