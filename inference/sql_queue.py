"""`SqlJobQueue`: the job queue in one SQL table, embedded (SQLite) or shared by many hosts (PostgreSQL)."""

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Double,
    Index,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from inference.errors import JobLostError, UnknownJobError
from inference.jobs import Job, JobState

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("series_key", String(64), nullable=False),
    Column("series_version", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", String(255)),
    Column("lease_until_at", Double),
    Column("not_before_at", Double, nullable=False),
    Column("reason", String(64)),
    Column("detail", Text),
    Column("queued_at", Double, nullable=False),
    Column("finished_at", Double),
    UniqueConstraint("series_key", "series_version", name="uq_jobs_series"),
    Index("ix_jobs_state_queued_at", "state", "queued_at"),
)
"""Times are Unix seconds UTC; `Job` says what the columns mean."""


class SqlJobQueue:
    """Implements `JobQueue` on SQLite and PostgreSQL.

    A lease is one row of state `running` with a worker and an end. Whoever acts on a leased job names worker,
    generation and attempt, so that a worker whose lease was taken over, or whose job a person queued again, changes
    nothing. On PostgreSQL `FOR UPDATE SKIP LOCKED` lets many workers lease at once; on SQLite a writing transaction
    excludes all others (`BEGIN IMMEDIATE`, see `segwatch.database`).
    """

    def enqueue(self, connection: Connection, series_key: str, series_version: int, *, now: float) -> Job:
        """Queue a job; the same series version again returns the job that is there."""
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(jobs).values(
            series_key=series_key,
            series_version=series_version,
            generation=0,
            state=JobState.QUEUED,
            attempt=0,
            not_before_at=now,
            queued_at=now,
        )
        connection.execute(statement.on_conflict_do_nothing(index_elements=["series_key", "series_version"]))
        same = and_(jobs.c.series_key == series_key, jobs.c.series_version == series_version)
        return _job(connection.execute(select(jobs).where(same)).one())

    def requeue(self, connection: Connection, job_id: int, *, now: float) -> Job:
        """Queue a job again by a person's wish: next generation, attempts from zero.

        Raises:
            UnknownJobError: there is no such job.
        """
        again = {
            "generation": jobs.c.generation + 1,
            "state": JobState.QUEUED,
            "attempt": 0,
            "worker": None,
            "lease_until_at": None,
            "not_before_at": now,
            "reason": None,
            "detail": None,
            "queued_at": now,
            "finished_at": None,
        }
        return _change(connection, job_id, again)

    def withdraw(self, connection: Connection, job_id: int, *, reason: str, detail: str, now: float) -> Job:
        """Mark rejected by a person's wish, whatever its state; a worker that holds the job loses it.

        Raises:
            UnknownJobError: there is no such job.
        """
        values = {"state": JobState.REJECTED, "reason": reason, "detail": detail, "finished_at": now}
        return _change(connection, job_id, {**values, "lease_until_at": None})

    def lease(self, connection: Connection, worker: str, *, now: float, seconds: float) -> Job | None:
        """Take the job that was queued first among those that are due or whose lease ran out."""
        found = connection.execute(_due(now)).scalar()
        if found is None:
            return None
        values = {
            "state": JobState.RUNNING,
            "attempt": jobs.c.attempt + 1,
            "worker": worker,
            "lease_until_at": now + seconds,
        }
        return _change(connection, found, values)

    def extend(self, connection: Connection, job: Job, *, now: float, seconds: float) -> Job:
        """Keep a lease alive; one that ran out is kept too, as long as nobody took the job over.

        Raises:
            JobLostError: another worker holds the job, or a person queued it again or withdrew it.
        """
        return _change_held(connection, job, {"lease_until_at": now + seconds})

    def finish(self, connection: Connection, job: Job, *, now: float) -> None:
        """Mark done; the reason of an earlier attempt goes. Raises `JobLostError` as `extend` does."""
        ended = _ended(JobState.DONE, now)
        _change_held(connection, job, {**ended, "reason": None, "detail": None})

    def reject(self, connection: Connection, job: Job, *, reason: str, detail: str, now: float) -> None:
        """Mark rejected: trying again cannot help. Raises `JobLostError` as `extend` does."""
        ended = _ended(JobState.REJECTED, now)
        _change_held(connection, job, {**ended, "reason": reason, "detail": detail})

    def retry_later(self, connection: Connection, job: Job, *, reason: str, detail: str, not_before: float) -> None:
        """Give the job back, not to be leased before a time. Raises `JobLostError` as `extend` does."""
        queued = {"state": JobState.QUEUED, "lease_until_at": None, "not_before_at": not_before}
        _change_held(connection, job, {**queued, "reason": reason, "detail": detail})

    def fail(self, connection: Connection, job: Job, *, reason: str, detail: str, now: float) -> None:
        """Mark failed: attempts are used up, a person must look. Raises `JobLostError` as `extend` does."""
        ended = _ended(JobState.FAILED, now)
        _change_held(connection, job, {**ended, "reason": reason, "detail": detail})

    def find(self, connection: Connection, series_key: str) -> list[Job]:
        """All jobs of a series, by version."""
        statement = select(jobs).where(jobs.c.series_key == series_key).order_by(jobs.c.series_version)
        return [_job(row) for row in connection.execute(statement)]

    def all(self, connection: Connection) -> list[Job]:
        """Every job, oldest first."""
        return [_job(row) for row in connection.execute(select(jobs).order_by(jobs.c.queued_at, jobs.c.id))]


def _due(now: float) -> Select[Any]:
    waiting = and_(jobs.c.state == JobState.QUEUED, jobs.c.not_before_at <= now)
    abandoned = and_(jobs.c.state == JobState.RUNNING, jobs.c.lease_until_at <= now)
    first = select(jobs.c.id).where(or_(waiting, abandoned)).order_by(jobs.c.queued_at, jobs.c.id).limit(1)
    return first.with_for_update(skip_locked=True)  # SQLite's dialect leaves the clause out


def _ended(state: JobState, now: float) -> dict[str, Any]:
    return {"state": state, "finished_at": now, "lease_until_at": None}


def _change(connection: Connection, job_id: int, values: dict[str, Any]) -> Job:
    statement = update(jobs).where(jobs.c.id == job_id).values(values).returning(*jobs.c)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise UnknownJobError(f"there is no job {job_id}")
    return _job(row)


def _change_held(connection: Connection, job: Job, values: dict[str, Any]) -> Job:
    held = and_(
        jobs.c.id == job.id,
        jobs.c.state == JobState.RUNNING,
        jobs.c.worker == job.worker,
        jobs.c.generation == job.generation,
        jobs.c.attempt == job.attempt,
    )
    row = connection.execute(update(jobs).where(held).values(values).returning(*jobs.c)).one_or_none()
    if row is None:
        raise JobLostError(f"job {job.id} of series {job.series_key} is no longer held by {job.worker}")
    return _job(row)


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        series_key=row.series_key,
        series_version=row.series_version,
        generation=row.generation,
        state=JobState(row.state),
        attempt=row.attempt,
        worker=row.worker,
        lease_until=row.lease_until_at,
        not_before=row.not_before_at,
        reason=row.reason,
        detail=row.detail,
        queued_at=row.queued_at,
        finished_at=row.finished_at,
    )
