import logging
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
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
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from dicom_listener.errors import (
    InvalidInstanceError,
    ListenerError,
    PortError,
    SpoolError,
    SpoolFullError,
    UnreadableInstanceError,
)
from dicom_listener.part10 import encode_file_meta
from dicom_listener.scp import STATUS_OF_ERROR, ScpSettings, StorageScp
from dicom_listener.spool import Spool
from dicom_listener.stored import StoredInstance, StoreOutcome, StoreRequest
from dicom_listener.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set, encode

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0


class Listener:
    """A provider on a free port, and the instances that it told about."""

    def __init__(self, root: Path, settings: ScpSettings | None = None) -> None:
        self.stored: queue.Queue[StoredInstance] = queue.Queue()
        self.spool = Spool(root, high_watermark=1.1)
        self.scp = StorageScp(
            self.spool, ae_title="SEGWATCH", host=LOOPBACK, port=0, on_stored=self.stored.put, settings=settings
        )
        self.scp.start()

    def associate(self, *contexts: tuple[str, str], called: str = "SEGWATCH", calling: str = "PACS") -> Association:
        ae = AE(calling)
        for abstract, transfer in contexts or ((CTImageStorage, EXPLICIT_LITTLE),):
            ae.add_requested_context(abstract, transfer)
        return ae.associate(LOOPBACK, self.scp.port, ae_title=called)


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(settings: ScpSettings | None = None) -> Listener:
        made.append(Listener(tmp_path / f"spool-{len(made)}", settings))
        return made[-1]

    yield make
    for listener in made:
        listener.scp.stop()


@pytest.fixture
def listener(listeners: Callable[..., Listener]) -> Listener:
    return listeners()


def _send(association: Association, dataset: Dataset, syntax: str = EXPLICIT_LITTLE) -> Any:
    assert association.is_established
    dataset.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return association.send_c_store(dataset)


class _Setting(logging.Handler):
    """Sets an event when something is logged."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__()
        self._event = event

    def emit(self, _record: logging.LogRecord) -> None:
        self._event.set()


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("pytest")}


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
    assert _send(association, dataset, syntax).Status == 0x0000
    association.release()
    stored = listener.stored.get_nowait()  # told before the sender was
    assert stored.outcome is StoreOutcome.STORED
    assert stored.calling_ae_title == "CT_ROOM_1"
    meta = encode_file_meta(StoreRequest(CTImageStorage, str(dataset.SOPInstanceUID), syntax, "CT_ROOM_1", "SEGWATCH"))
    content = stored.instance.path.read_bytes()
    assert content.startswith(meta)
    if syntax != DeflatedExplicitVRLittleEndian:  # there pynetdicom pads and packs its own way
        assert content == meta + encode(dataset, syntax)


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
        broken.setattr(listener.spool, "store", fail)
        answer = _send(association, data_set())
    assert answer.Status == status
    assert 0 < len(answer.ErrorComment) <= 64
    assert listener.stored.empty()
    assert _send(association, data_set()).Status == 0x0000
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
    assert _send(association, dataset).Status == 0xA900
    assert _send(association, data_set()).Status == 0x0000
    association.release()


def test_a_class_that_is_not_that_of_the_presentation_context_is_refused(listener: Listener) -> None:
    association = listener.associate((CTImageStorage, EXPLICIT_LITTLE), (EnhancedCTImageStorage, EXPLICIT_LITTLE))
    dataset = data_set()
    sent = _send(association, dataset)
    assert sent.Status == 0x0000
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    for context in association.accepted_contexts:  # a sender that mixes up its contexts
        context.abstract_syntax = EnhancedCTImageStorage
    assert _send(association, dataset).Status == 0xA900
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
        (ScpSettings(allowed_calling_ae_titles=("PACS",)), "SEGWATCH", "OTHER", False),
        (ScpSettings(allowed_calling_ae_titles=("PACS",)), "SEGWATCH", "PACS", True),
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


@pytest.mark.parametrize(
    "bytes_sent",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x01\x00\xff\xff\xff\xff", b"\x01\x00\x00"],
    ids=["nothing", "HTTP", "TLS", "4 GB", "half a header"],
)
def test_probes_leave_nothing_behind(
    listener: Listener, bytes_sent: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _threads()
    for _ in range(20):
        with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
            probe.settimeout(PATIENCE)
            probe.sendall(bytes_sent)
            with suppress(OSError):  # the listener may be faster than we are
                probe.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                while probe.recv(1000):  # until the listener closes, long before its ARTIM timer
                    pass
    for thread in _threads() - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert [record for record in caplog.records if record.name.startswith("dicom_listener")] == []
    assert "Traceback" not in capfd.readouterr().err
    association = listener.associate()
    assert association.is_established
    association.release()


def test_a_connection_that_says_nothing_is_closed_after_the_artim_time(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(first_pdu_seconds=0.2))
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.settimeout(PATIENCE)
        assert probe.recv(1) == b""


def test_half_a_pdu_does_not_hold_a_thread_for_ever(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(idle_seconds=0.3))
    before = _threads()
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.settimeout(PATIENCE)
        probe.sendall(struct.pack(">BBL", 1, 0, 500) + bytes(100))
        while probe.recv(1000):
            pass
        for thread in _threads() - before:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_connections_over_their_limit_are_closed_at_once(listeners: Callable[..., Listener]) -> None:
    listener = listeners(ScpSettings(maximum_associations=1))
    silent = [socket.create_connection((LOOPBACK, listener.scp.port)) for _ in range(2)]
    with socket.create_connection((LOOPBACK, listener.scp.port)) as probe:
        probe.settimeout(PATIENCE)
        assert probe.recv(1) == b""
    for one in silent:
        one.close()


def test_stop_does_not_wait_for_peers_that_say_nothing(listener: Listener) -> None:
    began = time.monotonic()
    with (
        socket.create_connection((LOOPBACK, listener.scp.port)) as silent,
        socket.create_connection((LOOPBACK, listener.scp.port)) as half,
    ):
        half.sendall(struct.pack(">BBL", 1, 0, 500) + bytes(100))
        listener.associate((Verification, ImplicitVRLittleEndian)).release()  # both were accepted before it
        listener.scp.stop()
        silent.settimeout(PATIENCE)
        assert silent.recv(1) == b""
    assert time.monotonic() - began < ScpSettings().stop_seconds / 2


def test_stop_aborts_what_runs_and_frees_the_port(listener: Listener) -> None:
    association = listener.associate()
    port = listener.scp.port
    before = _threads()
    listener.scp.stop()
    association.join(PATIENCE)
    assert association.is_aborted
    assert not any("accept" in thread.name for thread in _threads() - before)
    with pytest.raises(ConnectionRefusedError), socket.create_connection((LOOPBACK, port)):
        pass
    listener.scp.start()
    listener.scp.stop()
    listener.scp.stop()


def test_an_association_makes_one_log_line_without_identifiers(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="dicom_listener")
    logged = threading.Event()
    logging.getLogger("dicom_listener.associations").addHandler(_Setting(logged))
    association = listener.associate()
    dataset = data_set()
    _send(association, dataset)
    _send(association, dataset)
    del dataset.StudyInstanceUID
    _send(association, dataset)
    association.release()
    assert logged.wait(PATIENCE)
    (line,) = [one.getMessage() for one in caplog.records if one.getMessage().startswith("association")]
    assert line.startswith("association released: calling=PACS address=127.0.0.1 ")
    assert line.endswith("duplicate=1 refused=1 stored=1")
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("dicom_listener"))
    assert "Nobody" not in ours
    assert data_set().SeriesInstanceUID not in ours
