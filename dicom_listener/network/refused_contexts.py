"""Which presentation contexts of an association were refused, by the names of their SOP classes, for its log line."""

from typing import Any

from pydicom.uid import UID_dictionary  # type: ignore[attr-defined]  # public, but not marked as exported
from pynetdicom.association import Association

MOST_NAMED = 5
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4
"""Result of a presentation context (PS3.8 table 9-18)."""
_UNKNOWN = "unknown"
"""For a UID that the standard does not list: it may be anything, so it is not repeated."""


def refused_contexts(association: Association) -> tuple[int, tuple[str, ...]]:
    """How many were refused, and the names of some; first those of which only the transfer syntaxes were refused."""
    rejected: list[Any] = list(association.rejected_contexts)
    # what was taken out of the request before pynetdicom saw it, see `fast_negotiation`
    taken_out: tuple[Any, ...] = getattr(association.dul, "taken_out", ())
    found = [(str(one.abstract_syntax), int(one.result)) for one in (*rejected, *taken_out)]
    ordered = sorted(found, key=lambda one: one[1] != _TRANSFER_SYNTAXES_NOT_SUPPORTED)
    names = dict.fromkeys(_name(uid, result) for uid, result in ordered)
    return len(found), tuple(names)[:MOST_NAMED]


def _name(uid: str, result: int) -> str:
    name = UID_dictionary[uid][4] if uid in UID_dictionary else _UNKNOWN
    return f"{name}(transfer-syntaxes)" if result == _TRANSFER_SYNTAXES_NOT_SUPPORTED else name
