"""What only the embedded journal promises: crashes, files, several processes."""

import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc.errors import StreamError
from qc.stream.journal import JournalSink, JournalSource
from qc.stream.journal_lines import decode_line, encode_line
from qc.stream.messages import Message
from qc.stream.topics import Subscription, metrics_topic

ALL = Subscription(prefix="t.")


class FromStart:
    def next_offset(self, _topic: str, _partition: int) -> int:
        return 0


def values(folder: Path) -> list[bytes]:
    return [stored.message.value for stored in JournalSource(folder, ALL, FromStart()).poll(0)]


@given(
    st.text(st.characters(codec="utf-8")),
    st.binary(),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))),
)
def test_a_line_is_one_line_and_comes_back(key: str, value: bytes, headers: dict[str, str]) -> None:
    message = Message("t.a", key, value, headers)
    line = encode_line(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode_line("t.a", line) == message


def test_text_can_be_read_in_the_file(tmp_path: Path) -> None:
    JournalSink(tmp_path).append([Message("t.a", "k", '{"größe":1}'.encode(), {"ce_id": "7"})])
    line = (tmp_path / "t.a.jsonl").read_text()
    assert line == '{"key":"k","headers":{"ce_id":"7"},"value":"{\\"größe\\":1}"}\n'


@pytest.mark.parametrize("torn", [b"{", b'{"key":"k","headers":{},"value":"tw', b"x" * 200_000])
def test_a_line_torn_by_a_crash_is_not_read_and_is_removed_by_the_next_append(tmp_path: Path, torn: bytes) -> None:
    sink = JournalSink(tmp_path)
    sink.append([Message("t.a", "k", b"one")])
    path = tmp_path / "t.a.jsonl"
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(torn)
    assert values(tmp_path) == [b"one"]
    JournalSink(tmp_path).append([Message("t.a", "k", b"two")])
    assert values(tmp_path) == [b"one", b"two"]
    assert path.read_bytes() == whole + encode_line(Message("t.a", "k", b"two"))


def test_a_file_that_holds_nothing_but_a_torn_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "t.a.jsonl").write_bytes(b'{"key')
    JournalSink(tmp_path).append([Message("t.a", "k", b"one")])
    assert values(tmp_path) == [b"one"]


def test_a_reader_waits_through_a_torn_line(tmp_path: Path) -> None:
    line = encode_line(Message("t.a", "k", b"one"))
    path = tmp_path / "t.a.jsonl"
    path.write_bytes(line[:5])
    source = JournalSource(tmp_path, ALL, FromStart())
    assert list(source.poll(0)) == []
    path.write_bytes(line)
    assert [stored.message.value for stored in source.poll(0)] == [b"one"]


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'{"key":"k","headers":{},"value":1}\n', b'{"key":"k"}\n', b"\x00\x00\n"]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    JournalSink(tmp_path).append([Message("t.a", "k", b"one")])
    with (tmp_path / "t.a.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(StreamError, match=r"damaged .*line 2 of .*t\.a\.jsonl"):
        values(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StreamError, match=r"file/journal"):
        JournalSink(tmp_path / "file" / "journal")


def test_a_file_that_cannot_be_written_is_an_error_and_later_works(tmp_path: Path) -> None:
    sink = JournalSink(tmp_path)
    (tmp_path / "t.a.jsonl").mkdir()
    with pytest.raises(StreamError, match="cannot be written"):
        sink.append([Message("t.a", "k", b"one")])
    (tmp_path / "t.a.jsonl").rmdir()
    sink.append([Message("t.a", "k", b"one")])
    assert values(tmp_path) == [b"one"]


def _write(folder: Path, name: str) -> None:
    sink = JournalSink(folder)
    for number in range(50):
        sink.append([Message("t.a", name, f"{name}{number}".encode())])
    os._exit(0)


def test_processes_that_append_at_once_tear_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, name)) for name in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = values(tmp_path)
    for name in "xyz":
        assert [value.decode() for value in found if value.decode()[0] == name] == [f"{name}{n}" for n in range(50)]


def test_a_subscription_takes_names_and_prefixes() -> None:
    subscription = Subscription(names=("a.b",), prefix="p.")
    assert [name for name in ("a.b", "axb", "a.b.c", "p.", "p.x", "xp.x", "a.b\n") if subscription.matches(name)] == [
        "a.b",
        "p.x",
    ]
    with pytest.raises(StreamError, match="at least one"):
        Subscription()


def test_a_site_has_a_topic_of_its_own() -> None:
    assert metrics_topic("aachen") == "segwatch.metrics.v1.aachen"
    with pytest.raises(StreamError, match="topic name"):
        metrics_topic("a/b")
