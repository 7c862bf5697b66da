"""`Outcome`: what became of one thing that was sent."""

from dataclasses import dataclass

from reporter.errors import DeliveryError


@dataclass(frozen=True, slots=True)
class Outcome:
    """One per thing sent, in the order of sending."""

    error: DeliveryError | None = None
    """None when the destination confirmed it. A `DeliveryRefusedError` will not go away by waiting."""
    warning: str | None = None
    """What the destination remarked although it took it."""
