"""What the listener relies on inside pynetdicom; a version that changes it must be looked at before it is allowed.

Where this fails: read what changed, mend `dicom_listener/network/fast_*.py`, and `bounded_*.py` and `associations.py`
beside it, if need be, then write the new hashes, which the failure shows.
"""

import hashlib
import inspect
import textwrap
from importlib.metadata import requires, version
from typing import Any

import pytest
from packaging.requirements import Requirement
from pynetdicom import presentation
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu import A_ASSOCIATE_AC, PDU
from pynetdicom.timer import Timer
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

RELIED_ON: dict[str, str] = {
    "DULServiceProvider.__init__": "6ba6c0a89a5ab52a",
    "DULServiceProvider.run_reactor": "780cd7ed323ef3bb",
    "DULServiceProvider._process_recv_primitive": "be1c4202c189e6ac",
    "DULServiceProvider._is_transport_event": "6868c3eee650bc3f",
    "DULServiceProvider._read_pdu_data": "4679cb00a659ff5f",
    "DULServiceProvider._decode_pdu": "1c1f241500de9aaf",
    "DULServiceProvider._send": "f68e64b3edd5d0a6",
    "DULServiceProvider.kill_dul": "81a5917503d167bf",
    "DULServiceProvider.stop_dul": "2d3c60aed053f592",
    "DULServiceProvider.idle_timer_expired": "081eba519dd47e6b",
    "Association.__init__": "37cd0192fe87ffd1",
    "Association.run_reactor": "3b2745eed4988ef7",
    "Association._run_reactor": "cbf8d3c3eb37093a",
    "Association._serve_request": "b9dad50a37d68ef7",
    "Association.kill": "531f3ec8d4df979a",
    "Association._abort_blocking": "6d53d8c2c27fe201",
    "DIMSEServiceProvider.receive_primitive": "4307baf82f143a89",
    "DIMSEServiceProvider.get_msg": "c6102c95bb634fbb",
    "DIMSEMessage.decode_msg": "b2ba2a9d8e5fcf73",
    "DIMSEMessage.message_to_primitive": "91c63d53a195dfab",
    "StateMachine.__init__": "e51db7ea8ccf390a",
    "StateMachine.do_action": "4afe2ea8fc2a8725",
    "AssociationSocket.__init__": "bdf9c81c82dd508f",
    "AssociationSocket.close": "c06573e6db40f48f",
    "AssociationSocket.ready": "245230e31ef3ad51",
    "AssociationSocket.recv": "0c5fbc85ac69f1b2",
    "AssociationSocket.send": "e792469c953273eb",
    "Timer.__init__": "af3c36ff77a15b68",
    "Timer.expired": "bc2065d7be378a05",
    "Timer.remaining": "62f9b7d3d3987fe5",
    "Timer.restart": "f95657d3d363e561",
    "Timer.start": "17c9961195eb5d3d",
    "Timer.stop": "89375f77dc1353de",
    "ACSE.is_aborted": "1c3040fb6cf1349b",
    "ACSE.is_release_requested": "86c631f418043867",
    "ACSE._negotiate_as_acceptor": "317caea98a1e6be0",
    "ACSE.send_accept": "df58dfb456e9e9e5",
    "A_ASSOCIATE_AC.from_primitive": "47ed163856e9361a",
    "A_ASSOCIATE_AC.pdu_length": "1eaf2964291009af",
    "PDU.encode": "6c990df97fbfe382",
    "PDU._wrap_encode_items": "98a38d1f1b52ea4e",
    "presentation.negotiate_as_acceptor": "d5413f08f0ac7b32",
    "RequestHandler._create_association": "4ad65038b9aedd36",
    "AssociationServer.__init__": "c8e7a80c8793ae78",
    "AssociationServer.server_bind": "27172ba06211dd06",
    "AssociationServer.service_actions": "32e767c375e99fcb",
}
"""First 16 digits of SHA-256 of the source text, with its indentation removed."""
HOLDERS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        ACSE,
        A_ASSOCIATE_AC,
        Association,
        AssociationServer,
        AssociationSocket,
        DIMSEMessage,
        DIMSEServiceProvider,
        DULServiceProvider,
        PDU,
        RequestHandler,
        StateMachine,
        Timer,
    )
} | {"presentation": presentation}


@pytest.mark.parametrize("name", RELIED_ON)
def test_what_is_relied_on_is_unchanged(name: str) -> None:
    holder, _, attribute = name.partition(".")
    found: Any = inspect.getattr_static(HOLDERS[holder], attribute)
    function: Any = found.fget if isinstance(found, property) else found
    source = textwrap.dedent(inspect.getsource(function))
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert digest == RELIED_ON[name], f"{name} of pynetdicom {version('pynetdicom')} is another one"


def test_the_version_is_pinned_to_the_minor_release() -> None:
    (pin,) = [one for one in map(Requirement, requires("segwatch") or ()) if one.name == "pynetdicom"]
    major, minor, *_ = version("pynetdicom").split(".")
    assert f"{major}.{minor}.999" in pin.specifier
    assert f"{major}.{int(minor) + 1}.0" not in pin.specifier
