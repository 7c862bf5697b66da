import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.receiving.data_set_stream import DataSetStream, StreamState

CONTEXT = 5
MAXIMUM = 1000
LAST, MORE, COMMAND = 0b10, 0b00, 0b01


def pdv(data: bytes, control: int, context: int = CONTEXT) -> bytes:
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def pdu(*pdvs: bytes, kind: int = 4) -> bytes:
    body = b"".join(pdvs)
    return struct.pack(">BBL", kind, 0, len(body)) + body


def follow(stream: DataSetStream, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Feed pieces as a socket would give them; returns the data set and what was not taken."""
    written: list[bytes] = []
    rest = b""
    for piece in pieces:
        rest += piece
        rest = rest[stream.feed(memoryview(rest), lambda view: written.append(bytes(view))) :]
    return b"".join(written), rest


def stream_of(pdu_left: int = 0) -> DataSetStream:
    return DataSetStream(CONTEXT, pdu_left=pdu_left, maximum_pdu_bytes=MAXIMUM)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A data set, and the PDUs that carry it, cut into fragments and PDUs somehow."""
    fragments = draw(st.lists(st.binary(max_size=50), min_size=1, max_size=8))
    pdvs = [pdv(data, LAST if n == len(fragments) - 1 else MORE) for n, data in enumerate(fragments)]
    pdus, start = [], 0
    while start < len(pdvs):
        end = draw(st.integers(start + 1, len(pdvs)))
        pdus.append(pdu(*pdvs[start:end]))
        start = end
    return b"".join(fragments), b"".join(pdus)


@given(messages(), st.binary(max_size=20), st.data())
def test_a_data_set_is_the_same_however_it_is_cut(
    message: tuple[bytes, bytes], behind: bytes, data: st.DataObject
) -> None:
    data_set, carried = message
    sent = carried + behind
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=10)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    stream = stream_of()
    assert follow(stream, pieces) == (data_set, behind)
    assert stream.state is StreamState.COMPLETE


def test_the_first_fragment_may_come_in_the_pdu_of_the_command() -> None:
    first = pdv(b"abc", MORE)
    stream = stream_of(pdu_left=len(first))
    assert follow(stream, [first + pdu(pdv(b"def", LAST))]) == (b"abcdef", b"")
    assert stream.state is StreamState.COMPLETE
    assert stream.n_pdus == 1


@pytest.mark.parametrize("kind", [1, 5, 7, 99])
def test_a_pdu_of_another_type_is_left_where_it_is(kind: int) -> None:
    stream = stream_of()
    other = pdu(b"1234", kind=kind)
    assert follow(stream, [pdu(pdv(b"abc", MORE)) + other]) == (b"abc", other)
    assert stream.state is StreamState.INTERRUPTED


@pytest.mark.parametrize(
    "sent",
    [
        pdu(pdv(b"abc", MORE, context=7)),
        pdu(pdv(b"abc", COMMAND)),
        pdu(pdv(b"abc", COMMAND | LAST)),
        pdu(pdv(b"abc", LAST), pdv(b"more", MORE)),
        pdu(b"123"),
        pdu(),
        pdu(struct.pack(">LBB", 1, CONTEXT, MORE)),
        pdu(struct.pack(">LBB", 2**32 - 1, CONTEXT, MORE)),
        pdu(pdv(b"abc", MORE), b"\0\0\0"),
        struct.pack(">BBL", 4, 0, MAXIMUM + 1),
        struct.pack(">BBL", 4, 0, 2**32 - 1),
    ],
)
def test_what_no_sender_may_send_is_a_violation(sent: bytes) -> None:
    stream = stream_of()
    follow(stream, [sent + bytes(20)])
    assert stream.state is StreamState.VIOLATED


@given(st.binary(max_size=300), st.integers(0, 100))
def test_nothing_that_is_sent_raises(sent: bytes, pdu_left: int) -> None:
    stream = stream_of(pdu_left)
    written, rest = follow(stream, [sent])
    assert len(written) + len(rest) <= len(sent)
