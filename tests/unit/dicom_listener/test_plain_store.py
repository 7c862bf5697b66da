"""The bytes of one association, in whatever pieces they come, to instances in the spool and answers."""

import time
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ABORT_RQ, A_RELEASE_RQ, P_DATA_TF

from dicom_listener.association_report import Tally
from dicom_listener.receiving.accepted_context import AcceptedContext
from dicom_listener.receiving.plain_store import Next, PlainStores, StorePeer
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance, StoreOutcome
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set, encode, uid

CONTEXT = 3


class Receiver:
    """`PlainStores` over a spool, fed as a socket would."""

    def __init__(self, root: Path, *, maximum_instance_bytes: int = 2**20) -> None:
        self.stored: list[StoredInstance] = []
        self.spool = Spool(root, high_watermark=1.1)
        self.tally = Tally(time.monotonic())
        context = AcceptedContext(CTImageStorage, EXPLICIT_LITTLE)
        self.stores = PlainStores(
            StoreService(self.spool, self.stored.append),
            StorePeer("PACS", "SEGWATCH", lambda number: context if number == CONTEXT else None),
            self.tally,
            maximum_pdu_bytes=2**20,
            maximum_instance_bytes=maximum_instance_bytes,
        )
        self.answers: list[C_STORE] = []
        self.rest = b""

    def offer(self, sent: bytes) -> Next:
        self.rest += sent
        while True:
            turn = self.stores.take(memoryview(self.rest))
            self.rest = self.rest[turn.taken :]
            if turn.answer:
                self.answers.append(decode(turn.answer))
                self.stores.prepare()
            if turn.next is not Next.GO_ON:
                return turn.next

    @property
    def drafts(self) -> list[Path]:
        return list((self.spool.root / ".incoming").iterdir())


def decode(answer: bytes) -> C_STORE:
    pdu, message = P_DATA_TF(), DIMSEMessage()
    pdu.decode(answer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says what it thinks of a damaged UID that is sent back
        assert message.decode_msg(pdu.to_primitive())
        primitive = message.message_to_primitive()
    assert isinstance(primitive, C_STORE)
    return primitive


def request(
    number: int = 1, *, sop_class: str = CTImageStorage, context: int = CONTEXT, pdu_bytes: int = 500, pixels: int = 400
) -> bytes:
    """A C-STORE request as pynetdicom sends it."""
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = number, 2
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = sop_class, uid(number)
    primitive.DataSet = BytesIO(encode(data_set(number, pixels=bytes(pixels))))
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    return b"".join(P_DATA_TF(part).encode() for part in message.encode_msg(context, pdu_bytes))


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path / "spool")
    yield receiver
    receiver.stores.close()
    assert receiver.drafts == []


@given(data=st.data())
def test_requests_are_stored_and_answered_however_they_are_cut(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    receiver = Receiver(tmp_path_factory.mktemp("spool"))
    sent = b"".join(request(number, pdu_bytes=data.draw(st.integers(200, 2000))) for number in (1, 2, 3))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        assert receiver.offer(sent[start:end]) is Next.WAIT
    assert receiver.rest == b""
    assert [(one.MessageIDBeingRespondedTo, one.Status) for one in receiver.answers] == [(1, 0), (2, 0), (3, 0)]
    assert [one.outcome for one in receiver.stored] == [StoreOutcome.STORED] * 3
    for number, stored in enumerate(receiver.stored, 1):
        assert stored.instance.path.read_bytes().endswith(encode(data_set(number, pixels=bytes(400))))
    receiver.stores.close()
    assert receiver.drafts == []


@pytest.mark.parametrize("end", [A_ABORT_RQ, A_RELEASE_RQ])
def test_what_breaks_off_leaves_nothing_and_the_next_pdu_to_others(
    receiver: Receiver, end: type[A_ABORT_RQ | A_RELEASE_RQ]
) -> None:
    pdu = end()
    if isinstance(pdu, A_ABORT_RQ):
        pdu.source, pdu.reason_diagnostic = 0, 0
    first = request()[: -(400 + 12)]  # its last PDU is missing
    whole_pdus = b""
    while len(first) >= 6 and len(first) >= 6 + int.from_bytes(first[2:6]):
        size = 6 + int.from_bytes(first[2:6])
        whole_pdus, first = whole_pdus + first[:size], first[size:]
    assert receiver.offer(whole_pdus) is Next.WAIT
    assert receiver.offer(pdu.encode()) is Next.NOT_PLAIN
    assert receiver.rest == pdu.encode()
    assert receiver.stored == []


def test_a_class_that_is_not_that_of_the_context_is_refused_at_the_end(receiver: Receiver) -> None:
    assert receiver.offer(request(sop_class=EnhancedCTImageStorage)) is Next.WAIT
    (answer,) = receiver.answers
    assert answer.Status == 0xA900
    assert receiver.stored == []
    assert receiver.tally.counts["refused"] == 1


@pytest.mark.parametrize(
    "sent",
    [
        request(context=5),  # a context that was not accepted
        request(pdu_bytes=60),  # a command in pieces
        A_RELEASE_RQ().encode() + bytes(12),
        b"\x99" + bytes(20),
    ],
)
def test_whatever_is_not_plain_is_left_untouched(receiver: Receiver, sent: bytes) -> None:
    assert receiver.offer(sent) is Next.NOT_PLAIN
    assert receiver.rest == sent
    assert receiver.answers == []


def test_a_data_set_that_is_too_long_is_a_violation(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path / "spool", maximum_instance_bytes=1000)
    assert receiver.offer(request(pixels=2000)) is Next.VIOLATION
    assert receiver.stored == []
    assert receiver.drafts == []


@given(st.binary(max_size=100), st.integers(0, 600), st.integers(0, 255))
def test_damaged_requests_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, behind: bytes, position: int, value: int
) -> None:
    receiver = Receiver(tmp_path_factory.mktemp("spool"))
    sent = bytearray(request() + behind)
    sent[position % len(sent)] = value
    receiver.offer(bytes(sent))
    receiver.stores.close()
    assert receiver.drafts == []
