"""Sends storage commitment reports until they are confirmed or given up, in a thread of its own.

A report goes on the association of its request when the peer leaves that open, otherwise on a new one to the peer's
configured address. The rows are the record: after a restart, what waits is sent.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import groupby
from typing import Any

from pynetdicom.association import Association
from sqlalchemy import Engine

from dicom_listener import state
from dicom_listener.commitment import commitment_table
from dicom_listener.commitment.commitment import CommitmentReport, RetryPolicy, judge
from dicom_listener.commitment.commitment_call_back import report_on_new_association
from dicom_listener.commitment.commitment_line import OpenLines
from dicom_listener.commitment.commitment_lookup import find_durable
from dicom_listener.commitment.commitment_table import CommitmentState, PendingRequest
from dicom_listener.completion.call_back import callable_peer
from dicom_listener.errors import CallBackError, SpoolError, in_short
from dicom_listener.event_log import printable
from dicom_listener.peers import Peer
from dicom_listener.spool.spool import Spool

LOGGER = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""How often the rows are looked at when nothing is known to be due: the clock may have jumped."""
SOON_SECONDS = 0.05
"""Wait for the answer to a request, before its report."""
TROUBLE_SECONDS = 5.0
"""Wait after the database or the spool failed."""
KEEP_SECONDS = 86400.0
"""How long a finished request is remembered, to tell one that is repeated from one that is new."""
AT_ONCE = 50
"""Requests taken up in one turn."""
CONFIRMATIONS = {0x0000, 0x0107, 0x0116}
"""Success and the warnings of N-EVENT-REPORT (PS3.7 annex C)."""


def _nothing_waits() -> None:
    return


_NO_PEER = "its association ended, and no [[listener.peers]] says host and port of the sender"


