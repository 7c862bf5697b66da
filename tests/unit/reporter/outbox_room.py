"""Senders, a sink and a clock that do what a test says, around a real outbox."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine

from qc.errors import StreamError
from qc.stream.messages import Message
from reporter import outbox
from reporter.backoff import BackoffPolicy
from reporter.deliver_loop import Deliverer
from reporter.errors import DeliveryError, DeliveryRefusedError
from reporter.outbox import OutboxItem, Run
from reporter.outbox_lane import LanePolicy
from reporter.outcome import Outcome

KEY = "a" * 32
AWAY = DeliveryError("pacs is unreachable")
REFUSED = DeliveryRefusedError("pacs refused with status C000")
POLICY = LanePolicy(owner="test", backoff=BackoffPolicy(10, 1000), lease_s=60, batch=3)


class FakeSender:
    """A `DicomSender` whose answers are given by file name."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.calls: list[list[str]] = []
        self.before: Callable[[], None] = lambda: None

    def send(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        self.calls.append([path.name for path in paths])
        self.before()
        for path in paths:
            error = self.errors.get(path.name)
            if error is not None and not isinstance(error, DeliveryError):
                raise error
            yield Outcome(error=error)


class FakeSink:
    """A `Sink` that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.appended: list[Message] = []

    def append(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise StreamError("the log does not answer")
        self.appended.extend(messages)

    def close(self) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def queue(engine: Engine, *versions: int, destination: str = "pacs") -> None:
    with engine.begin() as connection:
        for version in versions:
            run = Run(KEY, version, 0)
            outbox.add_instance(connection, run, destination, Path(f"/r/{version}.dcm"), now=1000.0)


def items(engine: Engine) -> dict[int, OutboxItem]:
    with engine.begin() as connection:
        return {item.run.series_version: item for item in outbox.find_by_series(connection, KEY)}


def states(engine: Engine) -> dict[int, str]:
    return {version: item.state.value for version, item in items(engine).items()}


def make(engine: Engine, sender: FakeSender, clock: Clock, **more: FakeSender) -> Deliverer:
    return Deliverer(engine, {"pacs": sender, **more}, policy=POLICY, clock=clock)
