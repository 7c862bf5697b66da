"""Random histories of a job queue against a plain model of it: workers, persons and a clock, in any order."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import create_engine

from inference.errors import JobLostError
from inference.jobs import Job, JobState
from inference.sql_queue import SqlJobQueue, metadata

LEASE = 10.0
ENDS = {"finish": JobState.DONE, "reject": JobState.REJECTED, "fail": JobState.FAILED}


class QueueMachine(RuleBasedStateMachine):
    """`self.model` holds what each job must look like."""

    leases: Bundle[Job] = Bundle("leases")

    @initialize()
    def start(self) -> None:
        engine = create_engine("sqlite://")
        self.connection = engine.connect()
        metadata.create_all(self.connection)
        self.queue = SqlJobQueue()
        self.model: dict[int, Job] = {}
        self.now = 0.0

    def teardown(self) -> None:
        self.connection.close()
        self.connection.engine.dispose()

    @rule(seconds=st.sampled_from([0.5, 3.0, LEASE, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=st.sampled_from("abc"), version=st.integers(1, 2))
    def enqueue(self, key: str, version: int) -> None:
        job = self.queue.enqueue(self.connection, key, version, now=self.now)
        known = [j for j in self.model.values() if (j.series_key, j.series_version) == (key, version)]
        assert job == (known[0] if known else job)
        self.model[job.id] = job

    @rule(target=leases, worker=st.sampled_from(["w1", "w2"]))
    def lease(self, worker: str) -> Any:
        due = [
            job
            for job in self.model.values()
            if (job.state is JobState.QUEUED and job.not_before <= self.now)
            or (job.state is JobState.RUNNING and job.lease_until is not None and job.lease_until <= self.now)
        ]
        job = self.queue.lease(self.connection, worker, now=self.now, seconds=LEASE)
        if not due:
            assert job is None
            return Job(-1, "x", 1, 0, JobState.RUNNING, 1, worker, 0, 0, None, None, 0, None)
        first = min(due, key=lambda j: (j.queued_at, j.id))
        expected = replace(
            first, state=JobState.RUNNING, attempt=first.attempt + 1, worker=worker, lease_until=self.now + LEASE
        )
        assert job == expected
        self.model[first.id] = expected
        return job

    def act(self, job: Job, call: Any, **changes: Any) -> None:
        """Either the job is still held and changes, or the worker is told that it lost it."""
        current = self.model.get(job.id)
        same = ("worker", "attempt", "generation", "state")
        if current is not None and all(getattr(current, f) == getattr(job, f) for f in same):
            call()
            self.model[job.id] = replace(current, **changes)
        else:
            with pytest.raises(JobLostError):
                call()

    @rule(job=leases)
    def extend(self, job: Job) -> None:
        call = lambda: self.queue.extend(self.connection, job, now=self.now, seconds=LEASE)  # noqa: E731 (shorter)
        self.act(job, call, lease_until=self.now + LEASE)

    @rule(job=leases, how=st.sampled_from(sorted(ENDS)))
    def end(self, job: Job, how: str) -> None:
        why = {} if how == "finish" else {"reason": "r", "detail": "d"}
        changes = {"state": ENDS[how], "finished_at": self.now, "lease_until": None, "reason": None, "detail": None}
        call = lambda: getattr(self.queue, how)(self.connection, job, now=self.now, **why)  # noqa: E731 (shorter)
        self.act(job, call, **{**changes, **why})

    @rule(job=leases, pause=st.sampled_from([0.0, 5.0]))
    def retry_later(self, job: Job, pause: float) -> None:
        why = {"reason": "r", "detail": "d", "not_before": self.now + pause}
        call = lambda: self.queue.retry_later(self.connection, job, **why)  # type: ignore[arg-type]  # noqa: E731 (shorter)
        self.act(job, call, state=JobState.QUEUED, lease_until=None, **why)

    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        if self.model:
            job = self.model[data.draw(st.sampled_from(sorted(self.model)))]
            again = self.queue.requeue(self.connection, job.id, now=self.now)
            assert again.generation == job.generation + 1
            fresh = {"state": JobState.QUEUED, "attempt": 0, "queued_at": self.now, "not_before": self.now}
            gone = dict.fromkeys(("worker", "lease_until", "reason", "detail", "finished_at"))
            self.model[job.id] = replace(job, generation=again.generation, **fresh, **gone)  # type: ignore[arg-type]  # mixed values

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        if self.model:
            job = self.model[data.draw(st.sampled_from(sorted(self.model)))]
            self.queue.withdraw(self.connection, job.id, reason="p", detail="q", now=self.now)
            ended = {"state": JobState.REJECTED, "finished_at": self.now, "lease_until": None}
            self.model[job.id] = replace(job, reason="p", detail="q", **ended)  # type: ignore[arg-type]  # mixed values

    @invariant()
    def the_table_is_the_model(self) -> None:
        expected = sorted(self.model.values(), key=lambda job: (job.queued_at, job.id))
        assert self.queue.all(self.connection) == expected


QueueMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestQueue = QueueMachine.TestCase
