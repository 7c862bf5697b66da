"""`Publisher`: appends quality records from the outbox to the message log."""

import time
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Engine

from qc.errors import StreamError
from qc.stream.messages import Sink
from reporter.errors import DeliveryError, DeliveryRefusedError, OutboxPayloadError
from reporter.message_payload import decode_message
from reporter.outbox_lane import Lane, LanePolicy, Observer
from reporter.outbox_runner import POLL_S, OutboxRunner
from reporter.outbox_table import ItemKind, OutboxItem
from reporter.outcome import Outcome


class RecordChannel:
    """A lane's way to the message log: what `append` returned from is confirmed."""

    def __init__(self, sink: Sink) -> None:
        """Append to `sink`, which the caller closes."""
        self._sink = sink

    def send(self, items: Sequence[OutboxItem]) -> Iterator[Outcome]:
        """See `reporter.outbox_lane.Channel`. Once the log does not answer, the rest of the items is not tried."""
        away: DeliveryError | None = None
        for item in items:
            if away is not None:
                yield Outcome(error=away)
                continue
            try:
                self._sink.append([decode_message(item.payload or b"")])
            except OutboxPayloadError as error:
                yield Outcome(error=DeliveryRefusedError(str(error)))
            except StreamError as error:
                away = DeliveryError(str(error))
                yield Outcome(error=away)
            else:
                yield Outcome()


class Publisher(OutboxRunner):
    """Drains the records of the outbox. A record that is sent again after a crash has the same event id and bytes."""

    def __init__(
        self,
        engine: Engine,
        destination: str,
        sink: Sink,
        *,
        policy: LanePolicy = LanePolicy(),  # noqa: B008 (frozen)
        clock: Callable[[], float] = time.time,
        poll_s: float = POLL_S,
        observe: Observer | None = None,
    ) -> None:
        """`destination` is the message log's name in the outbox."""
        lane = Lane(
            engine, ItemKind.RECORD, destination, RecordChannel(sink), policy=policy, clock=clock, observe=observe
        )
        super().__init__([lane], poll_s=poll_s, clock=clock)
