"""The message log as the rest of Segwatch sees it: messages, a sink to append to and a source to read from.

Two implementations stand behind it, Kafka (`kafka_sink`, `kafka_source`) and the embedded `journal`; one contract suite
runs on both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What is appended to a topic; CloudEvents in binary mode puts its attributes into `headers`."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a message lies; positions of one partition are ordered by offset."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as it was read back."""

    message: Message
    position: Position


class Sink(Protocol):
    """Appends messages; what it returned from is durable in the log."""

    def append(self, messages: Sequence[Message]) -> None:
        """Append in order and return when all are confirmed. Raises `StreamError`; then none, some or all are there."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class Source(Protocol):
    """Reads topics from positions that the reader keeps."""

    def poll(self, timeout_s: float) -> Iterator[StoredMessage]:
        """Yield what is there, in offset order within a partition; nothing after the timeout. Raises `StreamError`."""
        ...

    def lag(self) -> int:
        """Messages in the log that were not yielded yet."""
        ...

    def processed(self, position: Position) -> None:
        """Note for displays of lag that the message was processed; `StartingPoints` alone says where to begin."""
        ...

    def close(self) -> None:
        """Release the connection."""
        ...


class StartingPoints(Protocol):
    """Tells a source where to begin; called whenever a partition is assigned."""

    def next_offset(self, topic: str, partition: int) -> int:
        """First offset that was not yet processed, 0 for a new partition."""
        ...
