"""The central consumer: reads the sites' topics, processes each message once, publishes what follows from it."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from qc.central import outbox, processing, store
from qc.central.processing import Judge, Outcome
from qc.central.store import Arrival
from qc.central.tables import create_tables
from qc.errors import StoreError, StreamError
from qc.stream.messages import Sink, Source, StoredMessage

_log = logging.getLogger(__name__)

POLL_S = 1.0
"""Longest wait for messages: also how long a stop may take."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did."""

    outcomes: Counter[Outcome]
    published: int
    """Verdicts, alerts and dead letters."""


class StoredPositions:
    """`StartingPoints` out of the central store, where offsets are kept in the transaction of what they stand for."""

    def __init__(self, engine: Engine) -> None:
        """Ask this store."""
        self._engine = engine

    def next_offset(self, topic: str, partition: int) -> int:
        """First offset that was not processed yet. Raises `StoreError`."""
        try:
            with self._engine.begin() as connection:
                return store.read_next_offset(connection, topic, partition)
        except SQLAlchemyError as error:
            raise _store_error(error) from error


class CentralConsumer:
    """One consumer; one thread runs it.

    A message that was read is finished before the next one is begun, however long the store stays away: its offset is
    stored in the same transaction, so nothing is skipped and nothing counts twice.
    """

    def __init__(
        self,
        *,
        source: Source,
        sink: Sink,
        engine: Engine,
        judge: Judge,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Put the parts together.

        Args:
            source: of the sites' topics; its starting points must be `StoredPositions(engine)`.
            sink: for verdicts, alerts and dead letters.
            engine: of the central store.
            judge: detector and alert rule.
            clock: Unix time in seconds, for the arrival times in the store alone.
        """
        self._source = source
        self._sink = sink
        self._engine = engine
        self._judge = judge
        self._clock = clock
        self._unfinished: StoredMessage | None = None
        self._outcomes: Counter[Outcome] = Counter()
        self._published = 0

    def run(self, stop: threading.Event, *, idle_exit: bool = False) -> Summary:
        """Consume until `stop` is set, or until nothing is left when `idle_exit` is given.

        Where the store or the log does not answer, it waits and tries again.

        Raises:
            StoreError: the store cannot be opened at the start.
            FeatureMismatchError: the detector was fitted on other metrics than the stored records have.
        """
        self.prepare()
        pause = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                if idle_exit and self._is_idle():
                    break
                self._consume(POLL_S, stop)
                self._publish()
                pause = FIRST_PAUSE_S
            except (StoreError, StreamError) as error:
                _log.warning("%s; trying again in %g s", error, pause)
                stop.wait(pause)
                pause = min(2.0 * pause, LONGEST_PAUSE_S)
        return self._summary()

    def consume_available(self) -> Summary:
        """Process and publish all that is there, then return.

        Raises:
            StoreError: the store does not answer; the same message is taken up by the next call.
            StreamError: the log does not answer.
            FeatureMismatchError: the detector was fitted on other metrics than the stored records have.
        """
        self.prepare()
        never = threading.Event()
        while not self._is_idle():
            self._consume(POLL_S, never)
            self._publish()
        return self._summary()

    def prepare(self) -> None:
        """Create missing tables and compare the detector with the stored records. Raises as `run` does."""
        create_tables(self._engine)
        try:
            with self._engine.begin() as connection:
                processing.check_detector(connection, self._judge.detector)
        except SQLAlchemyError as error:
            raise _store_error(error) from error

    def close(self) -> None:
        """Release source and sink; the engine stays the caller's."""
        self._source.close()
        self._sink.close()

    def _is_idle(self) -> bool:
        self._publish()
        return self._unfinished is None and self._source.lag() == 0

    def _consume(self, timeout_s: float, stop: threading.Event) -> None:
        for stored in self._next_messages(timeout_s):
            self._unfinished = stored
            if stop.is_set():
                return
            self._finish(stored)
            self._unfinished = None
            self._source.processed(stored.position)

    def _next_messages(self, timeout_s: float) -> Iterator[StoredMessage]:
        if self._unfinished is not None:
            yield self._unfinished
        yield from self._source.poll(timeout_s)

    def _finish(self, stored: StoredMessage) -> None:
        now = self._clock()
        try:
            with self._engine.begin() as connection:
                outcome = processing.process(connection, Arrival(stored, now), self._judge)
                store.write_position(connection, stored.position, now)
        except SQLAlchemyError as error:
            raise _store_error(error) from error
        self._outcomes[outcome] += 1

    def _publish(self) -> None:
        try:
            self._published += outbox.drain(self._engine, self._sink)
        except SQLAlchemyError as error:
            raise _store_error(error) from error

    def _summary(self) -> Summary:
        return Summary(self._outcomes.copy(), self._published)


def _store_error(error: SQLAlchemyError) -> StoreError:
    # the class alone: SQLAlchemy's text repeats the values of the statement
    return StoreError(f"the central store does not answer ({type(error).__name__}): check the database")
