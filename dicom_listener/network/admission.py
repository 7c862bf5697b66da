"""Who may open an association, and why not, as PS3.8 section 9.3.4 tells it: pure, the counts are handed in.

The order is the standard's own, from the outside in: the provider looks at the protocol version first (action AE-6),
then the user at what was asked for, then the limits. A peer that is turned away for its name learns nothing about how
busy we are.
"""

from dataclasses import dataclass
from enum import Enum

from dicom_listener.peers import Peer

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
"""DICOM Application Context Name (PS3.7 annex A.2.1), the only one."""
_VERSION_1 = 0x0001


class Refusal(Enum):
    """Why an association is rejected: result, source and reason of the A-ASSOCIATE-RJ (PS3.8 table 9-21)."""

    PROTOCOL_VERSION = (1, 2, 2)
    APPLICATION_CONTEXT = (1, 1, 2)
    CALLED_AE_TITLE = (1, 1, 7)
    CALLING_AE_TITLE = (1, 1, 3)
    """Nobody whom we know, or not from where we know it."""
    LOCAL_LIMIT = (2, 3, 2)
    """Too many associations, in total or of this peer: transient, it may try again."""
    UNDECIDED = (2, 2, 1)
    """We failed to decide; no reason given."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why one association is rejected."""

    refusal: Refusal
    comment: str
    """For our log: what the triple leaves open. It holds nothing that the peer made up."""


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What is known of a peer when its A-ASSOCIATE-RQ has arrived."""

    calling_ae_title: str
    """Without the spaces at its ends, which do not count."""
    called_ae_title: str
    address: str
    """IP address of the peer."""
    application_context_name: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = _VERSION_1
    """Bits of the versions that the peer speaks."""


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """Whom we let in."""

    ae_titles: tuple[str, ...] = ()
    """Own AE titles; another one that is called is refused. Empty: any may be called."""
    peers: tuple[Peer, ...] = ()
    """The senders that are known; one of these titles from an address that it has not is refused, always."""
    only_known_peers: bool = False
    """Refuse titles that no peer has."""
    maximum_associations: int = 50
    maximum_per_peer: int = 25
    """Of one AE title at one address, where its peer says nothing else."""


@dataclass(frozen=True, slots=True)
class Load:
    """The associations that are open already."""

    total: int
    of_peer: int
    """Of the same AE title at the same address."""


def refusal(request: AssociationRequest, rules: AdmissionRules, load: Load) -> Refused | None:
    """Why the association is rejected; None lets it in."""
    return _by_protocol(request) or _by_titles(request, rules) or _by_limits(request, rules, load)


def _by_protocol(request: AssociationRequest) -> Refused | None:
    # a receiver of version 1 only tests the bit of that version (PS3.8 table 9-11)
    if not request.protocol_version & _VERSION_1:
        return Refused(Refusal.PROTOCOL_VERSION, f"versions offered: {request.protocol_version:04X}")
    if request.application_context_name != APPLICATION_CONTEXT_NAME:
        return Refused(Refusal.APPLICATION_CONTEXT, "not the application context of DICOM")
    return None


def _by_titles(request: AssociationRequest, rules: AdmissionRules) -> Refused | None:
    if rules.ae_titles and request.called_ae_title not in rules.ae_titles:
        return Refused(Refusal.CALLED_AE_TITLE, f"own AE titles: {', '.join(rules.ae_titles)}")
    named = [peer for peer in rules.peers if peer.ae_title == request.calling_ae_title]
    if not named:
        return Refused(Refusal.CALLING_AE_TITLE, "no peer has this AE title") if rules.only_known_peers else None
    if not any(peer.may_call_from(request.address) for peer in named):
        return Refused(Refusal.CALLING_AE_TITLE, "a peer has this AE title, but not this address")
    return None


def _by_limits(request: AssociationRequest, rules: AdmissionRules, load: Load) -> Refused | None:
    own = (
        peer.maximum_associations
        for peer in rules.peers
        if peer.ae_title == request.calling_ae_title and peer.may_call_from(request.address)
    )
    maximum_of_peer = max((limit for limit in own if limit is not None), default=rules.maximum_per_peer)
    if load.total >= rules.maximum_associations:
        return Refused(Refusal.LOCAL_LIMIT, f"associations open: {load.total}")
    if load.of_peer >= maximum_of_peer:
        return Refused(Refusal.LOCAL_LIMIT, f"associations of this peer open: {load.of_peer}")
    return None
