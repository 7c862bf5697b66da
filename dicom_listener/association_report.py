"""What happened on one association, for its log line, the metrics, and whoever waits for its end."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dicom_listener.rejections import Rejection


class AssociationEnd(StrEnum):
    """How an association ended."""

    RELEASED = "released"
    ABORTED = "aborted"
    """By either side, or the connection broke."""
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class AssociationReport:
    """Told once, when the association has ended."""

    end: AssociationEnd
    calling_ae_title: str
    """Empty when none was sent."""
    called_ae_title: str
    address: str
    """Of the peer."""
    seconds: float
    bytes: int
    """Of the instances that were stored."""
    counts: Mapping[str, int]
    """How many instances were `stored`, `duplicate`, `conflict`, `refused` (by a named error) or `failed`."""
    series_keys: frozenset[str]
    """Series of which something was stored."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """How often each DIMSE status other than Success was answered to C-STORE."""
    resent_keys: frozenset[str] = frozenset()
    """Series of which everything that came was here already."""
    is_encrypted: bool = False
    """Whether it came over TLS."""
    refused_contexts: int = 0
    """How many presentation contexts were refused while it was accepted."""
    refused_classes: tuple[str, ...] = ()
    """Names of SOP classes of some of these."""
    rejection: Rejection | None = None
    """What the peer was told, when the association was rejected."""
    comment: str = ""
    """And what it was not told: which limit, which rule. Nothing in it comes from the peer."""


class ConnectionRefusal(StrEnum):
    """Why a connection was closed before it became an association."""

    LIMIT = "limit"
    """Too many connections are open: this one was closed, or one gave way that had opened no association."""
    NO_ASSOCIATION = "no_association"
    """It opened none in time: a probe, or something that speaks no DICOM."""
    TLS = "tls"
    """The TLS handshake failed, or its certificate was refused."""


@dataclass(frozen=True, slots=True)
class Connections:
    """What is connected at one moment, and what was turned away since the start."""

    open: int
    associations: int
    """Open connections on which an association was begun."""
    refused: Mapping[ConnectionRefusal, int]
    receivers: int = 0
    """Processes that take plain C-STORE requests."""


@dataclass(slots=True)
class Tally:
    """Counts while an association runs; only its own threads write."""

    began: float
    """Monotonic clock, seconds."""
    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    """DIMSE statuses other than Success."""
    acknowledged: int = 0
    """Instances whose senders were told Success."""
    bytes: int = 0
    series_keys: set[str] = field(default_factory=set)
    grown_keys: set[str] = field(default_factory=set)
    """Series of which something came that was not here."""
