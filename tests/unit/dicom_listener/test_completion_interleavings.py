"""Random events for several series, against a plain account of what must come out: no disk, no database."""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dicom_listener.completion.completion import Arrival, SeriesCompletion
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.ending import Ending
from dicom_listener.series import ReceivedInstance

QUIET, LONGEST, SETTLE = 10.0, 45.0, 2.0
RULE = CompletionRule(QUIET, LONGEST, settle_seconds=SETTLE)
KEYS = "abc"
keys = st.sampled_from(KEYS)


def _instance(uid: str) -> ReceivedInstance:
    return ReceivedInstance(uid, "1.2", "1.2", "1", "2", Path(uid), 1)


class Interleavings(RuleBasedStateMachine):
    """Arrivals, counts, releases, pauses, hand-overs that fail, late instances, and restarts."""

    @initialize(claims=st.dictionaries(keys, st.integers(0, 8)))
    def open(self, claims: dict[str, int]) -> None:
        self.now = 0.0
        self.claims = claims
        self.stored: dict[str, set[str]] = defaultdict(set)
        self.versions: dict[str, list[frozenset[str]]] = defaultdict(list)
        self.last_at: dict[str, float] = {}
        self.first_at: dict[str, float] = {}
        self.closed: set[str] = set()
        self.completion = SeriesCompletion(RULE)

    def _begin(self, key: str, version: int) -> None:
        self.completion.begin(key, version, now=self.now, asks=True)
        self.first_at[key] = self.last_at[key] = self.now
        if key in self.claims:
            self.completion.claim(key, self.claims[key])

    def _introduce(self, key: str) -> None:
        """What a restart does, or an instance for a series that is not followed: files and rows are read again."""
        versions = self.versions[key]
        if versions and versions[-1] == self.stored[key]:
            self.completion.resume_complete(key, len(versions), versions[-1], now=self.now)
            return
        self._begin(key, len(versions) + 1)
        for uid in sorted(self.stored[key]):
            self.completion.add(key, _instance(uid), now=self.now)

    @rule(key=keys, number=st.integers(0, 8))
    def arrive(self, key: str, number: int) -> None:
        uid = f"{key}.{number}"
        before = uid in self.stored[key]
        if self.completion.knows(key) and not self.completion.is_receiving(key) and not before:
            assert not self.completion.is_member(key, uid)
            self.completion.forget(key)  # late: the series is reopened
        self.stored[key].add(uid)
        if not before:
            self.closed.discard(key)
        if not self.completion.knows(key):
            self._introduce(key)
            assert self.completion.add(key, _instance(uid), now=self.now) is Arrival.DUPLICATE
        else:
            arrival = self.completion.add(key, _instance(uid), now=self.now)
            assert arrival is (Arrival.DUPLICATE if before else Arrival.NEW)
        self.last_at[key] = self.now

    @rule(halves=st.integers(0, 60))  # of a second: sums are exact
    def wait(self, halves: int) -> None:
        self.now += halves / 2

    @rule()
    def let_everything_complete(self) -> None:
        self.now += QUIET
        self.hand_over(fails=False)

    @rule(key=keys)
    def close(self, key: str) -> None:
        self.completion.close(key, now=self.now)
        if self.completion.is_receiving(key):
            self.closed.add(key)

    @rule(count=st.integers(-1, 9), drops=st.booleans())
    def ask(self, count: int, drops: bool) -> None:
        for key in self.completion.to_ask(self.now):
            assert self.now >= self.last_at[key] + SETTLE, "asked while instances still came"
            if not drops:
                self.completion.answer(key, self.completion.version(key), count)

    @rule(fails=st.booleans())
    def hand_over(self, fails: bool) -> None:
        for key in self.completion.due(self.now):
            self._check_due(key)
            if fails:
                self.completion.postpone(key, until=self.now + 1)
                continue
            members = frozenset(instance.sop_instance_uid for instance in self.completion.instances(key))
            assert members == self.stored[key], "an instance was left out of its version"
            assert self.completion.version(key) == len(self.versions[key]) + 1, "versions are contiguous"
            self.completion.complete(key, members, now=self.now)
            self.versions[key].append(members)
            self.closed.discard(key)

    def _check_due(self, key: str) -> None:
        ending, quiet_for = self.completion.ending(key), self.now - self.last_at[key]
        if ending is Ending.QUIET:
            assert quiet_for >= QUIET
        elif ending is Ending.MAXIMUM_WAIT:
            assert self.now >= self.first_at[key] + LONGEST
        else:
            assert quiet_for >= SETTLE
            if ending is Ending.COUNT:
                assert self.completion.expected(key) == len(self.stored[key])
            else:
                assert key in self.closed, "something new came since the release"

    @rule()
    def restart(self) -> None:
        self.completion = SeriesCompletion(RULE)
        for key in list(self.stored):
            self._introduce(key)

    @rule()
    def tidy(self) -> None:
        self.completion.forget_idle(self.now)

    @precondition(lambda self: hasattr(self, "completion") and self.completion.next_time() is not None)
    @rule()
    def wait_until_something_is_to_be_done(self) -> None:
        at = self.completion.next_time()
        assert at is not None
        self.now = max(self.now, at)
        assert self.completion.due(self.now) or self.completion.to_ask(self.now), "it was woken for nothing"

    @invariant()
    def no_version_waits_longer_than_its_rule(self) -> None:
        if not hasattr(self, "completion"):
            return
        for key in KEYS:
            if self.completion.is_receiving(key):
                latest = min(self.last_at[key] + QUIET, self.first_at[key] + LONGEST)
                postponed = self.now + 1
                assert key in self.completion.due(max(latest, postponed))

    @invariant()
    def every_instance_is_accounted_for(self) -> None:
        if not hasattr(self, "completion"):
            return
        for key, stored in self.stored.items():
            if self.completion.is_receiving(key):
                assert {one.sop_instance_uid for one in self.completion.instances(key)} == stored
            else:
                assert self.versions[key][-1] == stored, "all of it is in the newest version"
                assert self.completion.late(key) == frozenset()

    @invariant()
    def versions_grow(self) -> None:
        for versions in getattr(self, "versions", {}).values():
            assert all(before < after for before, after in pairwise(versions))


TestCompletionInterleavings = Interleavings.TestCase
