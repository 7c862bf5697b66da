"""When to try again: exponential back-off with jitter, so that a destination that returns is not met by a rush.

"Equal jitter" of M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): half of the delay is
certain, the other half spread. The spread is derived from the item, so that a delay can be computed again.
"""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """How long to wait between two tries."""

    first_s: float = 5.0
    """Upper end of the first delay, seconds."""
    longest_s: float = 900.0
    """Upper end of every delay, seconds; tries never end."""

    def __post_init__(self) -> None:
        """Refuse delays that would spin or shrink."""
        if not 0 < self.first_s <= self.longest_s:
            raise ValueError(f"need 0 < first_s <= longest_s, got {self.first_s} and {self.longest_s}")

    def delay_s(self, item_id: int, attempt: int) -> float:
        """Seconds to wait after the `attempt`-th failure (from 1) of an item."""
        # 2**64 first delays are longer than any cap; the float power would overflow at 1024
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(max(attempt, 1) - 1, 64))
        return ceiling / 2 * (1 + _share(item_id, attempt))

    def longest_delay_s(self, item_id: int, attempt: int) -> float:
        """Seconds to wait after a refusal that trying again soon will not change."""
        return self.longest_s / 2 * (1 + _share(item_id, attempt))


def _share(item_id: int, attempt: int) -> float:
    """A number in 0..1 that looks random and is the same each time."""
    digest = hashlib.sha256(f"{item_id}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / (2**64 - 1)
