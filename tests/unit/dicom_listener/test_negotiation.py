"""What a peer is answered to its A-ASSOCIATE-RQ, on the wire."""

import logging
import socket
from collections.abc import Callable

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dicom_listener.network.admission import AdmissionRules, Refusal
from dicom_listener.network.scp import ScpSettings
from dicom_listener.peers import Peer
from tests.unit.dicom_listener.associate_pdu import associate_request
from tests.unit.dicom_listener.instances import data_set
from tests.unit.dicom_listener.listening import LOOPBACK, PATIENCE, Listener, send

CALLED_AT = 10
CALLING_AT = 26
ACCEPT, REJECT, ABORT = 0x02, 0x03, 0x07
MAXIMUM_LENGTH = b"\x51\x00\x00\x04"
"""Head of the Maximum Length sub-item, whose value has four bytes (PS3.8 table D.1-1)."""


def told(association: Association) -> tuple[int | None, ...]:
    """Result, source and reason of the A-ASSOCIATE-RJ."""
    rejected = association.acceptor.primitive
    assert isinstance(rejected, A_ASSOCIATE)
    return rejected.result, rejected.result_source, rejected.diagnostic


def answer(listener: Listener, request: bytes) -> bytes:
    """The first PDU of the answer; the connection is closed by the listener where it is a refusal."""
    with socket.create_connection((LOOPBACK, listener.scp.port)) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(request)
        received = b""
        while len(received) < 6 + int.from_bytes(received[2:6]) and (piece := connection.recv(1000)):
            received += piece
        if received[:1] != bytes([ACCEPT]):
            while connection.recv(1000):
                pass
    return received


@pytest.mark.parametrize(
    ("request_pdu", "triple"),
    [
        (associate_request(application_context="1.2.840.10008.3.1.1.9"), (1, 1, 2)),
        (associate_request(version=2), (1, 2, 2)),
        (associate_request(version=2, application_context="1.2.3"), (1, 2, 2)),
    ],
)
def test_what_pynetdicom_does_not_look_at_is_rejected(
    listener: Listener, request_pdu: bytes, triple: tuple[int, int, int]
) -> None:
    received = answer(listener, request_pdu)
    assert received[0] == REJECT
    assert tuple(received[7:10]) == triple
    association = listener.associate()
    assert association.is_established
    association.release()


@pytest.mark.parametrize("version", [1, 3, 0xFFFF])
def test_a_peer_that_speaks_later_versions_too_is_accepted(listener: Listener, version: int) -> None:
    assert answer(listener, associate_request(version=version))[0] == ACCEPT


@pytest.mark.parametrize("announced", [4096, 131072, 1048576])
def test_the_longest_pdu_that_is_announced_is_the_setting(listeners: Callable[..., Listener], announced: int) -> None:
    accepted = answer(listeners(ScpSettings(maximum_pdu_bytes=announced)), associate_request())
    assert accepted[0] == ACCEPT
    _, found, value = accepted.partition(MAXIMUM_LENGTH)
    assert found
    assert int.from_bytes(value[:4]) == announced


@pytest.mark.parametrize(
    ("settings", "called", "calling", "triple"),
    [
        (ScpSettings(require_called_ae_title=True), "ANYBODY", "PACS", (1, 1, 7)),
        (ScpSettings(further_ae_titles=("CHEST",)), "ANYBODY", "PACS", (1, 1, 7)),
        (ScpSettings(further_ae_titles=("CHEST",)), "CHEST", "PACS", None),
        (ScpSettings(further_ae_titles=("CHEST",)), "SEGWATCH", "PACS", None),
        (ScpSettings(only_known_peers=True), "SEGWATCH", "PACS", (1, 1, 3)),
        (ScpSettings(peers=(Peer("PACS", ("192.0.2.1",)),)), "SEGWATCH", "PACS", (1, 1, 3)),
        (ScpSettings(peers=(Peer("PACS", ("192.0.2.1",)),)), "SEGWATCH", "OTHER", None),
        (ScpSettings(peers=(Peer("PACS", ("127.0.0.0/8",)),), only_known_peers=True), "SEGWATCH", "PACS", None),
    ],
)
def test_titles_and_addresses(
    listeners: Callable[..., Listener],
    settings: ScpSettings,
    called: str,
    calling: str,
    triple: tuple[int, int, int] | None,
) -> None:
    association = listeners(settings).associate(called=called, calling=calling)
    if triple is None:
        assert association.is_established
        association.release()
    else:
        assert told(association) == triple
        assert association.is_rejected


