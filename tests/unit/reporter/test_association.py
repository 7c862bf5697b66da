"""Why an association did not come about, in words."""

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
