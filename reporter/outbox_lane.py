"""`Lane`: drains what the outbox holds for one destination; the one mechanism behind delivery and publishing."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import Engine

from reporter import outbox
from reporter.backoff import BackoffPolicy
from reporter.errors import DeliveryError, DeliveryRefusedError
from reporter.outbox_table import ItemKind, OutboxItem
from reporter.outcome import Outcome

_log = logging.getLogger(__name__)


class Channel(Protocol):
    """How items reach one destination."""

    def send(self, items: Sequence[OutboxItem]) -> Iterator[Outcome]:
        """Send and yield one outcome per item, in order, each as soon as it is known; nothing foreign is raised."""
        ...


Observer = Callable[[OutboxItem, Outcome], None]
"""Told of each try after its outcome is durable."""


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """How a lane works; seconds."""

    owner: str = "deliver"
    """Name of the leases. A process that starts frees what its predecessor of the same name left behind."""
    backoff: BackoffPolicy = field(default_factory=BackoffPolicy)
    lease_s: float = 120.0
    """Longer than one item can take: connection, negotiation and answer each have their time limit."""
    batch: int = 16
    """Items that are leased at a time and share an association."""


class Lane:
    """The items of one kind for one destination, oldest first."""

    def __init__(
        self,
        engine: Engine,
        kind: ItemKind,
        destination: str,
        channel: Channel,
        *,
        policy: LanePolicy = LanePolicy(),
        clock: Callable[[], float] = time.time,
        observe: Observer | None = None,
    ) -> None:
        """`clock` gives Unix time in seconds for what happens while a batch is under way."""
        self._engine = engine
        self._kind = kind
        self._destination = destination
        self._channel = channel
        self._policy = policy
        self._clock = clock
        self._observe = observe

    @property
    def name(self) -> str:
        """For logs and threads."""
        return f"{self._kind.value} {self._destination}"

    def free_left_behind(self) -> None:
        """Free the leases of a predecessor of the same name that died."""
        with self._engine.begin() as connection:
            outbox.release(connection, self._owner)

    def drain_once(self, now: float) -> float | None:
        """Send what is due, in batches, until nothing is due or a whole batch failed.

        Returns:
            When to come again, Unix time in seconds; None when nothing is open.
        """
        while True:
            with self._engine.begin() as connection:
                items = outbox.lease_due(
                    connection,
                    self._kind,
                    self._destination,
                    self._owner,
                    now=now,
                    seconds=self._policy.lease_s,
                    limit=self._policy.batch,
                )
            if items and not self._send(items):
                # the destination is away: the other due items need not find that out one time limit at a time
                return self._clock() + self._policy.backoff.first_s
            if len(items) < self._policy.batch:
                break
        with self._engine.begin() as connection:
            return outbox.next_due_at(connection, self._kind, self._destination)

    @property
    def _owner(self) -> str:
        return f"{self._policy.owner}/{self.name}"

    def _send(self, items: list[OutboxItem]) -> bool:
        """Try each item once; False when every one failed."""
        any_sent = False
        outcomes = self._outcomes(items)
        for index, item in enumerate(items):
            outcome = next(outcomes)
            any_sent = any_sent or outcome.error is None
            self._keep(item, outcome, [later.id for later in items[index + 1 :]])
        return any_sent

    def _outcomes(self, items: list[OutboxItem]) -> Iterator[Outcome]:
        """One outcome per item, whatever the channel does."""
        given = 0
        error = DeliveryError("the channel ended early")
        try:
            for outcome in self._channel.send(items):
                given += 1
                yield outcome
        except Exception as defect:  # noqa: BLE001 (a defect must not stop the loop; it is kept with the item and shown)
            # the message of an unknown exception may quote a data set: only its type and places are logged
            frames = "".join(traceback.format_tb(defect.__traceback__))
            _log.error("%s: defect %s while sending\n%s", self.name, type(defect).__name__, frames)
            error = DeliveryError(f"defect {type(defect).__name__} while sending; the log has the place")
        yield from (Outcome(error=error) for _ in items[given:])

    def _keep(self, item: OutboxItem, outcome: Outcome, later: list[int]) -> None:
        now = self._clock()
        with self._engine.begin() as connection:
            if outcome.error is None:
                outbox.mark_done(connection, item.id, now=now)
            else:
                blocked = isinstance(outcome.error, DeliveryRefusedError)
                backoff = self._policy.backoff
                delay = (backoff.longest_delay_s if blocked else backoff.delay_s)(item.id, item.attempts + 1)
                outbox.mark_failed(
                    connection,
                    item,
                    self._owner,
                    str(outcome.error),
                    next_attempt_at=now + delay,
                    blocked=blocked,
                )
            if later:
                outbox.extend_leases(connection, later, self._owner, until=now + self._policy.lease_s)
        self._tell(item, outcome)

    def _tell(self, item: OutboxItem, outcome: Outcome) -> None:
        key, version = item.run.series_key, item.run.series_version
        if outcome.error is None:
            _log.info("series %s version %d: %s confirmed", key, version, self.name)
        else:
            _log.warning("series %s version %d: %s failed: %s", key, version, self.name, outcome.error)
        if self._observe is not None:
            self._observe(item, outcome)
