"""Presentation contexts that are not offered pass pynetdicom by, and nobody can tell from the answer."""

import socket
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, MRImageStorage
from pynetdicom import AE, AllStoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import PresentationContextItemRQ

from dicom_listener.network.fast_negotiation import sift
from dicom_listener.network.scp import ScpSettings
from tests.unit.dicom_listener.associate_pdu import associate_request
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener

CONTEXT, ABSTRACT, TRANSFER = 0x20, 0x30, 0x40
ACCEPT = 0x02
ABORT_PDU = b"\7\0\0\0\0\4\0\0\0\0"
CT, ENHANCED, MR = (uid.encode() for uid in (CTImageStorage, EnhancedCTImageStorage, MRImageStorage))
IMPLICIT, EXPLICIT, JPEG = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.4.50"


def item(kind: int, value: bytes) -> bytes:
    return bytes([kind, 0, *len(value).to_bytes(2)]) + value


def proposed(context_id: int, sub_items: Sequence[tuple[int, bytes]]) -> bytes:
    return item(CONTEXT, bytes([context_id, 0, 0, 0]) + b"".join(item(*one) for one in sub_items))


def request(*contexts: bytes) -> bytes:
    """An A-ASSOCIATE-RQ that proposes these in place of its own."""
    whole, own = associate_request(), proposed(1, [(ABSTRACT, CT), (TRANSFER, IMPLICIT)])
    assert own in whole
    pdu = bytearray(whole.replace(own, b"".join(contexts)))
    pdu[2:6] = (len(pdu) - 6).to_bytes(4)
    return bytes(pdu)


def test_only_what_is_offered_is_left_in_the_request() -> None:
    others = [proposed(number, [(ABSTRACT, MR), (TRANSFER, JPEG), (TRANSFER, IMPLICIT)]) for number in (1, 5)]
    offered = proposed(3, [(ABSTRACT, CT), (TRANSFER, IMPLICIT)])

    sifted = sift(request(others[0], offered, others[1]), {CT})

    assert sifted.request == request(offered)
    assert [(one.context_id, one.transfer_syntax) for one in sifted.refused] == [(1, JPEG), (5, JPEG)]


@pytest.mark.parametrize(
    "context",
    [
        proposed(2, [(ABSTRACT, MR), (TRANSFER, IMPLICIT)]),  # an even identifier
        proposed(1, [(ABSTRACT, MR)]),
        proposed(1, [(TRANSFER, IMPLICIT)]),
        proposed(1, [(ABSTRACT, MR), (ABSTRACT, MR), (TRANSFER, IMPLICIT)]),
        proposed(1, [(ABSTRACT, MR), (TRANSFER, b"")]),
        proposed(1, [(ABSTRACT, MR + b"\0"), (TRANSFER, IMPLICIT)]),
        proposed(1, [(ABSTRACT, b"1.02"), (TRANSFER, IMPLICIT)]),
        proposed(1, [(ABSTRACT, b"1." * 32 + b"1"), (TRANSFER, IMPLICIT)]),
        proposed(1, [(ABSTRACT, MR), (0x51, b"1"), (TRANSFER, IMPLICIT)]),
        proposed(1, [(ABSTRACT, MR), (TRANSFER, IMPLICIT)])[:-1],
        item(CONTEXT, b""),
        item(CONTEXT, b"\1\0\0\0" + item(ABSTRACT, MR) + item(TRANSFER, IMPLICIT)[:-1]),
    ],
)
def test_what_is_not_as_the_standard_says_is_left_for_pynetdicom(context: bytes) -> None:
    pdu = request(context)

    sifted = sift(pdu, {CT})

    assert (sifted.request, sifted.refused) == (pdu, ())


def test_two_contexts_of_one_identifier_are_left_for_pynetdicom() -> None:
    pdu = request(*(proposed(1, [(ABSTRACT, syntax), (TRANSFER, IMPLICIT)]) for syntax in (MR, CT)))

    assert sift(pdu, {CT}).request == pdu