@pytest.mark.parametrize(
    "settings",
    [
        ScpSettings(maximum_associations=2),
        ScpSettings(maximum_associations_per_peer=2),
        ScpSettings(peers=(Peer("PACS", maximum_associations=2),), maximum_associations_per_peer=1),
    ],
)
def test_over_a_limit_the_rejection_is_transient(listeners: Callable[..., Listener], settings: ScpSettings) -> None:
    listener = listeners(settings)
    running = [listener.associate() for _ in range(2)]
    for _ in range(3):
        assert told(listener.associate()) == (2, 3, 2)
    if settings.maximum_associations > 2:
        other = listener.associate(calling="OTHER")
        assert other.is_established
        other.release()
    assert [send(one, data_set()).Status for one in running] == [0, 0]
    for one in running:
        one.release()


def test_the_log_says_more_than_the_peer_is_told(
    listeners: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dicom_listener")
    listener = listeners(ScpSettings(peers=(Peer("PACS", ("192.0.2.1",)),)))
    assert told(listener.associate()) == Refusal.CALLING_AE_TITLE.value
    listener.scp.stop()
    (line,) = (one.getMessage() for one in caplog.records if one.getMessage().startswith("association rejected"))
    assert 'reason=calling-ae-title-not-recognized comment="a peer has this AE title, but not this address"' in line


def test_rejections_are_warnings_once_a_minute_for_each_address_and_reason(
    listeners: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="dicom_listener")
    listener = listeners(ScpSettings(require_called_ae_title=True, peers=(Peer("PACS", ("192.0.2.1",)),)))
    for _ in range(2):
        assert listener.associate(called="NOBODY", calling="OTHER").is_rejected
    assert listener.associate().is_rejected
    listener.scp.stop()
    lines = [one for one in caplog.records if one.getMessage().startswith("association rejected")]
    levels = sorted((one.levelname, "reason=called" in one.getMessage()) for one in lines)
    assert levels == [("INFO", True), ("WARNING", False), ("WARNING", True)]


def test_a_judge_that_fails_lets_nobody_in(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Nobody^Test")

    monkeypatch.setattr("dicom_listener.network.doorkeeper.refusal", fail)
    assert told(listener.associate()) == Refusal.UNDECIDED.value
    assert "Nobody" not in caplog.text


def mutilated() -> list[bytes]:
    """Requests that pynetdicom decodes, but can make nothing of."""
    whole = associate_request()
    spaces = bytearray(whole)
    spaces[CALLED_AT : CALLED_AT + 16] = b" " * 16
    no_uid = whole.replace(b"1.2.840.10008.3.1.1.1", b"..2.840.10008.3.1.1..")
    no_syntax = whole.replace(CTImageStorage.encode(), b"x" * len(CTImageStorage))
    unprintable = bytearray(whole)
    unprintable[CALLING_AT : CALLING_AT + 16] = bytes(range(16))
    return [bytes(spaces), no_uid, no_syntax, bytes(unprintable), whole[:6] + whole[6:].replace(b"\x50", b"\x51")]


@pytest.mark.parametrize("number", range(5))
def test_a_request_that_makes_no_sense_ends_its_own_connection_alone(
    listener: Listener, number: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.ERROR, logger="dicom_listener")
    received = answer(listener, mutilated()[number])
    assert received[:1] in {bytes([ABORT]), bytes([REJECT]), bytes([ACCEPT]), b""}
    association = listener.associate()
    assert send(association, data_set()).Status == 0x0000
    association.release()
    listener.scp.stop()
    assert "Traceback" not in capfd.readouterr().err


def test_who_cannot_be_answered_is_not_let_in(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Nobody^Test")

    monkeypatch.setattr("dicom_listener.network.negotiation.Negotiation._judge", fail)
    association = listener.associate()
    assert association.is_aborted
    assert "could not be answered" in caplog.text
    assert "Nobody" not in caplog.text


def test_rules_come_from_the_settings() -> None:
    settings = ScpSettings(further_ae_titles=("B",), maximum_associations=7, maximum_associations_per_peer=3)
    assert settings.admission_rules("A") == AdmissionRules(("A", "B"), (), False, 7, 3)
    assert ScpSettings().admission_rules("A").ae_titles == ()
