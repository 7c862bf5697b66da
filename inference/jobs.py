"""`Job` and the `JobQueue` protocol: what a worker does next, and who holds it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sqlalchemy import Connection


class JobState(StrEnum):
    """States of a job; the last three are final until a person acts."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One version of one series to be segmented."""

    id: int
    series_key: str
    series_version: int
    generation: int
    """0 for the first run; each reprocessing by a person raises it by one."""
    state: JobState
    attempt: int
    """1 for the first lease; leases that ran out count."""
    worker: str | None
    """Who holds or last held the lease."""
    lease_until: float | None
    """Unix time in seconds."""
    not_before: float
    """Unix time in seconds; a failed attempt is tried again after this."""
    reason: str | None
    """Name of the rejection or failure."""
    detail: str | None
    """One sentence for a person, without patient data."""
    queued_at: float
    finished_at: float | None


class JobQueue(Protocol):
    """A durable queue. Every call works inside the caller's transaction; `now` is Unix time in seconds."""

    def enqueue(self, connection: Connection, series_key: str, series_version: int, *, now: float) -> Job:
        """Queue a job; the same series version again returns the job that is there."""
        ...

    def requeue(self, connection: Connection, job_id: int, *, now: float) -> Job:
        """Queue a job again by a person's wish: next generation, attempts from zero.

        A worker that holds the job loses it. Raises `UnknownJobError` where there is no such job.
        """
        ...

    def lease(self, connection: Connection, worker: str, *, now: float, seconds: float) -> Job | None:
        """Take the oldest due job, or one whose lease ran out; None when there is none."""
        ...

    def extend(self, connection: Connection, job: Job, *, now: float, seconds: float) -> Job:
        """Keep a lease alive. Raises `JobLostError` when another worker holds the job."""
        ...

    def finish(self, connection: Connection, job: Job, *, now: float) -> None:
        """Mark done. Raises `JobLostError` when another worker holds the job."""
        ...

    def reject(self, connection: Connection, job: Job, *, reason: str, detail: str, now: float) -> None:
        """Mark rejected: trying again cannot help. Raises `JobLostError`."""
        ...

    def retry_later(self, connection: Connection, job: Job, *, reason: str, detail: str, not_before: float) -> None:
        """Give the job back to be tried again. Raises `JobLostError`."""
        ...

    def fail(self, connection: Connection, job: Job, *, reason: str, detail: str, now: float) -> None:
        """Mark failed: attempts are used up, a person must look. Raises `JobLostError`."""
        ...

    def withdraw(self, connection: Connection, job_id: int, *, reason: str, detail: str, now: float) -> Job:
        """Mark rejected by a person's wish, whatever its state; a worker that holds the job loses it.

        Raises `UnknownJobError` where there is no such job.
        """
        ...

    def find(self, connection: Connection, series_key: str) -> list[Job]:
        """All jobs of a series, by version."""
        ...

    def all(self, connection: Connection) -> list[Job]:
        """Every job, oldest first."""
        ...
