"""Which ports of a site's settings get in each other's way."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

_EVERY_IPV4 = {"", "0.0.0.0"}  # noqa: S104 (compared with, not bound)
_EVERY = "::"
"""Takes IPv4 too, where the system does not say otherwise."""


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port that the listener will bind."""

    key: str
    """In the settings."""
    host: str
    port: int | None
    """0: the system chooses one; None: it is not wanted."""


def clash(wanted: Sequence[WantedPort]) -> str | None:
    """Say which two want the same; None where all can be bound together."""
    for one, other in combinations(wanted, 2):
        if one.port and one.port == other.port and _overlap(one.host, other.host):
            return f"{one.key} and {other.key} are both {one.port}: give each a port of its own"
    return None


def _overlap(one: str, other: str) -> bool:
    hosts = {"127.0.0.1" if host == "localhost" else host for host in (one, other)}
    if len(hosts) == 1 or _EVERY in hosts:
        return True
    return not hosts.isdisjoint(_EVERY_IPV4) and not any(":" in host for host in hosts)
