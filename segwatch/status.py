"""What a site is doing: every series with its state derived from the rows of the rooms, the outbox, the spool."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from dicom_listener.routing import routes
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.spool.spool import SpoolUsage
from dicom_listener.state import SeriesRow, list_series
from dicom_listener.state import SeriesState as ReceptionState
from inference.jobs import Job, JobQueue, JobState
from reporter import outbox
from reporter.outbox_summary import DestinationSummary, summarize
from reporter.outbox_table import ItemState, OutboxItem
from segwatch.superseding import SUPERSEDED


class SeriesState(StrEnum):
    """How far a series is on its whole way."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    """Complete; the best of its study is chosen when the study is quiet."""
    QUEUED = "queued"
    SEGMENTING = "segmenting"
    DELIVERING = "delivering"
    DONE = "done"
    REJECTED = "rejected"
    """It cannot be segmented, or a person rejected it."""
    FAILED = "failed"
    """Attempts are used up: a person must look."""
    NOT_TAKEN = "not_taken"
    """Rules leave it out."""
    PASSED_OVER = "passed_over"
    """Another series of its study was taken."""
    OPTED_OUT = "opted_out"
    """Its patient or study is on the opt-out list."""
    FORGOTTEN = "forgotten"
    SUPERSEDED = "superseded"
    """The next version took its place before its result was made and had arrived everywhere."""


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """One version of one series."""

    key: str
    version: int
    state: SeriesState
    reason: str | None
    """Name of a rejection, failure or pause, or the names of all rules that leave it out."""
    detail: str | None
    taken_because: str | None
    """Why it was taken among the series of its study; None for one that has no job."""
    instances: int
    expected_instances: int | None
    """How many it was said to have when it was complete; None when nobody said."""
    ended_by: str | None
    """What ended the wait for further instances."""
    late_instances: int
    conflicting_instances: int
    waiting_for: tuple[str, ...]
    """Destinations without a confirmation yet, each with its last error where there is one."""
    received_at: float
    """First instance, Unix time in seconds."""
    ended_at: float | None
    """When nothing was left to do."""
    turnaround_s: float | None
    """From the last instance to the last confirmation, seconds."""
    purged: bool


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """A site at one moment."""

    counts: dict[str, int]
    series: tuple[SeriesStatus, ...]
    outbox: tuple[DestinationSummary, ...]
    spool: SpoolUsage
    median_turnaround_s: float | None


def site_status(connection: Connection, queue: JobQueue, spool: SpoolUsage) -> SiteStatus:
    """Put the status together in one transaction."""
    jobs: dict[tuple[str, int], Job] = {(job.series_key, job.series_version): job for job in queue.all(connection)}
    decided = routes.all_routes(connection)
    series = tuple(
        series_status(
            row,
            jobs.get((row.series_key, row.version)),
            outbox.find_by_series(connection, row.series_key),
            decided.get((row.series_key, row.version)),
        )
        for row in list_series(connection)
    )
    times = sorted(s.turnaround_s for s in series if s.turnaround_s is not None)
    return SiteStatus(
        counts=dict(Counter(s.state.value for s in series)),
        series=series,
        outbox=tuple(summarize(connection)),
        spool=spool,
        median_turnaround_s=times[len(times) // 2] if times else None,
    )


def series_status(
    row: SeriesRow, job: Job | None, items: Sequence[OutboxItem], route: Route | None = None
) -> SeriesStatus:
    """Derive the state of one version from the listener's row, what was decided, its job and its results."""
    mine = [item for item in items if job is not None and _belongs(item, row, job)]
    state = _state(row, job, mine, route)
    ended_at = max((item.done_at or 0.0 for item in mine), default=None) if state is SeriesState.DONE else None
    why = _why(route)
    reason, detail = (job.reason, job.detail) if job is not None else why
    if row.decided_at is not None:
        reason, detail = row.state.value, f"by {row.decided_by}: {row.decided_why}"
    return SeriesStatus(
        key=row.series_key,
        version=row.version,
        state=state,
        reason=reason,
        detail=detail,
        taken_because=": ".join(filter(None, why)) or None if job is not None else None,
        instances=row.n_instances,
        expected_instances=row.expected,
        ended_by=None if row.ended_by is None else row.ended_by.value,
        late_instances=row.n_late,
        conflicting_instances=row.n_conflicts,
        waiting_for=tuple(_waiting(item) for item in mine if item.state is not ItemState.DONE),
        received_at=row.first_at,
        ended_at=ended_at,
        turnaround_s=None if ended_at is None else ended_at - _begun_at(row, job),
        purged=row.purged_at is not None,
    )


def _begun_at(row: SeriesRow, job: Job | None) -> float:
    """When the last instance of the version came, or a person had it reprocessed.

    Late instances move `last_at` on, so the completion stands in for it then.
    """
    if job is not None and job.generation > 0:
        return job.queued_at
    return row.completed_at if row.n_late and row.completed_at is not None else row.last_at


def _belongs(item: OutboxItem, row: SeriesRow, job: Job) -> bool:
    return item.run.series_version == row.version and item.run.generation == job.generation


def _waiting(item: OutboxItem) -> str:
    return f"{item.destination} ({item.last_error})" if item.last_error else item.destination


def _why(route: Route | None) -> tuple[str | None, str | None]:
    if route is None or not route.reasons:
        return None, None
    names = ", ".join(reason.name for reason in route.reasons)
    if len(route.reasons) == 1:
        return names, route.reasons[0].detail
    return names, "; ".join(f"{reason.name}: {reason.detail}" for reason in route.reasons)


_OF_ROUTE = {
    RouteState.UNDECIDED: SeriesState.WAITING,
    RouteState.WAITING: SeriesState.WAITING,
    RouteState.NOT_TAKEN: SeriesState.NOT_TAKEN,
    RouteState.PASSED_OVER: SeriesState.PASSED_OVER,
    RouteState.OPTED_OUT: SeriesState.OPTED_OUT,
}


def _state(row: SeriesRow, job: Job | None, items: Sequence[OutboxItem], route: Route | None) -> SeriesState:
    if row.state is ReceptionState.FORGOTTEN:
        return SeriesState.FORGOTTEN
    if row.state is ReceptionState.REJECTED:
        return SeriesState.REJECTED
    if route is not None and route.state is RouteState.OPTED_OUT:
        return SeriesState.OPTED_OUT
    return _state_of_route(route) if job is None else _state_of_job(job, items)


def _state_of_route(route: Route | None) -> SeriesState:
    if route is None:
        return SeriesState.RECEIVING
    if route.state is RouteState.PASSED_OVER and _why(route)[0] == SUPERSEDED:
        return SeriesState.SUPERSEDED
    return _OF_ROUTE.get(route.state, SeriesState.RECEIVING)


def _state_of_job(job: Job, items: Sequence[OutboxItem]) -> SeriesState:
    if job.state is JobState.REJECTED and job.reason == SUPERSEDED:
        return SeriesState.SUPERSEDED
    if job.state is JobState.DONE:
        done = all(item.state is ItemState.DONE for item in items)
        return SeriesState.DONE if done else SeriesState.DELIVERING
    return {
        JobState.QUEUED: SeriesState.QUEUED,
        JobState.RUNNING: SeriesState.SEGMENTING,
        JobState.REJECTED: SeriesState.REJECTED,
        JobState.FAILED: SeriesState.FAILED,
    }[job.state]