@given(st.binary(max_size=200))
def test_whatever_comes_is_sifted_or_left(data: bytes) -> None:
    pdu = request(data)

    sifted = sift(pdu, {CT})

    assert sifted.refused or sifted.request == pdu


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Listener]]:
    """A listener that sifts, and one that leaves all to pynetdicom."""
    made = [
        Listener(tmp_path_factory.mktemp("spool"), ScpSettings(fast_intake=fast, maximum_associations=1000))
        for fast in (True, False)
    ]
    yield made
    for listener in made:
        listener.scp.stop()


def answer(port: int, pdu: bytes) -> bytes:
    """The first PDU of the answer."""
    with socket.create_connection((LOOPBACK, port)) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(pdu)
        with connection.makefile("rb") as stream:
            head = stream.read(6)
            whole = head + stream.read(int.from_bytes(head[2:]))
        if whole[:1] == bytes([ACCEPT]):
            connection.sendall(ABORT_PDU)
    return whole


ABSTRACTS = st.sampled_from([CT, ENHANCED, MR, b"1.2.840.10008.1.1", b"1.2.3", b"1.02", b"", MR + b"\0", b"\xff"])
TRANSFERS = st.sampled_from([IMPLICIT, EXPLICIT, JPEG, b"1.2.3", b""])
PLAIN = st.tuples(
    st.sampled_from([CT, ENHANCED, MR, b"1.2.840.10008.1.1", b"1.2.3"]),
    st.lists(st.sampled_from([IMPLICIT, EXPLICIT, JPEG]), min_size=1, max_size=3),
).map(lambda one: [(ABSTRACT, one[0]), *((TRANSFER, name) for name in one[1])])
ODD = st.lists(
    st.one_of(
        st.tuples(st.just(ABSTRACT), ABSTRACTS),
        st.tuples(st.just(TRANSFER), TRANSFERS),
        st.tuples(st.integers(0, 255), st.just(b"1.2")),
    ),
    max_size=4,
)
IDENTIFIERS = st.integers(0, 127).map(lambda number: 2 * number + 1)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.lists(st.tuples(IDENTIFIERS, PLAIN), max_size=20, unique_by=lambda one: one[0]),
        st.lists(st.tuples(st.integers(0, 255), st.one_of(PLAIN, ODD)), max_size=4),
    )
)
def test_the_answer_is_that_of_pynetdicom(
    both: list[Listener], contexts: list[tuple[int, list[tuple[int, bytes]]]]
) -> None:
    pdu = request(*(proposed(*one) for one in contexts))

    sifted, whole = (answer(listener.scp.port, pdu) for listener in both)

    assert sifted == whole


def test_a_sender_that_proposes_everything_is_answered_each_context(both: list[Listener]) -> None:
    ae = AE("PACS")
    ae.requested_contexts = AllStoragePresentationContexts[:128]
    association = ae.associate(LOOPBACK, both[0].scp.port, ae_title="SEGWATCH")

    assert association.is_established
    assert {one.context_id for one in association.accepted_contexts + association.rejected_contexts} == set(
        range(1, 256, 2)
    )
    assert CTImageStorage in {one.abstract_syntax for one in association.accepted_contexts}
    association.release()


def test_the_answer_is_decoded_as_what_was_refused(both: list[Listener]) -> None:
    pdu = request(proposed(9, [(ABSTRACT, MR), (TRANSFER, JPEG)]), proposed(1, [(ABSTRACT, CT), (TRANSFER, IMPLICIT)]))
    asked = A_ASSOCIATE_RQ()
    asked.decode(sift(pdu, {CT}).request)
    assert [one.context_id for one in asked.variable_items if isinstance(one, PresentationContextItemRQ)] == [1]

    accepted = A_ASSOCIATE_AC()
    accepted.decode(answer(both[0].scp.port, pdu))

    assert [(one.context_id, one.result) for one in accepted.presentation_context] == [(1, 0), (9, 3)]
