"""Who may open an association, and the reason that others are given."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.network.admission import AdmissionRules, AssociationRequest, Load, Refusal
from dicom_listener.network.admission import refusal as refused
from dicom_listener.network.doorkeeper import Doorkeeper
from dicom_listener.peers import Peer, network
from dicom_listener.rejections import REJECTIONS, rejection

NOBODY = Load(0, 0)
REQUEST = AssociationRequest("PACS", "SEGWATCH", "10.1.2.3")
HOME = Peer("PACS", ("10.1.2.0/24", "fd00::/8"))


def refusal(request: AssociationRequest, rules: AdmissionRules, load: Load) -> Refusal | None:
    found = refused(request, rules, load)
    assert found is None or found.comment
    return None if found is None else found.refusal


def test_without_rules_everybody_comes_in() -> None:
    assert refusal(AssociationRequest("ANY", "THING", "192.0.2.1"), AdmissionRules(), NOBODY) is None


@pytest.mark.parametrize("address", ["10.1.2.3", "10.1.2.255", "fd12::1", "::ffff:10.1.2.3"])
def test_a_known_title_comes_from_its_addresses(address: str) -> None:
    rules = AdmissionRules(peers=(HOME,), only_known_peers=True)
    assert refusal(replace(REQUEST, address=address), rules, NOBODY) is None


@pytest.mark.parametrize("address", ["10.1.3.3", "fe80::1", "fe80::1%eth0", "::ffff:10.1.3.3", "127.0.0.1"])
@pytest.mark.parametrize("only_known", [True, False])
def test_a_known_title_from_elsewhere_is_refused_in_any_case(address: str, only_known: bool) -> None:
    rules = AdmissionRules(peers=(HOME,), only_known_peers=only_known)
    assert refusal(replace(REQUEST, address=address), rules, NOBODY) is Refusal.CALLING_AE_TITLE


def test_an_unknown_title_is_refused_where_that_is_asked() -> None:
    stranger = replace(REQUEST, calling_ae_title="pacs")  # titles are told apart by case
    assert refusal(stranger, AdmissionRules(peers=(HOME,)), NOBODY) is None
    assert refusal(stranger, AdmissionRules(peers=(HOME,), only_known_peers=True), NOBODY) is Refusal.CALLING_AE_TITLE
    assert refusal(REQUEST, AdmissionRules(only_known_peers=True), NOBODY) is Refusal.CALLING_AE_TITLE


def test_two_peers_may_share_a_title() -> None:
    rules = AdmissionRules(peers=(HOME, Peer("PACS", ("192.0.2.7",), maximum_associations=1)))
    assert refusal(replace(REQUEST, address="192.0.2.7"), rules, NOBODY) is None
    assert refusal(replace(REQUEST, address="192.0.2.7"), rules, Load(1, 1)) is Refusal.LOCAL_LIMIT
    assert refusal(REQUEST, rules, Load(1, 1)) is None


def test_called_titles() -> None:
    rules = AdmissionRules(ae_titles=("SEGWATCH", "CHEST"))
    assert refusal(REQUEST, rules, NOBODY) is None
    assert refusal(replace(REQUEST, called_ae_title="CHEST"), rules, NOBODY) is None
    assert refusal(replace(REQUEST, called_ae_title="OTHER"), rules, NOBODY) is Refusal.CALLED_AE_TITLE


@pytest.mark.parametrize(("version", "found"), [(1, None), (3, None), (0xFFFF, None), (0, 1), (2, 1), (0x8000, 1)])
def test_only_the_bit_of_version_1_counts(version: int, found: int | None) -> None:
    expected = Refusal.PROTOCOL_VERSION if found else None
    assert refusal(replace(REQUEST, protocol_version=version), AdmissionRules(), NOBODY) is expected


@pytest.mark.parametrize(
    ("load", "own", "found"),
    [
        (Load(9, 2), None, None),
        (Load(10, 0), None, Refusal.LOCAL_LIMIT),
        (Load(9, 3), None, Refusal.LOCAL_LIMIT),
        (Load(9, 3), 4, None),
        (Load(9, 4), 4, Refusal.LOCAL_LIMIT),
        (Load(9, 1), 1, Refusal.LOCAL_LIMIT),
    ],
)
def test_limits(load: Load, own: int | None, found: Refusal | None) -> None:
    rules = AdmissionRules(peers=(Peer("PACS", maximum_associations=own),), maximum_associations=10, maximum_per_peer=3)
    assert refusal(REQUEST, rules, load) is found


FAULTS: tuple[tuple[Refusal, dict[str, Any]], ...] = (
    (Refusal.PROTOCOL_VERSION, {"protocol_version": 2}),
    (Refusal.APPLICATION_CONTEXT, {"application_context_name": "1.2.3"}),
    (Refusal.CALLED_AE_TITLE, {"called_ae_title": "OTHER"}),
    (Refusal.CALLING_AE_TITLE, {"address": "192.0.2.1"}),
    (Refusal.LOCAL_LIMIT, {}),
)
"""What is wrong with a request, in the order in which it is looked at."""


@given(st.sets(st.sampled_from([one for one, _ in FAULTS])))
def test_of_several_reasons_the_first_in_order_is_told(wrong: set[Refusal]) -> None:
    request = REQUEST
    for reason, change in FAULTS:
        if reason in wrong:
            request = replace(request, **change)
    rules = AdmissionRules(("SEGWATCH",), (HOME,), maximum_associations=1)
    load = Load(1, 0) if Refusal.LOCAL_LIMIT in wrong else NOBODY
    expected = next((reason for reason, _ in FAULTS if reason in wrong), None)
    assert refusal(request, rules, load) is expected


@pytest.mark.parametrize(
    ("request_", "load", "comment"),
    [
        (replace(REQUEST, address="192.0.2.1"), NOBODY, "a peer has this AE title, but not this address"),
        (replace(REQUEST, calling_ae_title="Nobody"), NOBODY, "no peer has this AE title"),
        (replace(REQUEST, called_ae_title="Nobody"), NOBODY, "own AE titles: SEGWATCH, CHEST"),
        (REQUEST, Load(2, 0), "associations open: 2"),
        (REQUEST, Load(1, 1), "associations of this peer open: 1"),
    ],
)
def test_the_log_learns_what_the_peer_is_not_told(request_: AssociationRequest, load: Load, comment: str) -> None:
    rules = AdmissionRules(("SEGWATCH", "CHEST"), (HOME,), True, maximum_associations=2, maximum_per_peer=1)
    found = refused(request_, rules, load)
    assert found is not None
    assert found.comment == comment


def test_every_triple_is_one_that_the_standard_names() -> None:
    assert {rejection(*one.value) for one in Refusal} <= set(REJECTIONS)
    for one in Refusal:
        is_transient = rejection(*one.value).result == "rejected-transient"
        assert is_transient == (one in {Refusal.LOCAL_LIMIT, Refusal.UNDECIDED})


@pytest.mark.parametrize("text", ["10.1.2.3/24", "pacs.example", "10.1.2", "10.1.2.0/33", ""])
def test_what_is_no_network_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"host bits set|does not appear"):
        network(text)


CALLS = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.booleans()))


@given(CALLS, st.integers(1, 4), st.integers(1, 3))
def test_the_doorkeeper_counts_what_is_inside(calls: list[tuple[str, str, bool]], total: int, each: int) -> None:
    doorkeeper = Doorkeeper(AdmissionRules(maximum_associations=total, maximum_per_peer=each))
    inside: list[tuple[int, tuple[str, str]]] = []
    numbers = itertools.count()
    for title, address, leaves in calls:
        if leaves and inside:
            doorkeeper.leave(inside.pop(0)[0])
            continue
        key, number = (title, address), next(numbers)
        fits = len(inside) < total and [k for _, k in inside].count(key) < each
        found = doorkeeper.admit(number, AssociationRequest(title, "SEGWATCH", address))
        assert (None if found is None else found.refusal) is (None if fits else Refusal.LOCAL_LIMIT)
        if fits:
            inside.append((number, key))
        else:
            doorkeeper.leave(number)
    for number, _ in inside:
        doorkeeper.leave(number)
        doorkeeper.leave(number)
    assert doorkeeper.admit("last", AssociationRequest("A", "SEGWATCH", "10.0.0.1")) is None
