"""Why an association did not come about, in words."""

import socket
import threading

import pytest
from pynetdicom.presentation import build_context

from dicom_listener.completion.call_back import called_back
from dicom_listener.errors import CallBackError
from dicom_listener.peers import Peer
from reporter.association import VERIFICATION, Destination, echo
from reporter.errors import DeliveryError, DeliveryRefusedError
from reporter.who_answers import who_answers

NO_HOSTS = ["no-such-host.invalid", "a" * 64 + ".invalid"]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_host_that_does_not_resolve_is_named_and_tried_again(host: str) -> None:
    destination = Destination("pacs", "PACS", host, 104)
    with pytest.raises(DeliveryError, match=rf"PACS@{host}:104 is unreachable: {host} does not resolve \(.+check host"):
        echo(destination)
    with pytest.raises(DeliveryError) as raised:
        echo(destination)
    assert not isinstance(raised.value, DeliveryRefusedError)
    assert who_answers(destination) is None


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_peer_that_does_not_resolve_is_named(host: str) -> None:
    with (
        pytest.raises(CallBackError, match=rf"{host} does not resolve \(.+\[\[listener\.peers\]\]"),
        called_back(Peer("CT", (), host, 104), build_context(VERIFICATION), calling_ae_title="A", seconds=1),
    ):
        pass


@pytest.mark.parametrize(
    ("answer", "kind", "cure"),
    [
        ((1, 1, 3), DeliveryRefusedError, "Calling AE title not recognised); register MINE there"),
        ((1, 1, 7), DeliveryRefusedError, "Called AE title not recognised); its AE title is not NOPE: take the one"),
        ((1, 1, 1), DeliveryRefusedError, "it does not say why: is MINE registered there? otherwise try later"),
        ((1, 2, 1), DeliveryRefusedError, "it does not say why"),
        ((1, 2, 2), DeliveryRefusedError, "is it a DICOM node?"),
        ((2, 3, 2), DeliveryError, "Local limit exceeded); it is busy: try later"),
    ],
)
def test_a_rejection_is_told_with_what_cures_it(
    answer: tuple[int, int, int], kind: type[DeliveryError], cure: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reject() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"\x03\0" + (4).to_bytes(4) + bytes((0, *answer)))  # PS3.8 9.3.4
                connection.recv(1)  # until the requestor closes

        peer = threading.Thread(target=reject)
        peer.start()
        with pytest.raises(DeliveryError) as raised:
            echo(Destination("pacs", "NOPE", "127.0.0.1", listening.getsockname()[1], "MINE"))
        peer.join()
    assert type(raised.value) is kind
    assert cure in str(raised.value)
    assert ("register MINE" in str(raised.value)) == (answer[2] == 3)
