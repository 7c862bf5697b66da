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
from pynetdicom import fsm, presentation
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
    "DULServiceProvider.send_pdu": "e95bd9b44d5ce0d0",
    "DULServiceProvider.receive_pdu": "bf6204d9f8c3f5a6",
    "DULServiceProvider.idle_timer_expired": "081eba519dd47e6b",
    "Association.__init__": "37cd0192fe87ffd1",
    "Association.run_reactor": "3b2745eed4988ef7",
    "Association._run_reactor": "cbf8d3c3eb37093a",
    "Association._serve_request": "b9dad50a37d68ef7",
    "Association.kill": "531f3ec8d4df979a",
    "Association.abort": "b7b808b6d9c91ba4",
    "Association._abort_blocking": "6d53d8c2c27fe201",
    "DIMSEServiceProvider.receive_primitive": "4307baf82f143a89",
    "DIMSEServiceProvider.get_msg": "c6102c95bb634fbb",
    "DIMSEMessage.decode_msg": "b2ba2a9d8e5fcf73",
    "DIMSEMessage.message_to_primitive": "91c63d53a195dfab",
    "StateMachine.__init__": "e51db7ea8ccf390a",
    "StateMachine.do_action": "4afe2ea8fc2a8725",
    "StateMachine.transition": "152915c95b896efa",
    "fsm.AE_5": "35e8617fcc8d3186",
    "fsm.AE_6": "385d595ed49432af",
    "fsm.AE_7": "c62284735836c78a",
    "fsm.AE_8": "9fc96fcfe2e117f5",
    "fsm.DT_1": "82e5c5d4114534fa",
    "fsm.DT_2": "9ec543394e0b49eb",
    "fsm.AR_2": "2cf6aeb89062e88d",
    "fsm.AR_4": "33a12cf6208e9ac3",
    "fsm.AR_5": "dc32d2343f420b32",
    "fsm.AA_1": "8495a4665f7ad3c9",
    "fsm.AA_2": "a58069d8299198e0",
    "fsm.AA_3": "de64452e828d09da",
    "fsm.AA_4": "de72d40c80b07e3e",
    "fsm.AA_5": "4a8a4a3ac26f1f17",
    "fsm.AA_6": "392575ec6b33cebf",
    "fsm.AA_7": "a46564973c733ca7",
    "fsm.AA_8": "06c83317f08831fd",
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
    "ACSE.send_reject": "a87fc80562b78e4f",
    "ACSE.send_ap_abort": "74b78ca909d39266",
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
TRANSITIONS: dict[str, dict[str, tuple[int, ...]]] = {
    "Sta1": {"AE-1": (1,), "AE-5": (5,)},
    "Sta2": {"AA-1": (3, 4, 10, 12, 13, 19), "AA-2": (16, 18), "AA-5": (17,), "AE-6": (6,)},
    "Sta3": {
        "AA-1": (15,),
        "AA-3": (16,),
        "AA-4": (17,),
        "AA-8": (3, 4, 6, 10, 12, 13, 19),
        "AE-7": (7,),
        "AE-8": (8,),
    },
    "Sta6": {
        "AA-1": (15,),
        "AA-3": (16,),
        "AA-4": (17,),
        "AA-8": (3, 4, 6, 13, 19),
        "AR-1": (11,),
        "AR-2": (12,),
        "DT-1": (9,),
        "DT-2": (10,),
    },
    "Sta8": {
        "AA-1": (15,),
        "AA-3": (16,),
        "AA-4": (17,),
        "AA-8": (3, 4, 6, 10, 12, 13, 19),
        "AR-4": (14,),
        "AR-7": (9,),
    },
    "Sta13": {"AA-2": (16, 18), "AA-6": (3, 4, 10, 12, 13), "AA-7": (6, 19), "AR-5": (17,)},
}
"""Actions by the numbers of their events, in every state that an acceptor's association passes (PS3.8 table 9-10)."""
NEXT_STATE: dict[str, str | tuple[str, str]] = {
    "AE-5": "Sta2",
    "AE-6": ("Sta3", "Sta13"),
    "AE-7": "Sta6",
    "AE-8": "Sta13",
    "DT-1": "Sta6",
    "DT-2": "Sta6",
    "AR-2": "Sta8",
    "AR-4": "Sta13",
    "AR-5": "Sta1",
    "AA-1": "Sta13",
    "AA-2": "Sta1",
    "AA-3": "Sta1",
    "AA-4": "Sta1",
    "AA-5": "Sta1",
    "AA-6": "Sta13",
    "AA-7": "Sta13",
    "AA-8": "Sta13",
}
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
} | {"presentation": presentation, "fsm": fsm}


@pytest.mark.parametrize("name", RELIED_ON)
def test_what_is_relied_on_is_unchanged(name: str) -> None:
    holder, _, attribute = name.partition(".")
    found: Any = inspect.getattr_static(HOLDERS[holder], attribute)
    function: Any = found.fget if isinstance(found, property) else found
    source = textwrap.dedent(inspect.getsource(function))
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    assert digest == RELIED_ON[name], f"{name} of pynetdicom {version('pynetdicom')} is another one"


@pytest.mark.parametrize("state", TRANSITIONS)
def test_what_each_event_leads_to_is_unchanged(state: str) -> None:
    found: dict[str, list[int]] = {}
    for (event, before), action in fsm.TRANSITION_TABLE.items():
        if before == state:
            found.setdefault(action, []).append(int(event.removeprefix("Evt")))
    assert {action: tuple(sorted(events)) for action, events in found.items()} == TRANSITIONS[state]


@pytest.mark.parametrize("action", NEXT_STATE)
def test_actions_are_those_of_their_names(action: str) -> None:
    _, function, after = fsm.ACTIONS[action]
    assert function is getattr(fsm, action.replace("-", "_"))
    assert after == NEXT_STATE[action]


def test_the_version_is_pinned_to_the_minor_release() -> None:
    (pin,) = [one for one in map(Requirement, requires("segwatch") or ()) if one.name == "pynetdicom"]
    major, minor, *_ = version("pynetdicom").split(".")
    assert f"{major}.{minor}.999" in pin.specifier
    assert f"{major}.{int(minor) + 1}.0" not in pin.specifier
