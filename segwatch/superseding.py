"""What a new version of a series does to the ones before: their results are not made, and not sent, any more."""

from collections.abc import Callable

from sqlalchemy import Connection

from dicom_listener.routing import routes
from dicom_listener.series import ReceivedSeries
from inference.jobs import Job, JobQueue, JobState
from reporter import outbox
from segwatch.made_results import drop_results

SUPERSEDED = "superseded"
"""Reason of a job whose series version was replaced before its result had arrived everywhere."""
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING, JobState.FAILED)


def supersede(connection: Connection, queue: JobQueue, series_key: str, version: int, *, now: float) -> None:
    """Take back what the versions before `version` have not brought to an end, in the transaction that completes it.

    A worker that is at one of them loses its job, so its result is dropped. A result that waits for a destination is
    withdrawn there: it would arrive after, or instead of, the new one. What a destination has stays there.
    """
    routes.supersede(connection, series_key, version, now=now)
    older = [job for job in queue.find(connection, series_key) if job.series_version < version]
    for job in older:
        if job.state in _UNFINISHED:
            _withdraw(connection, queue, job, f"version {version} took its place before this run ended", now)
    # after the jobs: whoever queues results ends its job in the same transaction
    withdrawn = outbox.withdraw_instances(connection, series_key, before_version=version)
    sent = {i.run.series_version for i in outbox.find_by_series(connection, series_key) if i.path and i.done_at}
    for job in older:
        if job.series_version not in withdrawn:
            continue
        if job.series_version in sent:
            detail = f"version {version} took its place; some destinations have its result"
        else:
            detail = f"version {version} took its place before its result was sent"
            drop_results(connection, series_key, job.series_version)
        _withdraw(connection, queue, job, detail, now)


def superseding(
    queue: JobQueue, then: Callable[[Connection, ReceivedSeries], None], *, clock: Callable[[], float]
) -> Callable[[Connection, ReceivedSeries], None]:
    """Make a hand-over that first takes back what earlier versions of the series have not brought to an end."""

    def hand_over(connection: Connection, series: ReceivedSeries) -> None:
        if series.version > 1:
            supersede(connection, queue, series.key, series.version, now=clock())
        then(connection, series)

    return hand_over


def _withdraw(connection: Connection, queue: JobQueue, job: Job, detail: str, now: float) -> None:
    queue.withdraw(connection, job.id, reason=SUPERSEDED, detail=detail, now=now)
