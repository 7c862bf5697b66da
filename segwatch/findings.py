"""What `segwatch doctor` finds."""

from collections.abc import Callable
from dataclasses import dataclass

from segwatch.settings import SiteSettings


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool
    detail: str
    """What was found; where it is not ok, what to do."""
    caution: bool = False
    """It is ok, and will not remain so."""


@dataclass(frozen=True, slots=True)
class Caution:
    """Found as it must be today; the text says what will go wrong, and what to do before."""

    text: str


Check = Callable[[SiteSettings], str | Caution]
"""Returns what was found; raises one of the named errors when it is not as it must be."""
