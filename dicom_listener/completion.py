"""When is a series complete? Pure logic over events with the time passed in.

DICOM tells no receiver how many instances a series has, and geometry proves nothing: half a chest looks closed. So a
series is complete when nothing of it came for a quiet time, or at the latest a maximum wait after its first instance.
What comes later is late: it is never added to a version that was handed over.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from dicom_listener.series import ReceivedInstance


@dataclass(frozen=True, slots=True)
class CompletionRule:
    """The two times that end a series; any clock in seconds will do, a monotonic one cannot jump."""

    quiet_seconds: float
    """Complete when nothing came for this long."""
    maximum_wait_seconds: float | None = None
    """Complete at the latest this long after the first instance; None: no limit."""


class Arrival(StrEnum):
    """What an instance is to its series."""

    NEW = "new"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclass(slots=True)
class _Receiving:
    version: int
    first_at: float
    last_at: float
    instances: dict[str, ReceivedInstance] = field(default_factory=dict)
    not_before: float = -math.inf


@dataclass(slots=True)
class _Complete:
    version: int
    last_at: float
    members: frozenset[str]
    late: set[str]


class SeriesCompletion:
    """Follows every series that is being received, and completed ones for as long as something may come late.

    A key must be introduced by `begin` or `resume_complete` before events of its series are given.
    """

    def __init__(self, rule: CompletionRule) -> None:
        self._rule = rule
        self._receiving: dict[str, _Receiving] = {}
        self._complete: dict[str, _Complete] = {}

    def knows(self, key: str) -> bool:
        """Whether the series was introduced and is still followed."""
        return key in self._receiving or key in self._complete

    def is_receiving(self, key: str) -> bool:
        """Whether the series is followed and not complete."""
        return key in self._receiving

    def begin(self, key: str, version: int, *, now: float) -> None:
        """Follow a series of which version `version` is being received from now on."""
        self._receiving[key] = _Receiving(version, first_at=now, last_at=now)

    def resume_complete(self, key: str, version: int, members: frozenset[str], *, now: float) -> None:
        """Follow a series whose version `version` consists of the SOP Instance UIDs `members`."""
        self._complete[key] = _Complete(version, now, members, set())

    def add(self, key: str, instance: ReceivedInstance, *, now: float) -> Arrival:
        """Take an instance that is durable; one that was there already still shows that the sender is at work."""
        uid = instance.sop_instance_uid
        if (complete := self._complete.get(key)) is not None:
            complete.last_at = max(complete.last_at, now)
            if uid in complete.members:
                return Arrival.DUPLICATE
            complete.late.add(uid)
            return Arrival.LATE
        receiving = self._receiving[key]
        receiving.last_at = max(receiving.last_at, now)
        if uid in receiving.instances:
            return Arrival.DUPLICATE
        receiving.instances[uid] = instance
        return Arrival.NEW

    def touch(self, key: str, *, now: float) -> None:
        """Note that the sender is at work on the series, without an instance for it."""
        followed = self._receiving.get(key) or self._complete[key]
        followed.last_at = max(followed.last_at, now)

    def version(self, key: str) -> int:
        """The version that is being received or was completed last."""
        followed = self._receiving.get(key) or self._complete[key]
        return followed.version

    def instances(self, key: str) -> tuple[ReceivedInstance, ...]:
        """The instances of a series that is being received, ordered by SOP Instance UID."""
        instances = self._receiving[key].instances
        return tuple(instances[uid] for uid in sorted(instances))

    def late(self, key: str) -> frozenset[str]:
        """SOP Instance UIDs that came after the series was complete; empty while it is being received."""
        complete = self._complete.get(key)
        return frozenset() if complete is None else frozenset(complete.late)

    def due(self, now: float) -> list[str]:
        """Keys of the series that are complete at `now`, the longest due first."""
        deadlines = [(self._deadline(series), key) for key, series in self._receiving.items()]
        return [key for deadline, key in sorted(deadlines) if deadline <= now]

    def next_deadline(self) -> float | None:
        """When `due` will name a series if nothing more comes; None when none is being received."""
        return min((self._deadline(series) for series in self._receiving.values()), default=None)

    def postpone(self, key: str, *, until: float) -> None:
        """Do not name the series due before `until`: handing it over failed."""
        self._receiving[key].not_before = until

    def complete(self, key: str, members: frozenset[str], *, now: float) -> None:
        """Note that the series was handed over with these SOP Instance UIDs; the next ones are late."""
        self._complete[key] = _Complete(self._receiving.pop(key).version, now, members, set())

    def forget(self, key: str) -> None:
        """Stop following a series; it is introduced again when something comes."""
        self._receiving.pop(key, None)
        self._complete.pop(key, None)

    def forget_idle(self, now: float) -> None:
        """Stop following completed series for which nothing came during the quiet time."""
        for key in [key for key, series in self._complete.items() if series.last_at + self._rule.quiet_seconds <= now]:
            del self._complete[key]

    def _deadline(self, series: _Receiving) -> float:
        longest = math.inf if self._rule.maximum_wait_seconds is None else self._rule.maximum_wait_seconds
        return max(min(series.last_at + self._rule.quiet_seconds, series.first_at + longest), series.not_before)
