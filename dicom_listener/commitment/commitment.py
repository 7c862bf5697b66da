"""Storage commitment: from the instances that a sender names to the report about them. Pure.

Push Model as SCP, PS3.4 annex J. What is committed is durable here now, and stays until it is purged.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum

from dicom_listener.series import KEY_LENGTH

MINIMUM_TRIES = 5
"""A report is not given up before, so that a clock that jumps ahead does not drop what was never tried."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance as a request names it (Referenced SOP Sequence)."""

    sop_class_uid: str
    sop_instance_uid: str


class FailureReason(IntEnum):
    """Why an instance is not committed: Failure Reason (0008,1197), PS3.3 section C.14.1.1."""

    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    SOP_CLASS_NOT_SUPPORTED = 0x0122


class EventType(IntEnum):
    """Event Type ID of the report (PS3.4 table J.3-3)."""

    SUCCESSFUL = 1
    FAILURES_EXIST = 2


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What an N-ACTION request asks for."""

    transaction_uid: str
    references: tuple[Reference, ...]
    """In the order of the request, each once."""
    calling_ae_title: str
    """Who asks."""
    called_ae_title: str
    """Whom it called: the report comes from there."""


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What an N-EVENT-REPORT request says; each reference of the request is in it once."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, FailureReason], ...]

    @property
    def event_type(self) -> EventType:
        """Which of the two events it is."""
        return EventType.FAILURES_EXIST if self.failed else EventType.SUCCESSFUL


def judge(
    request: CommitmentRequest, durable: Mapping[str, Collection[str]], sop_classes: Collection[str]
) -> CommitmentReport:
    """Say of each reference whether it is committed.

    Args:
        request: what was asked.
        durable: SOP Class UIDs of the instances that are durable now, by SOP Instance UID.
        sop_classes: storage SOP classes that are accepted at all.
    """
    committed: list[Reference] = []
    failed: list[tuple[Reference, FailureReason]] = []
    for reference in request.references:
        classes = durable.get(reference.sop_instance_uid, ())
        if reference.sop_class_uid in classes:
            committed.append(reference)
        elif classes:
            failed.append((reference, FailureReason.CLASS_INSTANCE_CONFLICT))
        elif reference.sop_class_uid in sop_classes:
            failed.append((reference, FailureReason.NO_SUCH_INSTANCE))
        else:
            failed.append((reference, FailureReason.SOP_CLASS_NOT_SUPPORTED))
    return CommitmentReport(request.transaction_uid, tuple(committed), tuple(failed))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a report that was not confirmed is sent again, and when no more; seconds."""

    first_seconds: float = 30.0
    """Wait after the first try; doubled after each further."""
    longest_seconds: float = 900.0
    give_up_seconds: float = 86400.0
    """After the request."""

    def delay(self, tries: int) -> float:
        """Seconds to wait after the `tries`-th try (from 1)."""
        return float(min(self.longest_seconds, self.first_seconds * 2.0 ** min(max(tries, 1) - 1, 32)))

    def is_over(self, *, received_at: float, tries: int, now: float) -> bool:
        """Whether a report that failed `tries` times is given up."""
        return tries >= MINIMUM_TRIES and now - received_at >= self.give_up_seconds


def request_key(request: CommitmentRequest) -> str:
    """Name of a request on this host, fit for a log line: 32 hexadecimal digits over sender and Transaction UID."""
    text = f"{request.calling_ae_title}\0{request.transaction_uid}"
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def references_digest(request: CommitmentRequest) -> str:
    """SHA-256 over the set of references, by which a request that is repeated is told from another one."""
    lines = sorted(f"{reference.sop_class_uid}\0{reference.sop_instance_uid}\n" for reference in request.references)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
