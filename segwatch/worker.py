"""`Worker`: takes jobs, runs the pipeline, and ends each stage in one transaction.

A job ends in exactly one of these ways: done (results in the outbox), rejected (the series cannot be segmented),
queued again (something may get better), or failed (attempts used up; a person must look).
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from dicom_listener.routing import routes
from dicom_listener.routing.routing import Reason
from dicom_listener.spool.heads import read_heads
from dicom_listener.state import load_series
from inference.errors import JobLostError, ProviderError, SeriesRejectedError
from inference.jobs import Job, JobQueue
from segwatch.errors import ROOM_ERRORS
from segwatch.opt_out import OptOutCheck
from segwatch.pipeline import Observer, Pipeline
from segwatch.result_folder import ResultFolder
from segwatch.results import predecessor_series_uid, queue_results, write_results

logger = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 3


@dataclass(frozen=True, slots=True)
class WorkerPolicy:
    """When to give up; seconds."""

    lease_s: float
    maximum_attempts: int
    retry_s: float
    poll_s: float


@dataclass(frozen=True, slots=True)
class WorkerPlaces:
    """Where a worker finds its work and leaves its results."""

    engine: Engine
    queue: JobQueue
    spool_root: Path
    results_root: Path
    destinations: tuple[str, ...]


class Worker:
    """Segments one series at a time."""

    def __init__(
        self,
        name: str,
        places: WorkerPlaces,
        pipeline: Pipeline,
        policy: WorkerPolicy,
        *,
        observe: Callable[[Job], Observer] = lambda _job: lambda _progress: None,
        opt_out: OptOutCheck = lambda _heads: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`name` is unique among workers; `observe` gives the observer of one job's progress.

        `opt_out` is asked again before each attempt: an entry may have been added while the series waited.
        """
        self._name = name
        self._places = places
        self._pipeline = pipeline
        self._policy = policy
        self._observe = observe
        self._opt_out = opt_out
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; a job that is under way then is finished first."""
        while not stop.is_set():
            try:
                worked = self.work_once()
            except (DBAPIError, JobLostError) as error:
                logger.error("the job queue does not answer or the lease was lost (%s)", type(error).__name__)
                worked = False
            if not worked:
                stop.wait(self._policy.poll_s)

    def work_once(self) -> bool:
        """Take and end one job; False when there is none."""
        with self._places.engine.begin() as connection:
            job = self._places.queue.lease(connection, self._name, now=self._clock(), seconds=self._policy.lease_s)
        if job is None:
            return False
        if job.attempt > self._policy.maximum_attempts:
            self._end(job, "worker_died", "the worker died or was killed at every attempt; see its log")
            return True
        logger.info("series %s version %d: attempt %d begins", job.series_key, job.series_version, job.attempt)
        with self._lease_kept(job):
            self._attempt(job)
        return True

    def _attempt(self, job: Job) -> None:
        try:
            self._process(job)
        except SeriesRejectedError as error:
            self._reject(job, error)
        except JobLostError:
            logger.warning(
                "series %s version %d: another worker took over, or the job was withdrawn; this attempt's result is "
                "dropped",
                job.series_key,
                job.series_version,
            )
        except ProviderError as error:
            self._end(job, type(error).__name__, str(error))
            raise  # an engine that failed once, e.g. on a GPU, is not trusted again: a new process gets a new one
        except ROOM_ERRORS as error:
            self._end(job, type(error).__name__, str(error))
        except (OSError, MemoryError) as error:
            self._end(job, type(error).__name__, getattr(error, "strerror", None) or "out of memory")
        except DBAPIError:
            raise  # the lease runs out and the job is taken again
        except Exception as error:  # noqa: BLE001 (a defect in one job must not stop the others; it is kept and shown)
            # an unknown message may quote a data set: only the type and the places are logged
            frames = "".join(traceback.format_tb(error.__traceback__))
            logger.error("series %s: defect %s\n%s", job.series_key, type(error).__name__, frames)
            self._end(job, "defect", f"{type(error).__name__}; the worker's log has the place")

    def _process(self, job: Job) -> None:
        folder = ResultFolder(self._places.results_root, job.series_key, job.series_version, job.generation)
        with self._places.engine.begin() as connection:
            series = load_series(connection, self._places.spool_root, job.series_key, job.series_version)
            predecessor = predecessor_series_uid(connection, self._places.queue, folder)
        opted_out = self._opt_out(read_heads(instance.path for instance in series.instances))
        if opted_out is not None:
            self._withdraw(job, opted_out)
            return
        result = self._pipeline.run(
            series,
            generation=job.generation,
            checkpoint=folder.checkpoint,
            predecessor_series_uid=predecessor,
            observe=self._observe(job),
        )
        write_results(folder, result)
        with self._places.engine.begin() as connection:
            now = self._clock()
            queue_results(connection, folder, result, self._places.destinations, now=now)
            self._places.queue.finish(connection, job, now=now)
        folder.drop_checkpoint()
        logger.info("series %s version %d: segmented and queued for sending", job.series_key, job.series_version)

    def _reject(self, job: Job, error: SeriesRejectedError) -> None:
        logger.warning("series %s is rejected: %s", job.series_key, error)
        with self._places.engine.begin() as connection:
            now = self._clock()
            self._places.queue.reject(connection, job, reason=error.reason.value, detail=error.detail, now=now)
            following = routes.give_up(connection, job.series_key, job.series_version, now=now)
            if following is not None:
                self._places.queue.enqueue(connection, following.series_key, following.version, now=now)
        if following is not None:
            logger.info("series %s of the same study is queued in its place", following.series_key)

    def _withdraw(self, job: Job, reason: Reason) -> None:
        logger.warning("series %s is not segmented: %s", job.series_key, reason.name)
        with self._places.engine.begin() as connection:
            now = self._clock()
            self._places.queue.reject(connection, job, reason=reason.name, detail=reason.detail, now=now)
            routes.opt_out(connection, job.series_key, job.series_version, reason, now=now)

    def _end(self, job: Job, reason: str, detail: str) -> None:
        """Give the job back for a later attempt, or mark it failed when attempts are used up."""
        now = self._clock()
        with self._places.engine.begin() as connection:
            if job.attempt >= self._policy.maximum_attempts:
                logger.error("series %s failed after %d attempts: %s", job.series_key, job.attempt, reason)
                self._places.queue.fail(connection, job, reason=reason, detail=detail, now=now)
                return
            pause = self._policy.retry_s * 2 ** (job.attempt - 1)
            logger.warning("series %s: %s; tried again in %g s", job.series_key, reason, pause)
            self._places.queue.retry_later(connection, job, reason=reason, detail=detail, not_before=now + pause)

    @contextmanager
    def _lease_kept(self, job: Job) -> Iterator[None]:
        """Extend the lease from a thread of its own while the block runs."""
        ended = threading.Event()
        interval = self._policy.lease_s / HEARTBEATS_PER_LEASE

        def keep() -> None:
            while not ended.wait(interval):
                try:
                    with self._places.engine.begin() as connection:
                        self._places.queue.extend(connection, job, now=self._clock(), seconds=self._policy.lease_s)
                except JobLostError:
                    return  # the end of the job notices too, and drops its result
                except DBAPIError as error:
                    logger.warning(
                        "series %s: the lease could not be extended (%s)", job.series_key, type(error).__name__
                    )

        thread = threading.Thread(target=keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
