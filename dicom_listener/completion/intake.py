"""The intake: one thread that turns stored instances into complete series and hands these over."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from sqlalchemy import Connection, Engine

from dicom_listener.association_report import AssociationReport
from dicom_listener.completion.books import Books
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake_events import Asker, CountAnswer, IntakeEvent, IntakeProgress, OpenSeries
from dicom_listener.errors import in_short
from dicom_listener.routing.router import SeriesRouter
from dicom_listener.series import ReceivedSeries
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance

__all__ = ["Intake", "IntakeProgress"]

LOGGER = logging.getLogger(__name__)

SAVE_SECONDS = 2.0
"""How often the progress of open series is written: one commit for all of them, not one for each instance."""
GATHER_SECONDS = 0.05
"""What comes within this time is taken in together: a thread that woke for each instance would slow its sender."""
RETRY_SECONDS = 2.0
"""When something that failed is tried again."""


class Intake:
    """Follows the instances of one spool until their series are complete.

    What it is told is kept in memory only: the files are the record, and `start` reads them again.
    """

    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        *,
        rule: CompletionRule,
        on_complete: Callable[[Connection, ReceivedSeries], None],
        observe: Callable[[IntakeEvent], None] | None = None,
        router: SeriesRouter | None = None,
        asker: Asker | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make an intake that does nothing before `start`.

        Args:
            spool: where the instances are.
            engine: of the state; its tables exist.
            rule: when a series is complete.
            on_complete: called in the transaction that makes a series complete, e.g. to queue its job; when it
                raises, the transaction is rolled back and tried again.
            observe: told what happened, after the commit, in the intake's thread; must return quickly.
            router: decides about complete series in the intake's thread; its `on_complete` is given beside it.
            asker: asks senders for counts; it is started and stopped here.
            clock: Unix time for the rows; waiting goes by a monotonic clock, which does not jump.
        """
        self._spool = spool
        self._observe = observe
        self._router = router
        self._asker = asker
        self._books = Books(spool, engine, rule, on_complete, self._tell, clock)
        if asker is not None:
            self._books.may_ask = asker.may_ask
        self._condition = threading.Condition()
        self._added: deque[StoredInstance | AssociationReport | CountAnswer] = deque()
        self._backlog: deque[StoredInstance | AssociationReport | CountAnswer] = deque()
        self._save_at = self._retry_at = self._gather_at = 0.0
        self._open_series = OpenSeries(0, None)
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take up what the spool holds and begin to work.

        Raises:
            SpoolError: the spool cannot be read, or another listener uses it.
            sqlalchemy.exc.SQLAlchemyError: the state cannot be read.
        """
        self._spool.claim()
        try:
            self._books.recover(now=time.monotonic())
            self._open_series = self._books.open_series()
            if self._router is not None:
                self._router.recover(now=time.monotonic())
        except BaseException:
            self._spool.release()
            raise
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dicom-intake")
        if self._asker is not None:
            self._asker.start(self.add)
        self._thread.start()

    def add(self, event: StoredInstance | AssociationReport | CountAnswer) -> None:
        """Take note of an instance that is durable, of an association that ended after its instances were told, or of
        a sender's answer; returns at once, from any thread."""
        with self._condition:
            if not self._added:  # otherwise the thread knows already
                self._condition.notify()
            self._added.append(event)

    @property
    def is_running(self) -> bool:
        """Whether its thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def progress(self) -> IntakeProgress:
        """How far it is, from any thread."""
        return IntakeProgress(self._open_series, len(self._added) + len(self._backlog))

    def stop(self) -> None:
        """Take in what was added, write the progress, and end. Open series go on at the next start."""
        if self._thread is None:
            return
        if self._asker is not None:
            self._asker.stop()
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()
        self._thread = None
        self._spool.release()

    def _run(self) -> None:
        while self._wait():
            self._turn()
        self._save_at = self._retry_at = self._gather_at = 0.0
        self._turn(hand_over=False)

    def _wait(self) -> bool:
        """Wait until there is something to do, and take it; False when the intake is to stop."""
        with self._condition:
            while not self._stopping and not (self._added and time.monotonic() >= self._take_at()):
                left = self._next_time() - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(min(left, threading.TIMEOUT_MAX))
            self._backlog.extend(self._added)
            self._added.clear()
            return not self._stopping

    def _next_time(self) -> float:
        times = [threading.TIMEOUT_MAX]
        if self._backlog or self._added:
            times.append(self._take_at())
        if self._books.has_unsaved():
            times.append(self._save_at)
        if (at := self._books.completion.next_time()) is not None:
            times.append(at)
        is_receiving = self._books.completion.is_receiving
        if self._router is not None and (deadline := self._router.next_deadline(is_receiving)) is not None:
            times.append(deadline)
        return max(min(times), self._retry_at)

    def _take_at(self) -> float:
        return max(self._retry_at, self._gather_at)

    def _turn(self, *, hand_over: bool = True) -> None:
        try:
            while self._backlog:
                self._take(self._backlog[0])
                self._backlog.popleft()
            if hand_over:
                self._ask()
                self._hand_over()
                if self._router is not None:
                    self._router.run_due(time.monotonic(), self._books.completion.is_receiving)
            if time.monotonic() >= self._save_at:
                self._books.save(now=time.monotonic())
                self._books.tidy(now=time.monotonic())
                self._save_at = time.monotonic() + SAVE_SECONDS
        except Exception as error:  # noqa: BLE001 (a thread that died would leave every series open for ever)
            LOGGER.error("the intake waits %g s: %s", RETRY_SECONDS, in_short(error))
            self._retry_at = time.monotonic() + RETRY_SECONDS
        self._gather_at = time.monotonic() + GATHER_SECONDS
        self._open_series = self._books.open_series()

    def _take(self, event: StoredInstance | AssociationReport | CountAnswer) -> None:
        now = time.monotonic()
        if isinstance(event, StoredInstance):
            self._books.absorb(event, now=now, coming=self._backlog)
            if self._router is not None:
                self._router.on_stored(event, now=now)
        elif isinstance(event, AssociationReport):
            self._books.association_ended(event, now=now)
        else:
            self._books.take_answer(event)

    def _ask(self) -> None:
        for question in self._books.questions(now=time.monotonic()):
            if self._asker is not None:
                self._asker.ask(question)

    def _hand_over(self) -> None:
        for key in self._books.completion.due(time.monotonic()):
            try:
                self._books.complete(key, now=time.monotonic())
            except Exception as error:  # noqa: BLE001 (one series must not end the intake of all others)
                LOGGER.error("series %s is handed over again in %g s: %s", key, RETRY_SECONDS, in_short(error))
                self._books.postpone(key, until=time.monotonic() + RETRY_SECONDS)

    def _tell(self, event: IntakeEvent) -> None:
        if self._observe is None:
            return
        try:
            self._observe(event)
        except Exception as error:  # noqa: BLE001 (an observer may fail, the intake may not)
            LOGGER.error("the observer of the intake failed: %s", type(error).__name__)
