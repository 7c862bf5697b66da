"""A connection to Kafka over which nothing comes though it should is given up, whatever hangs in it."""

from collections.abc import Iterable
from typing import Any

import pytest
from kafka import TopicPartition

from qc.errors import StreamError
from qc.stream import kafka_source
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_source import KafkaSource
from qc.stream.topics import Subscription

OURS = TopicPartition("a", 0)
LENGTH = 5


class Beginning:
    def next_offset(self, _topic: str, _partition: int) -> int:
        return 0


class SilentConsumer:
    """Never hands out a message; assigns as told (None: never), and stands at `position`."""

    def __init__(self, assigns: set[TopicPartition] | None, position: int) -> None:
        self._assigns = assigns
        self._position = position
        self._listener: Any = None
        self.is_closed = False

    def subscribe(self, *, listener: Any, **_: Any) -> None:
        self._listener = listener

    def poll(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        if self._assigns is not None and self._listener is not None:
            self._listener.on_partitions_assigned(self._assigns)
            self._listener = None
        return {}

    def assignment(self) -> set[TopicPartition]:
        return self._assigns or set()

    def position(self, *_: Any) -> int:
        return self._position

    def committed(self, *_: Any, **__: Any) -> None: ...

    def beginning_offsets(self, partitions: Iterable[TopicPartition], *_: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def end_offsets(self, partitions: Iterable[TopicPartition], *_: Any) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, LENGTH)

    def pause(self, *_: Any) -> None: ...

    def seek(self, *_: Any) -> None: ...

    def resume(self, *_: Any) -> None: ...

    def close(self, **_: Any) -> None:
        self.is_closed = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[SilentConsumer]:
    """The consumers to be made, in order; those that were made are taken out."""
    consumers: list[SilentConsumer] = []
    monkeypatch.setattr(kafka_source, "open_client", lambda *_, **__: consumers.pop(0))
    monkeypatch.setattr(kafka_source, "wait_for_broker", lambda *_: None)
    monkeypatch.setattr(kafka_source, "find_partitions", lambda *_: [OURS])
    monkeypatch.setattr(kafka_source, "CONTACT_CHECK_S", 0.0)
    monkeypatch.setattr(kafka_source, "STAND_STILL_S", 0.0)
    return consumers


def new_source() -> KafkaSource:
    return KafkaSource(KafkaConnection("127.0.0.1:1"), Subscription(names=("a",)), Beginning())


@pytest.mark.parametrize(
    ("assigns", "words"),
    [(None, "assigns no partitions"), ({OURS}, "hands out nothing of a")],
    ids=["outside", "stuck"],
)
def test_a_connection_that_stands_still_is_given_up_and_made_anew(
    made: list[SilentConsumer], assigns: set[TopicPartition] | None, words: str
) -> None:
    stuck, sound = SilentConsumer(assigns, position=LENGTH - 1), SilentConsumer({OURS}, position=LENGTH)
    made.extend([stuck, sound])
    source = new_source()
    with pytest.raises(StreamError, match=words):
        for _ in range(3):
            list(source.poll(0.0))
    assert stuck.is_closed
    for _ in range(3):
        assert list(source.poll(0.0)) == []
    assert made == []
    assert not sound.is_closed


@pytest.mark.parametrize("assigns", [{OURS}, set()], ids=["at the end", "others have all"])
def test_a_log_with_nothing_new_is_no_reason(made: list[SilentConsumer], assigns: set[TopicPartition]) -> None:
    consumer = SilentConsumer(assigns, position=LENGTH)
    made.append(consumer)
    source = new_source()
    for _ in range(5):
        assert list(source.poll(0.0)) == []
    assert not consumer.is_closed
