"""What every `JobQueue` promises, on every database that it runs on."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine

from inference.errors import JobLostError, UnknownJobError
from inference.jobs import Job, JobQueue, JobState
from inference.sql_queue import SqlJobQueue, metadata
from segwatch.database import make_engine

LEASE = 60.0


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def queue() -> JobQueue:
    return SqlJobQueue()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def take(queue: JobQueue, connection: Connection, worker: str = "a", now: float = 0.0) -> Job:
    job = queue.lease(connection, worker, now=now, seconds=LEASE)
    assert job is not None
    return job


def test_a_new_job_waits_with_no_attempt(queue: JobQueue, connection: Connection) -> None:
    job = queue.enqueue(connection, "s", 2, now=5.5)
    assert (job.series_key, job.series_version, job.generation, job.attempt) == ("s", 2, 0, 0)
    assert (job.state, job.queued_at, job.not_before, job.finished_at) == (JobState.QUEUED, 5.5, 5.5, None)


def test_the_same_series_version_is_queued_once(queue: JobQueue, connection: Connection) -> None:
    first = queue.enqueue(connection, "s", 1, now=1)
    assert queue.enqueue(connection, "s", 1, now=2) == first
    assert queue.enqueue(connection, "s", 2, now=2).id != first.id
    done = take(queue, connection, now=3)
    queue.finish(connection, done, now=4)
    assert queue.enqueue(connection, "s", 1, now=5).state is JobState.DONE


def test_jobs_are_leased_in_the_order_in_which_they_were_queued(queue: JobQueue, connection: Connection) -> None:
    for key, now in (("late", 3.0), ("early", 1.0), ("middle", 2.0)):
        queue.enqueue(connection, key, 1, now=now)
    assert [take(queue, connection, now=9).series_key for _ in range(3)] == ["early", "middle", "late"]
    assert queue.lease(connection, "a", now=9, seconds=LEASE) is None
    assert [job.series_key for job in queue.all(connection)] == ["early", "middle", "late"]


def test_a_lease_names_worker_attempt_and_end(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=1)
    job = take(queue, connection, "worker-7", now=10)
    assert (job.state, job.worker, job.attempt, job.lease_until) == (JobState.RUNNING, "worker-7", 1, 10 + LEASE)
    assert queue.find(connection, "s") == [job]


def test_a_lease_that_ran_out_is_taken_over_and_the_first_worker_loses_the_job(
    queue: JobQueue, connection: Connection
) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    first = take(queue, connection, "a")
    assert queue.lease(connection, "b", now=LEASE - 1, seconds=LEASE) is None
    second = take(queue, connection, "b", now=LEASE)
    assert (second.id, second.attempt, second.worker) == (first.id, 2, "b")
    for act in (
        lambda: queue.extend(connection, first, now=LEASE, seconds=LEASE),
        lambda: queue.finish(connection, first, now=LEASE),
        lambda: queue.reject(connection, first, reason="r", detail="d", now=LEASE),
        lambda: queue.retry_later(connection, first, reason="r", detail="d", not_before=LEASE),
        lambda: queue.fail(connection, first, reason="r", detail="d", now=LEASE),
    ):
        with pytest.raises(JobLostError):
            act()
    assert queue.find(connection, "s") == [second]


def test_the_same_worker_after_a_restart_does_not_act_for_its_earlier_self(
    queue: JobQueue, connection: Connection
) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    before = take(queue, connection, "a")
    after = take(queue, connection, "a", now=LEASE)
    with pytest.raises(JobLostError):
        queue.finish(connection, before, now=LEASE)
    queue.finish(connection, after, now=LEASE)


def test_an_extended_lease_holds(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    job = take(queue, connection)
    extended = queue.extend(connection, job, now=50, seconds=LEASE)
    assert extended.lease_until == 50 + LEASE
    assert queue.lease(connection, "b", now=LEASE + 1, seconds=LEASE) is None
    queue.finish(connection, job, now=70)


def test_a_lease_that_ran_out_and_that_nobody_took_is_still_held(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    job = take(queue, connection)
    queue.extend(connection, job, now=1000, seconds=LEASE)
    queue.finish(connection, job, now=1001)


def test_a_finished_job_is_never_leased_again(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    job = take(queue, connection)
    queue.finish(connection, job, now=7)
    (done,) = queue.find(connection, "s")
    assert (done.state, done.finished_at, done.lease_until) == (JobState.DONE, 7, None)
    assert queue.lease(connection, "b", now=1e9, seconds=LEASE) is None
    with pytest.raises(JobLostError):
        queue.finish(connection, job, now=8)


@pytest.mark.parametrize(("act", "state"), [("reject", JobState.REJECTED), ("fail", JobState.FAILED)])
def test_rejection_and_failure_are_final_and_keep_their_reason(
    queue: JobQueue, connection: Connection, act: str, state: JobState
) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    job = take(queue, connection)
    getattr(queue, act)(connection, job, reason="gantry_tilt", detail="tilted by 14°", now=7)
    (ended,) = queue.find(connection, "s")
    assert (ended.state, ended.reason, ended.detail, ended.finished_at) == (state, "gantry_tilt", "tilted by 14°", 7)
    assert queue.lease(connection, "b", now=1e9, seconds=LEASE) is None


def test_a_job_given_back_is_not_leased_before_its_time(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    queue.retry_later(connection, take(queue, connection), reason="disk", detail="full", not_before=100)
    (waiting,) = queue.find(connection, "s")
    assert (waiting.state, waiting.reason, waiting.not_before, waiting.attempt) == (JobState.QUEUED, "disk", 100, 1)
    assert queue.lease(connection, "a", now=99.9, seconds=LEASE) is None
    again = take(queue, connection, now=100)
    assert again.attempt == 2
    queue.finish(connection, again, now=101)
    assert queue.find(connection, "s")[0].reason is None


def test_a_job_that_waits_does_not_hold_up_others(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "old", 1, now=0)
    queue.retry_later(connection, take(queue, connection), reason="r", detail="d", not_before=100)
    queue.enqueue(connection, "new", 1, now=50)
    assert take(queue, connection, now=51).series_key == "new"


def test_queueing_again_raises_the_generation_and_forgets_the_attempts(queue: JobQueue, connection: Connection) -> None:
    job = queue.enqueue(connection, "s", 1, now=0)
    queue.fail(connection, take(queue, connection), reason="r", detail="d", now=5)
    again = queue.requeue(connection, job.id, now=9)
    assert (again.id, again.generation, again.attempt, again.state) == (job.id, 1, 0, JobState.QUEUED)
    assert (again.reason, again.detail, again.finished_at, again.worker, again.queued_at) == (None, None, None, None, 9)
    assert take(queue, connection, now=9).attempt == 1


def test_a_worker_loses_a_job_that_a_person_queues_again(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    held = take(queue, connection)
    queue.requeue(connection, held.id, now=1)
    with pytest.raises(JobLostError):
        queue.finish(connection, held, now=2)
    taken = take(queue, connection, now=3)
    assert (taken.worker, taken.attempt, taken.generation) == (held.worker, held.attempt, held.generation + 1)
    with pytest.raises(JobLostError):
        queue.finish(connection, held, now=4)


def test_a_withdrawn_job_is_rejected_whoever_holds_it(queue: JobQueue, connection: Connection) -> None:
    queue.enqueue(connection, "s", 1, now=0)
    held = take(queue, connection)
    gone = queue.withdraw(connection, held.id, reason="rejected_by_person", detail="wrong arm", now=1)
    assert (gone.state, gone.reason, gone.finished_at) == (JobState.REJECTED, "rejected_by_person", 1)
    with pytest.raises(JobLostError):
        queue.finish(connection, held, now=2)
    assert queue.lease(connection, "b", now=1e9, seconds=LEASE) is None


def test_a_job_that_is_not_there_is_an_error_with_a_name(queue: JobQueue, connection: Connection) -> None:
    with pytest.raises(UnknownJobError):
        queue.requeue(connection, 4711, now=0)
    with pytest.raises(UnknownJobError):
        queue.withdraw(connection, 4711, reason="r", detail="d", now=0)


def test_what_a_rolled_back_transaction_did_is_undone(queue: JobQueue, engine: Engine) -> None:
    class Crash(Exception):  # noqa: N818 (not an error of the product)
        pass

    with engine.begin() as connection:
        queue.enqueue(connection, "s", 1, now=0)
    with pytest.raises(Crash), engine.begin() as connection:
        queue.finish(connection, take(queue, connection), now=1)
        raise Crash
    with engine.begin() as connection:
        assert take(queue, connection, now=2).attempt == 1


def test_two_workers_never_hold_one_job(queue: JobQueue, engine: Engine) -> None:
    count, workers = 40, 4
    with engine.begin() as connection:
        for number in range(count):
            queue.enqueue(connection, f"s{number}", 1, now=number)
    start = threading.Barrier(workers)

    def work(name: str) -> list[int]:
        start.wait()
        taken: list[int] = []
        while True:
            with engine.begin() as connection:
                job = queue.lease(connection, name, now=100, seconds=LEASE)
            if job is None:
                return taken
            taken.append(job.id)
            with engine.begin() as connection:
                queue.finish(connection, job, now=101)

    with ThreadPoolExecutor(workers) as pool:
        taken = [job for done in pool.map(work, "abcd") for job in done]
    assert Counter(Counter(taken).values()) == {1: count}
    with engine.begin() as connection:
        assert {(job.state, job.attempt) for job in queue.all(connection)} == {(JobState.DONE, 1)}


def test_many_listeners_queue_one_series_once(queue: JobQueue, engine: Engine) -> None:
    start = threading.Barrier(4)

    def enqueue(now: int) -> int:
        start.wait()
        with engine.begin() as connection:
            return queue.enqueue(connection, "s", 1, now=now).id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(enqueue, range(4)))) == 1
    with engine.begin() as connection:
        assert len(queue.all(connection)) == 1
