"""When is one version of a series complete? Pure logic over its events, with the time passed in.

DICOM tells no receiver how many instances a series has, and geometry proves nothing: half a chest looks closed. So the
rule is time: nothing came for a while, or the first instance came long ago. A count, or a closed geometry on a released
association, may end the wait before; neither may ever prolong it.
"""

import math
from dataclasses import dataclass, field

from dicom_listener.ending import Ending
from dicom_listener.series import ReceivedInstance


@dataclass(frozen=True, slots=True)
class CompletionRule:
    """The times that end a series; any clock in seconds will do, a monotonic one cannot jump."""

    quiet_seconds: float
    """Complete when nothing came for this long."""
    maximum_wait_seconds: float | None = None
    """Complete at the latest this long after the first instance; None: no limit."""
    settle_seconds: float = 2.0
    """What ends the wait early does so when nothing came for this long: a sender may repeat its last instances."""
    count_from_headers: bool = False
    """Whether Number of Series Related Instances (0020,1209) of the first instance counts."""
    closed_minimum_slices: int | None = None
    """Whether the release of an association ends a series of at least so many slices without a gap; None: never."""


@dataclass(slots=True)
class Waiting:
    """One version that is being received."""

    version: int
    first_at: float
    last_at: float
    asks: bool = False
    """Whether its sender can be asked how many instances it has."""
    instances: dict[str, ReceivedInstance] = field(default_factory=dict)
    not_before: float = -math.inf
    """A hand-over that failed is not tried again before."""
    claimed: int | None = None
    """How many instances the first one said that there are."""
    answered: int | None = None
    """How many instances the sender said that it has, when it was asked last."""
    asked_with: int = 0
    """How many instances were here when the sender was asked last."""
    ask_not_before: float = -math.inf
    questions: int = 0
    closed_at: float | None = None
    """When an association ended that left a closed geometry, if nothing new came since."""

    def take(self, instance: ReceivedInstance, *, now: float) -> bool:
        """Take an instance; False when it was there already, which still shows that the sender is at work."""
        self.last_at = max(self.last_at, now)
        if instance.sop_instance_uid in self.instances:
            return False
        self.instances[instance.sop_instance_uid] = instance
        self.closed_at = None
        return True

    @property
    def expected(self) -> int | None:
        """How many instances it should have: what the sender answered goes before what a header claims."""
        return self.claimed if self.answered is None else self.answered

    def is_count_met(self) -> bool:
        """Whether exactly the expected instances are here. A count that was exceeded is wrong and says nothing.

        An answer holds for the moment of the question: a sender that is still receiving the series itself has more
        later. So it counts only while nothing new came since.
        """
        here = len(self.instances)
        if self.answered is not None and self.asked_with == here:
            return self.answered == here
        return self.answered is None and self.claimed == here > 0

    def ends_at(self, rule: CompletionRule) -> tuple[float, Ending]:
        """When this version is complete if nothing more comes, and why."""
        ends = [(self.last_at + rule.quiet_seconds, Ending.QUIET)]
        if rule.maximum_wait_seconds is not None:
            ends.append((self.first_at + rule.maximum_wait_seconds, Ending.MAXIMUM_WAIT))
        if self.is_count_met():
            ends.append((self.last_at + rule.settle_seconds, Ending.COUNT))
        if self.closed_at is not None:
            ends.append((max(self.last_at, self.closed_at) + rule.settle_seconds, Ending.CLOSED_GEOMETRY))
        at, ending = min(ends, key=lambda end: end[0])
        return max(at, self.not_before), ending

    def asks_at(self, rule: CompletionRule) -> float | None:
        """When the sender is to be asked if nothing more comes; None when it is not.

        It is asked when the stream of instances pauses, and again only when something new came since; the distance
        between two questions doubles, so that a slow sender is not asked after every instance.
        """
        if not self.asks or self.is_count_met() or self.asked_with == len(self.instances):
            return None
        return max(self.last_at + rule.settle_seconds, self.ask_not_before)

    def note_question(self, rule: CompletionRule, *, now: float) -> None:
        """The sender is being asked now."""
        self.asked_with = len(self.instances)
        self.questions += 1
        self.ask_not_before = now + rule.settle_seconds * 2.0 ** min(self.questions, 30)
