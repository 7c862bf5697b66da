from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import (
    AllTransferSyntaxes,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # pynetdicom makes it at run time

from dicom_listener.errors import (
    InvalidInstanceError,
    ListenerError,
    PortError,
    SpoolError,
    SpoolFullError,
    UnreadableInstanceError,
)
from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.network.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES
from dicom_listener.peers import Peer
from dicom_listener.spool.part10 import encode_file_meta
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import STATUS_OF_ERROR
from dicom_listener.stored import StoreOutcome, StoreRequest
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set, encode
from tests.unit.dicom_listener.listening import INTAKES, LOOPBACK, Listener, send


def test_echo_is_answered(listener: Listener) -> None:
    association = listener.associate((Verification, ImplicitVRLittleEndian))
    assert association.send_c_echo().Status == 0x0000
    association.release()


@pytest.mark.parametrize(
    "syntax", [EXPLICIT_LITTLE, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_success_means_stored_in_the_negotiated_transfer_syntax(listener: Listener, syntax: str) -> None:
    association = listener.associate((CTImageStorage, syntax), calling="CT_ROOM_1")
    dataset = data_set()
    assert send(association, dataset, syntax).Status == 0x0000
    association.release()
    (stored,) = listener.told()
    assert stored.outcome is StoreOutcome.STORED
    assert stored.calling_ae_title == "CT_ROOM_1"
    wanted = StoreRequest(CTImageStorage, str(dataset.SOPInstanceUID), syntax, "CT_ROOM_1", "SEGWATCH")
    content, encoded = stored.instance.path.read_bytes(), encode(dataset, syntax)
    if syntax == DeflatedExplicitVRLittleEndian:  # there pynetdicom pads and packs its own way
        encoded = content[len(encode_file_meta(wanted, 0)) :]
    assert content == encode_file_meta(wanted, len(encoded)) + encoded


@pytest.mark.parametrize("intake", [INTAKES["fast"], INTAKES["pynetdicom"]], ids=["fast", "pynetdicom"])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SpoolFullError("x"), 0xA700),
        (SpoolError("x"), 0x0110),
        (InvalidInstanceError("x"), 0xA900),
        (UnreadableInstanceError("x"), 0xC000),
        (RuntimeError("Nobody^Test"), 0x0110),
    ],
)
def test_every_error_has_its_status_and_the_association_goes_on(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    association = listener.associate()

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(listener.spool, "receive", fail)
        answer = send(association, data_set())
    assert answer.Status == status
    assert 0 < len(answer.ErrorComment) <= 64
    assert listener.stored.empty()
    assert send(association, data_set()).Status == 0x0000
    association.release()
    assert "Nobody" not in caplog.text


def test_the_status_table_answers_every_error_of_storing_with_the_most_special_row() -> None:
    for kind in (SpoolFullError, SpoolError, UnreadableInstanceError, InvalidInstanceError):
        assert next(row for row in STATUS_OF_ERROR if issubclass(kind, row[0]))[0] is kind
    assert all(issubclass(kind, ListenerError) and len(comment) <= 64 for kind, _, comment in STATUS_OF_ERROR)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_without_identifiers_is_refused(listener: Listener, keyword: str) -> None:
    association = listener.associate()
    dataset = data_set()
    delattr(dataset, keyword)
    assert send(association, dataset).Status == 0xA900
    assert send(association, data_set()).Status == 0x0000
    association.release()


def test_a_class_that_is_not_that_of_the_presentation_context_is_refused(listener: Listener) -> None:
    association = listener.associate((CTImageStorage, EXPLICIT_LITTLE), (EnhancedCTImageStorage, EXPLICIT_LITTLE))
    dataset = data_set()
    sent = send(association, dataset)
    assert sent.Status == 0x0000
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    for context in association.accepted_contexts:  # a sender that mixes up its contexts
        context.abstract_syntax = EnhancedCTImageStorage
    assert send(association, dataset).Status == 0xA900
    association.release()


def test_every_transfer_syntax_of_the_standard_is_accepted(listener: Listener) -> None:
    streaming = {f"1.2.840.10008.1.2.7.{number}" for number in (1, 2, 3)}  # live video, never stored (PS3.22)
    offered = (set(ALL_TRANSFER_SYNTAXES) | set(AllTransferSyntaxes)) - streaming
    assert offered <= set(STORAGE_TRANSFER_SYNTAXES)
    assert len(set(STORAGE_TRANSFER_SYNTAXES)) == len(STORAGE_TRANSFER_SYNTAXES) <= 128
    association = listener.associate(*((CTImageStorage, syntax) for syntax in STORAGE_TRANSFER_SYNTAXES))
    assert len(association.accepted_contexts) == len(STORAGE_TRANSFER_SYNTAXES)
    association.release()


def test_of_several_transfer_syntaxes_the_one_that_loses_nothing_is_taken(listener: Listener) -> None:
    ae = AE("PACS")
    lossy, lossless = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
    ae.add_requested_context(CTImageStorage, [lossy, lossless, ImplicitVRLittleEndian, EXPLICIT_LITTLE])
    ae.add_requested_context(EnhancedCTImageStorage, [lossy, lossless])
    association = ae.associate(LOOPBACK, listener.scp.port)
    taken = {context.abstract_syntax: context.transfer_syntax[0] for context in association.accepted_contexts}
    association.release()
    assert taken == {CTImageStorage: EXPLICIT_LITTLE, EnhancedCTImageStorage: lossless}


def test_other_storage_classes_are_refused_by_context_unless_asked_for(listeners: Callable[..., Listener]) -> None:
    contexts = (CTImageStorage, EXPLICIT_LITTLE), (SecondaryCaptureImageStorage, EXPLICIT_LITTLE)
    association = listeners().associate(*contexts)
    assert [context.abstract_syntax for context in association.accepted_contexts] == [CTImageStorage]
    association.release()
    association = listeners(ScpSettings(sop_classes=(SecondaryCaptureImageStorage,))).associate(*contexts)
    assert [context.abstract_syntax for context in association.accepted_contexts] == [SecondaryCaptureImageStorage]
    association.release()


@pytest.mark.parametrize(
    ("settings", "called", "calling", "accepted"),
    [
        (ScpSettings(), "ANYBODY", "PACS", True),
        (ScpSettings(require_called_ae_title=True), "ANYBODY", "PACS", False),
        (ScpSettings(require_called_ae_title=True), "SEGWATCH", "PACS", True),
        (ScpSettings(peers=(Peer("PACS"),), only_known_peers=True), "SEGWATCH", "OTHER", False),
        (ScpSettings(peers=(Peer("PACS"),), only_known_peers=True), "SEGWATCH", "PACS", True),
    ],
)
def test_ae_titles_are_checked_where_asked(
    listeners: Callable[..., Listener], settings: ScpSettings, called: str, calling: str, accepted: bool
) -> None:
    association = listeners(settings).associate(called=called, calling=calling)
    assert association.is_established == accepted
    assert association.is_rejected != accepted
    if accepted:
        association.release()


def test_associations_over_the_limit_are_rejected_and_later_ones_served(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(maximum_associations=1))
    first = listener.associate()
    assert listener.associate().is_rejected
    first.release()
    # the first one's threads may take a moment longer than its release
    again = next(one for one in iter(listener.associate, None) if one.is_established)
    again.release()


def test_a_port_in_use_is_named(listener: Listener, tmp_path: Path) -> None:
    other = StorageScp(
        Spool(tmp_path / "other"), ae_title="B", host=LOOPBACK, port=listener.scp.port, on_stored=lambda _: None
    )
    with pytest.raises(PortError, match=rf"{LOOPBACK}:{listener.scp.port}.*choose another port"):
        other.start()
    other.stop()


@pytest.mark.parametrize(("host", "port"), [("203.0.113.7", 0), ("no.such.host.invalid", 0), (LOOPBACK, 70000)])
def test_an_address_that_is_not_ours_is_named(tmp_path: Path, host: str, port: int) -> None:
    scp = StorageScp(Spool(tmp_path / "spool"), ae_title="A", host=host, port=port, on_stored=lambda _: None)
    with pytest.raises(PortError, match=f"cannot listen on {host}"):
        scp.start()
