"""Follows series until they are complete, and afterwards for as long as something may come late.

Pure logic over events with the time passed in. What comes after a version was handed over is never added to it.
"""

from dataclasses import dataclass
from enum import StrEnum

from dicom_listener.completion.completion_rule import CompletionRule, Waiting
from dicom_listener.ending import Ending
from dicom_listener.series import ReceivedInstance


class Arrival(StrEnum):
    """What an instance is to its series."""

    NEW = "new"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclass(slots=True)
class _Complete:
    version: int
    last_at: float
    members: frozenset[str]
    late: set[str]


class SeriesCompletion:
    """Every series that is being received, and completed ones for as long as something may come late.

    A key must be introduced by `begin` or `resume_complete` before events of its series are given.
    """

    def __init__(self, rule: CompletionRule) -> None:
        self._rule = rule
        self._receiving: dict[str, Waiting] = {}
        self._complete: dict[str, _Complete] = {}

    def knows(self, key: str) -> bool:
        """Whether the series was introduced and is still followed."""
        return key in self._receiving or key in self._complete

    def is_receiving(self, key: str) -> bool:
        """Whether the series is followed and not complete."""
        return key in self._receiving

    def begin(self, key: str, version: int, *, now: float, asks: bool = False) -> None:
        """Follow a series of which version `version` is being received from now on.

        `asks` says that its sender can be asked how many instances there are.
        """
        self._receiving[key] = Waiting(version, first_at=now, last_at=now, asks=asks)

    def resume_complete(self, key: str, version: int, members: frozenset[str], *, now: float) -> None:
        """Follow a series whose version `version` consists of the SOP Instance UIDs `members`."""
        self._complete[key] = _Complete(version, now, members, set())

    def add(self, key: str, instance: ReceivedInstance, *, now: float) -> Arrival:
        """Take an instance that is durable; one that was there already still shows that the sender is at work."""
        if (complete := self._complete.get(key)) is not None:
            complete.last_at = max(complete.last_at, now)
            if instance.sop_instance_uid in complete.members or instance.sop_instance_uid in complete.late:
                return Arrival.DUPLICATE
            complete.late.add(instance.sop_instance_uid)
            return Arrival.LATE
        return Arrival.NEW if self._receiving[key].take(instance, now=now) else Arrival.DUPLICATE

    def touch(self, key: str, *, now: float) -> None:
        """Note that the sender is at work on the series, without an instance for it."""
        followed = self._receiving.get(key) or self._complete[key]
        followed.last_at = max(followed.last_at, now)

    def claim(self, key: str, count: int) -> None:
        """Note how many instances a header says that the series has; fewer than one say nothing."""
        self._receiving[key].claimed = count if count > 0 else None

    def answer(self, key: str, version: int, count: int) -> None:
        """Note how many instances the sender has; fewer than one say nothing, nor does a version that is over."""
        series = self._receiving.get(key)
        if series is not None and series.version == version and count > 0:
            series.answered = count

    def close(self, key: str, *, now: float) -> None:
        """Note that an association was released and the slices that are here leave no gap."""
        if (series := self._receiving.get(key)) is not None:
            series.closed_at = now

    def version(self, key: str) -> int:
        """The version that is being received or was completed last."""
        followed = self._receiving.get(key) or self._complete[key]
        return followed.version

    def instances(self, key: str) -> tuple[ReceivedInstance, ...]:
        """The instances of a series that is being received, ordered by SOP Instance UID."""
        instances = self._receiving[key].instances
        return tuple(instances[uid] for uid in sorted(instances))

    def is_member(self, key: str, sop_instance_uid: str) -> bool:
        """Whether a version that is complete holds this instance."""
        complete = self._complete.get(key)
        return complete is not None and sop_instance_uid in complete.members

    def late(self, key: str) -> frozenset[str]:
        """SOP Instance UIDs that came after the series was complete; empty while it is being received."""
        complete = self._complete.get(key)
        return frozenset() if complete is None else frozenset(complete.late)

    def expected(self, key: str) -> int | None:
        """How many instances a series that is being received was said to have; None when nobody said."""
        return self._receiving[key].expected

    def ending(self, key: str) -> Ending:
        """What ends, or will end, the wait of a series that is being received."""
        return self._receiving[key].ends_at(self._rule)[1]

    def due(self, now: float) -> list[str]:
        """Keys of the series that are complete at `now`, the longest due first."""
        deadlines = [(series.ends_at(self._rule)[0], key) for key, series in self._receiving.items()]
        return [key for deadline, key in sorted(deadlines) if deadline <= now]

    def to_ask(self, now: float) -> list[str]:
        """Keys of the series about which their sender is to be asked at `now`; each is named once for a question."""
        keys = [
            key
            for key, series in self._receiving.items()
            if (at := series.asks_at(self._rule)) is not None and at <= now < series.ends_at(self._rule)[0]
        ]
        for key in keys:
            self._receiving[key].note_question(self._rule, now=now)
        return keys

    def next_time(self) -> float | None:
        """When `due` or `to_ask` will name a series if nothing more comes; None when none is being received."""
        times = [series.ends_at(self._rule)[0] for series in self._receiving.values()]
        times += [at for series in self._receiving.values() if (at := series.asks_at(self._rule)) is not None]
        return min(times, default=None)

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
