"""Bytes that came while something was to be sent; only the fast intake has a buffer in which they could lie."""

from pathlib import Path
from typing import Any

import pytest
from pynetdicom.pdu_primitives import P_DATA

from dicom_listener.network.bounded_socket import BoundedSocket
from dicom_listener.network.scp_settings import ScpSettings
from dicom_listener.receiving.plain_store import PlainStores
from tests.survival import wire
from tests.survival.peer import PeerGoneError, associated
from tests.unit.dicom_listener.listening import Listener


def _something_to_send() -> P_DATA:
    """A message of ours that answers nothing the peer asked, as the report of a storage commitment is."""
    primitive = P_DATA()
    fragment: Any = [1, b"\3" + wire.echo_command(999)]  # pynetdicom's types say tuple, its code wants a list
    primitive.presentation_data_value_list = [fragment]
    return primitive


def test_what_was_received_is_not_left_lying_when_something_is_to_be_sent(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer has sent all that it will: nobody would wake a reactor that waited for more of it."""
    fill = BoundedSocket.fill

    def fill_and_send(self: BoundedSocket, room: memoryview | None = None) -> int | None:
        received = fill(self, room)
        if received:
            self.assoc.dul.to_provider_queue.put(_something_to_send())
        return received

    with associated(listener.scp.port, patience=10) as peer:
        monkeypatch.setattr(BoundedSocket, "fill", fill_and_send)
        uid = "1.2.826.0.1.1"
        assert peer.store(uid, wire.ct_data_set(uid)) == 0
        monkeypatch.setattr(BoundedSocket, "fill", fill)
        assert peer.echo() == 0
        peer.release()
    (stored,) = listener.told()
    assert stored.instance.sop_instance_uid == uid


def test_a_fault_of_ours_ends_its_association_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    listener = Listener(tmp_path / "spool", ScpSettings(receivers=0))

    def fail(*_: object) -> None:
        raise ZeroDivisionError("PATIENT^NAME")

    uid = "1.2.826.0.1.1"
    try:
        with monkeypatch.context() as broken:
            broken.setattr(PlainStores, "_receive", fail)
            with associated(listener.scp.port, patience=10) as peer, pytest.raises(PeerGoneError):
                peer.store(uid, wire.ct_data_set(uid))
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("dicom_listener")]
        (told,) = (text for text in ours if "given up" in text)
        assert told.startswith("an association is given up: ZeroDivisionError at test_fast_provider.py")
        assert "PATIENT" not in told
        with associated(listener.scp.port, patience=10) as peer:
            assert peer.store(uid, wire.ct_data_set(uid)) == 0
            peer.release()
    finally:
        listener.scp.stop()
