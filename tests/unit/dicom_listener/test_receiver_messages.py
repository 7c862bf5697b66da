"""What the listener and its receivers tell each other survives the way there."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.receiving.accepted_context import AcceptedContext
from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.messages import (
    Alive,
    FileAll,
    Filed,
    GivenBack,
    HandOver,
    LogLine,
    Message,
    Ping,
    Ready,
    Recall,
    ReceiverSettings,
    Return,
    Stored,
    decode,
    encode,
)
from dicom_listener.receiving.receive_buffer import BUFFER_BYTES, ReceiveBuffer
from dicom_listener.series import ReceivedInstance
from dicom_listener.stored import StoredInstance, StoreOutcome

texts = st.text(max_size=70)
numbers = st.integers(0, 2**40)
uids = st.from_regex(r"[0-9.]{1,64}", fullmatch=True)
paths = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=50).map(Path)
contexts = st.dictionaries(st.integers(1, 255), st.builds(AcceptedContext, uids, uids), max_size=20)
instances = st.builds(ReceivedInstance, uids, uids, uids, uids, uids, paths, numbers)
stored = st.builds(StoredInstance, instances, texts, texts, st.sampled_from(StoreOutcome))
seconds = st.floats(0, 1e6)
counts = st.dictionaries(st.sampled_from(["refused", "failed"]), numbers)
statuses = st.dictionaries(st.integers(0, 0xFFFF), numbers)
received = st.binary(max_size=1000)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        ReceiverSettings,
        paths,
        st.floats(0, 1),
        numbers,
        numbers,
        numbers,
        st.floats(0, 1e6),
        st.integers(0, 50),
        st.floats(0, 1e6),
    ),
    st.builds(HandOver, numbers, texts, texts, contexts, received),
    st.builds(Recall, numbers, st.booleans()),
    st.builds(Stored, numbers, stored),
    st.builds(GivenBack, numbers, st.sampled_from(Return), counts, statuses, numbers, received),
    st.builds(LogLine, texts, st.integers(0, 50), texts),
    st.builds(Ready, numbers),
    st.builds(Ping),
    st.builds(Alive),
    st.builds(FileAll),
    st.builds(Filed, is_all=st.booleans()),
)


@given(messages)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=200))
def test_what_is_no_message_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a message"):
        decode(data)


def test_the_longest_message_passes_a_channel_with_its_descriptor(tmp_path: Path) -> None:
    context = AcceptedContext("1" * 64, "2" * 64)
    message = HandOver(1, "A" * 16, "B" * 16, dict.fromkeys(range(1, 256, 2), context), bytes(BUFFER_BYTES))
    one, other = Channel.pair()
    (tmp_path / "file").write_text("here")
    with (tmp_path / "file").open("rb") as file:
        one.send(message, file.fileno())
    got = other.receive()
    assert got is not None
    assert got[0] == message
    with open(got[1] or -1, "rb") as same:  # noqa: PTH123 (a descriptor)
        assert same.read() == b"here"
    one.shut()
    assert other.receive() is None
    one.close()
    other.close()


def an_instance(n: int) -> Stored:
    uid = str(n).rjust(64, "1")
    instance = ReceivedInstance(uid, uid, uid, uid, uid, Path("spool", uid), 1)
    return Stored(n, StoredInstance(instance, "k" * 32, "A" * 16, StoreOutcome.STORED))


def taken(channel: Channel) -> list[Message]:
    """What comes until the other end is gone."""
    came = []
    while (got := channel.receive()) is not None:
        came.append(got[0])
    return came


@given(st.lists(st.booleans(), max_size=20))
def test_no_message_comes_before_an_instance_that_was_sent_ahead_of_it(are_instances: list[bool]) -> None:
    one, other = Channel.pair()
    messages: list[Stored | GivenBack] = [
        an_instance(n) if stored else GivenBack(n, Return.CLOSED) for n, stored in enumerate(are_instances)
    ]
    for message in messages:
        one.send(message)
    one.shut()
    came = taken(other)
    one.close()
    other.close()
    for kind in (Stored, GivenBack):
        assert [message for message in came if isinstance(message, kind)] == [
            message for message in messages if isinstance(message, kind)
        ]
    for place, back in enumerate(came):
        if isinstance(back, GivenBack):
            ahead = [message for message in messages[: back.number] if isinstance(message, Stored)]
            assert all(instance in came[:place] for instance in ahead)


def test_every_instance_that_could_be_sent_comes_before_the_end() -> None:
    one, other = Channel.pair()
    sent: list[Message] = []

    def send() -> None:
        with suppress(OSError):  # the channel was shut
            while True:
                message = an_instance(len(sent))
                one.send(message)
                sent.append(message)

    sender = threading.Thread(target=send)
    sender.start()
    came = [got[0] for _ in range(1000) if (got := other.receive()) is not None]
    other.shut()
    came += taken(other)
    sender.join()
    assert came == sent
    one.close()
    other.close()


def test_asking_one_that_reads_nothing_does_not_wait() -> None:
    one, other = Channel.pair()
    assert not other.wait(0)
    for _ in range(10_000):  # more than there is room for
        one.ping()
    assert other.wait(0)
    assert other.receive() == (Ping(), None)
    other.close()
    with pytest.raises(ConnectionError):
        one.ping()
    assert one.wait(0)
    assert one.receive() is None
    assert one.wait(0)
    one.close()


@given(st.lists(st.binary(min_size=1, max_size=50)), st.data())
def test_a_buffer_gives_what_came_in_its_order(pieces: list[bytes], data: Any) -> None:
    buffer, taken = ReceiveBuffer(), b""
    for piece in pieces:
        room = memoryview(bytearray(data.draw(st.integers(1, 60)))) if len(buffer) == 0 else None

        def receive(views: Sequence[memoryview], piece: bytes = piece) -> int:
            left = piece
            for view in views:
                fits = min(len(view), len(left))
                view[:fits], left = left[:fits], left[fits:]
            return len(piece)

        assert buffer.fill(receive, room) == len(piece)
        taken += b"" if room is None else bytes(room[: len(piece)])
        n_bytes = data.draw(st.integers(0, len(buffer)))
        taken += bytes(buffer.view[:n_bytes])
        buffer.consume(n_bytes)
        if data.draw(st.booleans()):  # handed over
            other = ReceiveBuffer()
            other.put_back(bytes(buffer.view))
            buffer = other
    assert taken + bytes(buffer.view) == b"".join(pieces)


def test_a_buffer_tells_an_end_from_nothing_yet() -> None:
    def fail(error: OSError) -> Any:
        def receive(_views: Sequence[memoryview]) -> int:
            raise error

        return receive

    buffer = ReceiveBuffer()
    assert buffer.fill(fail(BlockingIOError())) is None
    assert buffer.fill(fail(ConnectionResetError())) == 0
    assert buffer.fill(lambda _view: 0) == 0
    assert len(buffer) == 0
