"""Why an association was rejected, in the words of the standard (PS3.8 section 9.3.4, table 9-21)."""

from dataclasses import dataclass

_RESULTS = {1: "rejected-permanent", 2: "rejected-transient"}
_SOURCES = {1: "service-user", 2: "service-provider-acse", 3: "service-provider-presentation"}
_REASONS = {
    (1, 1): "no-reason-given",
    (1, 2): "application-context-name-not-supported",
    (1, 3): "calling-ae-title-not-recognized",
    (1, 7): "called-ae-title-not-recognized",
    (2, 1): "no-reason-given",
    (2, 2): "protocol-version-not-supported",
    (3, 1): "temporary-congestion",
    (3, 2): "local-limit-exceeded",
}
_RESERVED = "reserved"
"""For a value that the standard does not name."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """What the peer was told in A-ASSOCIATE-RJ."""

    result: str
    source: str
    reason: str


def rejection(result: int, source: int, reason: int) -> Rejection:
    """Name the three values of an A-ASSOCIATE-RJ."""
    return Rejection(
        _RESULTS.get(result, _RESERVED), _SOURCES.get(source, _RESERVED), _REASONS.get((source, reason), _RESERVED)
    )


REJECTIONS = tuple(rejection(result, source, reason) for result in _RESULTS for source, reason in _REASONS)
"""Every one that the standard names."""
