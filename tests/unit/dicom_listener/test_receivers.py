"""Connections that are handed to receivers, and come back."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.pdu_primitives import P_DATA

from dicom_listener.errors import ReceiverError
from dicom_listener.network.scp import ScpSettings
from dicom_listener.receiving import receiver_process
from dicom_listener.receiving.messages import Alive
from dicom_listener.receiving.receivers import Receivers
from dicom_listener.receiving.starter import ReceiverStarter
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoreOutcome
from tests.peers.waiting import wait_until
from tests.survival import wire
from tests.survival.peer import Peer, PeerGoneError, associated, command_elements
from tests.unit.dicom_listener.listening import INTAKES, PATIENCE, Listener

UID, OTHER = "1.2.826.0.1.1", "1.2.826.0.1.2"
DATA_SET = wire.ct_data_set(UID, pixels=bytes(300_000))
SOMETHING = 999
"""Message ID of what the listener sends by itself."""


@pytest.fixture
def intake() -> dict[str, Any]:
    return {**INTAKES["receivers"], "receivers": 2}


@pytest.fixture
def make_starter() -> Callable[[], ReceiverStarter]:
    """Each listener its own, as in a site."""
    return ReceiverStarter


@pytest.fixture
def elsewhere(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Listener:
    """A listener whose own process stores nothing: what is stored, a receiver stored."""

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(listener.spool, "receive", fail)
    return listener


def process_ids(listener: Listener) -> list[int]:
    receivers = listener.scp._receivers
    assert isinstance(receivers, Receivers)
    return receivers.process_ids


def wait_until_held(listener: Listener) -> Any:
    """The provider of the only association, once a receiver has its connection."""
    connections = listener.scp._connections
    assert connections is not None

    def held() -> list[Any]:
        return [one.dul for one in connections._by_association if one.dul._loan.is_out]  # type: ignore[attr-defined] # ours

    wait_until(lambda: bool(held()), "a receiver has the connection", interval=0.001)
    return held()[0]


def something_to_send() -> P_DATA:
    primitive = P_DATA()
    fragment: Any = [1, b"\3" + wire.echo_command(SOMETHING)]  # pynetdicom's types say tuple, its code wants a list
    primitive.presentation_data_value_list = [fragment]
    return primitive


def test_a_receiver_stores_and_everything_else_comes_back(elsewhere: Listener) -> None:
    with associated(elsewhere.scp.port, patience=PATIENCE) as peer:
        assert peer.echo() == 0
        assert peer.store(UID, DATA_SET) == 0
        assert peer.echo() == 0
        assert peer.store(OTHER, wire.ct_data_set(OTHER)) == 0
        assert peer.store(UID, DATA_SET) == 0
        peer.release()
    told = [elsewhere.stored.get(timeout=PATIENCE) for _ in range(3)]
    assert [one.instance.sop_instance_uid for one in told] == [UID, OTHER, UID]
    assert [one.outcome for one in told] == [StoreOutcome.STORED, StoreOutcome.STORED, StoreOutcome.DUPLICATE]
    assert told[0].calling_ae_title == "PACS"
    assert told[0].instance.path.read_bytes().endswith(DATA_SET)


def test_each_of_several_senders_has_a_receiver_of_its_own(elsewhere: Listener) -> None:
    port = elsewhere.scp.port
    with associated(port, patience=PATIENCE) as one, associated(port, patience=PATIENCE) as other:
        assert (one.store(UID, DATA_SET), other.store(OTHER, wire.ct_data_set(OTHER))) == (0, 0)
        receivers = elsewhere.scp._receivers
        assert receivers is not None
        assert [len(receiver.held) for receiver in receivers._receivers] == [1, 1]
    assert elsewhere.scp.connections().receivers == 2


def test_what_the_listener_has_to_send_waits_for_the_data_set_that_is_on_its_way(elsewhere: Listener) -> None:
    with associated(elsewhere.scp.port, patience=PATIENCE) as peer:
        message = wire.store_message(UID, DATA_SET, message=5)
        peer.send(message[:-1000])
        wait_until_held(elsewhere).to_provider_queue.put(something_to_send())
        peer.send(message[-1000:])
        bodies = [peer.read_pdu()[1] for _ in range(2)]
        # the response, and then ours, which is a C-ECHO request
        assert [command_elements(body[6:]).get(0x0900) for body in bodies] == [0, None]
        assert command_elements(bodies[1][6:])[0x0110] == SOMETHING
        assert peer.store(OTHER, wire.ct_data_set(OTHER)) == 0
        peer.release()


def test_what_the_listener_has_to_send_is_sent_while_a_receiver_waits_for_the_next_request(elsewhere: Listener) -> None:
    with associated(elsewhere.scp.port, patience=PATIENCE) as peer:
        assert peer.store(UID, DATA_SET) == 0
        wait_until_held(elsewhere).to_provider_queue.put(something_to_send())
        assert command_elements(peer.read_pdu()[1][6:])[0x0110] == SOMETHING
        assert peer.store(OTHER, wire.ct_data_set(OTHER)) == 0
        peer.release()


def test_stopping_aborts_in_the_middle_of_a_data_set_and_keeps_nothing_of_it(elsewhere: Listener) -> None:
    with associated(elsewhere.scp.port, patience=PATIENCE) as peer:
        peer.send(wire.store_message(UID, DATA_SET)[:-1000])
        wait_until_held(elsewhere)
        elsewhere.scp.stop()
        assert peer.read_pdu()[0] == wire.A_ABORT
        peer.read_to_end()
    assert [path for path in elsewhere.spool.root.rglob("*") if path.is_file()] == []


def test_a_receiver_that_ends_costs_its_association_alone(
    elsewhere: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    port = elsewhere.scp.port
    first = process_ids(elsewhere)
    with associated(port, patience=PATIENCE) as one, associated(port, patience=PATIENCE) as other:
        assert one.store(UID, DATA_SET) == 0
        one.send(wire.store_message(OTHER, DATA_SET)[:-1000])
        wait_until_held(elsewhere)
        receivers = elsewhere.scp._receivers
        assert receivers is not None
        (busy,) = (receiver.process_id for receiver in receivers._receivers if receiver.held)
        assert other.store("1.2.826.0.1.3", wire.ct_data_set("1.2.826.0.1.3")) == 0
        assert busy is not None
        os.kill(busy, signal.SIGKILL)
        with pytest.raises(PeerGoneError):
            one.read_pdu()
        assert other.store("1.2.826.0.1.4", wire.ct_data_set("1.2.826.0.1.4")) == 0
        other.release()
    wait_until(lambda: len(process_ids(elsewhere)) == 2 and busy not in process_ids(elsewhere), "another is there")
    assert len(set(process_ids(elsewhere)) & set(first)) == 1
    assert "a process that receives instances ended; 1 associations end with it" in caplog.text
    wait_until(lambda: not any((elsewhere.spool.root / ".incoming").iterdir()), "nothing half is left")


def test_a_receiver_that_hangs_is_ended_and_replaced_and_what_it_told_is_known(
    elsewhere: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receiver_process, "_SILENT_SECONDS", 0.05)
    port = elsewhere.scp.port
    with associated(port, patience=PATIENCE) as one, associated(port, patience=PATIENCE) as other:
        assert one.store(UID, DATA_SET) == 0
        wait_until_held(elsewhere)
        receivers = elsewhere.scp._receivers
        assert receivers is not None
        (hung,) = (receiver.process_id for receiver in receivers._receivers if receiver.held)
        assert hung is not None
        os.kill(hung, signal.SIGSTOP)
        with pytest.raises(PeerGoneError):
            one.store(OTHER, wire.ct_data_set(OTHER))
        assert other.store("1.2.826.0.1.3", wire.ct_data_set("1.2.826.0.1.3")) == 0
        other.release()
    wait_until(lambda: len(process_ids(elsewhere)) == 2 and hung not in process_ids(elsewhere), "another is there")
    wait_until(lambda: not Path(f"/proc/{hung}").exists(), "the one that hung is gone")
    assert "a process that receives instances hangs" in caplog.text
    assert elsewhere.stored.get(timeout=PATIENCE).instance.sop_instance_uid == UID
    with associated(port, patience=PATIENCE) as peer:
        assert peer.store(OTHER, wire.ct_data_set(OTHER)) == 0
        peer.release()


def test_receivers_that_are_silent_but_alive_stay(
    elsewhere: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Alive] = []
    take_in = Receivers._take_in

    def count(self: Receivers, receiver: Any, message: Any) -> None:
        if isinstance(message, Alive):
            answers.append(message)
        take_in(self, receiver, message)

    monkeypatch.setattr(Receivers, "_take_in", count)
    monkeypatch.setattr(receiver_process, "_SILENT_SECONDS", 0.05)
    before = process_ids(elsewhere)
    with associated(elsewhere.scp.port, patience=PATIENCE) as peer:  # wakes those that wait as long as before
        assert peer.store(UID, DATA_SET) == 0
        wait_until(lambda: len(answers) > 10, "receivers were asked, and asked again")
        assert peer.store(OTHER, wire.ct_data_set(OTHER)) == 0
        peer.release()
    assert process_ids(elsewhere) == before
    assert "hangs" not in caplog.text


def test_without_a_receiver_the_listener_stores_by_itself(listener: Listener) -> None:
    for process_id in process_ids(listener):
        os.kill(process_id, signal.SIGKILL)
    wait_until(lambda: process_ids(listener) == [], "the receivers are gone", interval=0.001)
    with associated(listener.scp.port, patience=PATIENCE) as peer:
        assert peer.store(UID, DATA_SET) == 0
        peer.release()


def test_what_a_receiver_says_goes_to_the_log_and_its_refusals_to_the_report(
    listeners: Callable[..., Listener], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    listener = listeners(ScpSettings(maximum_instance_bytes=2**20))
    with associated(listener.scp.port, patience=PATIENCE) as peer:
        assert peer.store(UID, wire.ct_data_set(OTHER)) == 0xA900
        assert peer.store(UID, DATA_SET) == 0
        with pytest.raises(PeerGoneError, match="PDU of type 7"):
            peer.store(OTHER, wire.ct_data_set(OTHER, pixels=bytes(2**21)))
    assert "instance refused" in caplog.text
    assert "a data set of more than 1048576 bytes ended its association" in caplog.text
    wait_until(lambda: "refused=1" in caplog.text or "A900" in caplog.text, "the association is reported")


def test_receivers_that_cannot_start_are_told_at_the_start(
    listeners: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ReceiverError, match="do not start"):
        listeners()


def test_an_interpreter_that_cannot_be_run_is_named(
    listeners: Callable[..., Listener],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "no-python"))
    with pytest.raises(ReceiverError, match="do not start"):
        listeners()
    assert f"was not started: {tmp_path / 'no-python'}: No such file or directory" in caplog.text


def test_a_peer_that_is_gone_before_it_is_answered_ends_only_itself(elsewhere: Listener) -> None:
    with Peer(elsewhere.scp.port) as peer:
        peer.associate()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
        peer.send(wire.store_message(UID, DATA_SET))
    with associated(elsewhere.scp.port, patience=PATIENCE) as peer:
        assert peer.store(UID, DATA_SET) == 0
        peer.release()
    assert len(Spool(elsewhere.spool.root, high_watermark=1.1).series_keys()) == 1
