"""The embedded journal: a message log in a directory, for one machine without Kafka.

Each topic is one append-only file `TOPIC.jsonl`, one message per line, so `tail -f` shows what passes. An offset is a
line number from 0, every topic has the one partition 0. What `append` returned from has been fsynced. Any number of
processes on this machine may append: a POSIX lock on the file `.lock` of the directory orders them. Readers take no
lock, a line without its end is not there yet. The directory must be on a local file system.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qc.errors import StreamError
from qc.stream.journal_file import append_durably, fsync_directory, locked
from qc.stream.journal_lines import decode_line, encode_line
from qc.stream.messages import Message, Position, StartingPoints, StoredMessage
from qc.stream.topics import Subscription, check_topic

_log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
LOOK_INTERVAL_S = 0.1
"""How often a waiting reader looks for new lines: a directory listing and one stat per topic."""


class JournalSink:
    """Appends to the journal; may be shared by threads."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if it is missing. Raises `StreamError`."""
        self._directory = directory
        self._closed = False
        try:
            if not directory.is_dir():
                directory.mkdir(parents=True, exist_ok=True)
                fsync_directory(directory.parent)
        except OSError as error:
            raise StreamError(f"the journal folder {directory} cannot be made ({error.strerror})") from error

    def append(self, messages: Sequence[Message]) -> None:
        """Append in order and fsync; waits while another process appends. Raises `StreamError`."""
        if self._closed:
            raise StreamError("the journal was closed")
        lines: dict[str, bytes] = {}
        for message in messages:
            lines[check_topic(message.topic)] = lines.get(message.topic, b"") + encode_line(message)
        try:
            with locked(self._directory / ".lock"):
                for topic, data in lines.items():
                    append_durably(self._directory / (topic + SUFFIX), data)
        except OSError as error:
            raise StreamError(f"the journal in {self._directory} cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Refuse further messages."""
        self._closed = True


class JournalSource:
    """Reads the journal; one thread polls, any thread may close."""

    def __init__(self, directory: Path, subscription: Subscription, start: StartingPoints) -> None:
        """Read nothing yet; the directory and its topics may come later."""
        self._directory = directory
        self._subscription = subscription
        self._start = start
        self._readers: dict[str, _TopicReader] = {}
        self._closed = threading.Event()

    def poll(self, timeout_s: float) -> Iterator[StoredMessage]:
        """Yield all complete lines; when there is none, look again every `LOOK_INTERVAL_S` until the timeout."""
        deadline = time.monotonic() + timeout_s
        while not self._closed.is_set():
            found = False
            for reader in self._topic_readers():
                for stored in reader.read():
                    found = True
                    yield stored
            remaining = deadline - time.monotonic()
            if found or remaining <= 0:
                return
            self._closed.wait(min(LOOK_INTERVAL_S, remaining))
        raise StreamError("the journal was closed")

    def lag(self) -> int:
        """Complete lines that were not yielded yet."""
        if self._closed.is_set():
            raise StreamError("the journal was closed")
        return sum(reader.lag() for reader in self._topic_readers())

    def processed(self, position: Position) -> None:
        """Nothing to do: nobody displays the lag of a journal from outside."""

    def close(self) -> None:
        """End the wait of a running poll and refuse further ones."""
        self._closed.set()

    def _topic_readers(self) -> Iterator["_TopicReader"]:
        try:
            names = sorted(path.name.removesuffix(SUFFIX) for path in self._directory.glob("*" + SUFFIX))
        except OSError as error:
            raise StreamError(f"the journal folder {self._directory} cannot be read ({error.strerror})") from error
        for topic in names:
            if not self._subscription.matches(topic):
                continue
            if topic not in self._readers:
                self._readers[topic] = self._new_reader(topic)
            yield self._readers[topic]

    def _new_reader(self, topic: str) -> "_TopicReader":
        first = self._start.next_offset(topic, 0)
        path = self._directory / (topic + SUFFIX)
        if first > _TopicReader(path, topic, 0).lag():
            _log.warning("%s is shorter than what was read of it: it was replaced, so it is read from its start", path)
            first = 0
        return _TopicReader(path, topic, first)


class _TopicReader:
    """How far one file has been yielded."""

    def __init__(self, path: Path, topic: str, first_offset: int) -> None:
        self._path = path
        self._topic = topic
        self._first_offset = first_offset
        self._byte = 0
        self._line = 0

    def read(self) -> Iterator[StoredMessage]:
        for line in self._complete_lines():
            offset = self._line
            if offset >= self._first_offset:
                stored = StoredMessage(self._decode(line), Position(self._topic, 0, offset))
                self._advance(line)  # before the hand-over: what a caller received is not yielded a second time
                yield stored
            else:
                self._advance(line)

    def lag(self) -> int:
        lines = sum(1 for _ in self._complete_lines())
        return max(0, self._line + lines - max(self._first_offset, self._line))

    def _advance(self, line: bytes) -> None:
        self._byte += len(line)
        self._line += 1

    def _complete_lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._byte)
                for line in file:
                    if not line.endswith(b"\n"):
                        return  # being written, or torn by a crash: the next append removes it
                    yield line
        except OSError as error:
            raise StreamError(f"the journal file {self._path} cannot be read ({error.strerror})") from error

    def _decode(self, line: bytes) -> Message:
        try:
            return decode_line(self._topic, line)
        except StreamError as error:
            raise StreamError(f"{error}: see line {self._line + 1} of {self._path}") from error
