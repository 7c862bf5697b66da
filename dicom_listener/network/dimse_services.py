"""`DimseService`: what the listener offers beside storage and verification, on the same port."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pynetdicom.presentation import PresentationContext


@dataclass(frozen=True, slots=True)
class DimseService:
    """A service class that the listener provides: what it negotiates, and who answers."""

    contexts: tuple[PresentationContext, ...]
    """Presentation contexts that are accepted for it."""
    handlers: tuple[tuple[Any, Callable[..., Any]], ...]
    """pynetdicom's event and the function that answers it, as in `evt_handlers`."""