class CommitmentReporter:
    """Reports on what is durable in one spool."""

    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        *,
        peers: Sequence[Peer],
        sop_classes: Sequence[str],
        retry: RetryPolicy,
        same_association: bool = True,
        quiet_seconds: float = 1.0,
        answer_seconds: float = 20.0,
        file_all: Callable[[], None] = _nothing_waits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make a reporter that does nothing before `start`.

        Args:
            spool: where instances are.
            engine: of the state; its tables exist.
            peers: who can be called back where.
            sop_classes: storage SOP classes that are accepted.
            retry: when a report that was not confirmed is sent again.
            same_association: use the association of the request while it is open.
            quiet_seconds: once the peer has been silent on it for this long: one that wants a new association
                releases the old one meanwhile.
            answer_seconds: wait for a connection and for each answer.
            file_all: gives every instance that was acknowledged its file in the spool. Raises `SpoolError`: some have
                none yet. A request that names one is put off, the others are not.
            clock: Unix time in seconds.
        """
        self._spool = spool
        self._engine = engine
        self._peers = tuple(peers)
        self._sop_classes = frozenset(sop_classes)
        self._retry = retry
        self._same_association = same_association
        self._quiet_seconds = quiet_seconds
        self._answer_seconds = answer_seconds
        self._file_all = file_all
        self._clock = clock
        self._condition = threading.Condition()
        self._lines = OpenLines(self._take_answer)
        self._answers: deque[tuple[str, int | None]] = deque()
        self._is_due = False
        self._is_filing_told = False
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def first_wait_seconds(self) -> float:
        """When the first try is due after the request: its peer may release the association before."""
        return self._quiet_seconds if self._same_association else 0.0

    def start(self) -> None:
        """Begin to send, also what waits from an earlier run.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the state cannot be written.
        """
        with self._engine.begin() as connection:
            commitment_table.hurry_untried(connection, now=self._clock())
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="dicom-commitment", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; waits for the answer to what is being sent. What was not confirmed is sent at the next start."""
        if self._thread is None:
            return
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join()
        self._thread = None

    def notice(self, key: str, association: Association, context: Any) -> None:  # noqa: ANN401 (pynetdicom's named tuple)
        """A request is durable; from its association's thread, before it is answered.

        Args:
            key: of the request.
            association: on which it came.
            context: the presentation context of the request.
        """
        if self._same_association:
            self._lines.add(key, association, context)
        with self._condition:
            self._is_due = True
            self._condition.notify()

    def _take_answer(self, key: str, status: int | None) -> None:
        with self._condition:
            self._answers.append((key, status))
            self._condition.notify()

    def _run(self) -> None:
        wait = 0.0
        while self._wait(wait):
            try:
                wait = self._turn()
            except Exception as error:  # noqa: BLE001 (a thread that died would leave every report unsent)
                LOGGER.error("storage commitment waits %g s: %s", TROUBLE_SECONDS, in_short(error))
                wait = TROUBLE_SECONDS

    def _wait(self, seconds: float) -> bool:
        with self._condition:
            if not (self._stopping or self._answers or self._is_due):
                self._condition.wait(seconds)
            self._is_due = False
            return not self._stopping

    def _turn(self) -> float:
        """Send what is due; returns the seconds until something is due again."""
        now = self._clock()
        while self._answers:
            self._settle(*self._answers[0], now=now)
            self._answers.popleft()
        with self._engine.begin() as connection:
            commitment_table.forget_finished(connection, before=now - KEEP_SECONDS)
            longest = max(self._retry.longest_seconds, self._answer_seconds, self._quiet_seconds)
            due = commitment_table.due(connection, now=now, longest_wait=longest, limit=AT_ONCE)
            series = state.list_series(connection, [state.SeriesState.FORGOTTEN]) if due else []
        forgotten = {row.series_key for row in series if row.purged_at is None}
        if due and not self._let_file():
            due = [pending for pending in due if not self._is_put_off(pending, forgotten, now)]
        left = [pending for pending in due if not self._is_for_line(pending, forgotten, now)]
        for (own, title), group in groupby(sorted(left, key=_route), key=_route):
            self._call_back(title, own, list(group), forgotten)
        with self._engine.begin() as connection:
            next_at = commitment_table.next_try_at(connection)
        return LOOK_SECONDS if next_at is None else min(max(next_at - self._clock(), 0.0), LOOK_SECONDS)

    def _let_file(self) -> bool:
        """Have the journal filed; whether every instance has its file."""
        try:
            self._file_all()
        except SpoolError as error:
            if not self._is_filing_told:
                LOGGER.warning("storage commitment of instances without a file waits: %s", error)
            self._is_filing_told = True
            return False
        self._is_filing_told = False
        return True

    def _is_put_off(self, pending: PendingRequest, forgotten: set[str], now: float) -> bool:
        """Put a request off that names an instance which is not here: it may be one that has no file yet."""
        durable = find_durable(self._spool, pending.request.references, without=forgotten)
        if all(reference.sop_instance_uid in durable for reference in pending.request.references):
            return False
        with self._engine.begin() as connection:
            commitment_table.retry(connection, pending.key, at=now + TROUBLE_SECONDS)
        return True

    def _is_for_line(self, pending: PendingRequest, forgotten: set[str], now: float) -> bool:
        """Send a report on the association of its request, or leave it for that while the peer is busy there."""
        line = self._lines.find(pending.key)
        if line is None:
            return False
        left = self._quiet_seconds - line.quiet_seconds
        if line.is_answering or left > 0:
            with self._engine.begin() as connection:
                commitment_table.retry(connection, pending.key, at=now + max(left, SOON_SECONDS))
            return True
        report = self._judge(pending, forgotten)
        self._begin_try(pending)
        self._lines.use_up(pending.key)
        if not line.send(pending.key, report):
            self._settle(pending.key, None, now=now)
        return True

    def _call_back(self, title: str, own: str, group: list[PendingRequest], forgotten: set[str]) -> None:
        reports = {pending.key: self._judge(pending, forgotten) for pending in group}
        for pending in group:
            self._begin_try(pending)
        unanswered = dict.fromkeys(reports)
        peer = callable_peer(self._peers, title)
        try:
            if peer is None:
                raise CallBackError(_NO_PEER)
            with closing(report_on_new_association(peer, own, reports, seconds=self._answer_seconds)) as answers:
                for key, status in answers:
                    unanswered.pop(key)
                    self._settle(key, status, now=self._clock())
        except Exception as error:  # noqa: BLE001 (one sender must not hold up the reports of all others)
            for key in unanswered:
                self._fail(key, in_short(error), now=self._clock())

    def _judge(self, pending: PendingRequest, forgotten: set[str]) -> CommitmentReport:
        durable = find_durable(self._spool, pending.request.references, without=forgotten)
        report = judge(pending.request, durable, self._sop_classes)
        LOGGER.info(
            "storage commitment: request=%s calling=%s committed=%d failed=%d try=%d",
            pending.key,
            printable(pending.request.calling_ae_title),
            len(report.committed),
            len(report.failed),
            pending.tries + 1,
        )
        return report

    def _begin_try(self, pending: PendingRequest) -> None:
        wait = max(self._retry.delay(pending.tries + 1), self._answer_seconds)
        with self._engine.begin() as connection:
            commitment_table.begin_try(connection, pending.key, next_try_at=self._clock() + wait)

    def _settle(self, key: str, status: int | None, *, now: float) -> None:
        """Take the answer to a report; None: none came before the association ended."""
        if status is None:
            with self._engine.begin() as connection:
                commitment_table.retry(connection, key, at=now)
        elif status in CONFIRMATIONS:
            with self._engine.begin() as connection:
                commitment_table.finish(connection, key, CommitmentState.REPORTED, now=now)
            LOGGER.info("storage commitment report confirmed: request=%s", key)
        else:
            self._fail(key, f"the sender answered with status {status:04X}", now=now)

    def _fail(self, key: str, reason: str, *, now: float) -> None:
        with self._engine.begin() as connection:
            pending = commitment_table.find_pending(connection, key)
            if pending is None:
                return
            is_over = self._retry.is_over(received_at=pending.received_at, tries=pending.tries, now=now)
            if is_over:
                commitment_table.finish(connection, key, CommitmentState.GIVEN_UP, now=now, reason=reason)
            else:
                commitment_table.retry(connection, key, at=now + self._retry.delay(pending.tries))
        if is_over:
            LOGGER.error("storage commitment given up after %d tries: request=%s: %s", pending.tries, key, reason)
        else:
            LOGGER.warning("storage commitment not reported, tried again: request=%s: %s", key, reason)


def _route(pending: PendingRequest) -> tuple[str, str]:
    return pending.request.called_ae_title, pending.request.calling_ae_title
