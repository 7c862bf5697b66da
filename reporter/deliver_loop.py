"""`Deliverer`: sends DICOM results from the outbox to their destinations."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Engine

from reporter.delivery import DicomSender
from reporter.outbox_lane import Lane, LanePolicy, Observer
from reporter.outbox_runner import POLL_S, OutboxRunner
from reporter.outbox_table import ItemKind, OutboxItem
from reporter.outcome import Outcome


class DicomChannel:
    """A lane's way to a DICOM node."""

    def __init__(self, sender: DicomSender) -> None:
        """Send by `sender`."""
        self._sender = sender

    def send(self, items: Sequence[OutboxItem]) -> Iterator[Outcome]:
        """See `reporter.outbox_lane.Channel`."""
        # a row of this kind always has a path; the empty one is refused as unreadable
        return self._sender.send([item.path or Path() for item in items])


class Deliverer(OutboxRunner):
    """Drains the DICOM items of the outbox, one lane per destination.

    Crash-safe: an item is done only after the destination's answer is durable here, and a file that is sent again
    after a crash carries the same SOP Instance UID.
    """

    def __init__(
        self,
        engine: Engine,
        senders: Mapping[str, DicomSender],
        *,
        policy: LanePolicy = LanePolicy(),  # noqa: B008 (frozen)
        clock: Callable[[], float] = time.time,
        poll_s: float = POLL_S,
        observe: Observer | None = None,
    ) -> None:
        """`senders` by the destination's name in the outbox; items for other names stay where they are."""
        lanes = [
            Lane(engine, ItemKind.DICOM, name, DicomChannel(sender), policy=policy, clock=clock, observe=observe)
            for name, sender in senders.items()
        ]
        super().__init__(lanes, poll_s=poll_s, clock=clock)
