import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dicom_listener.completion import Arrival, CompletionRule, SeriesCompletion
from dicom_listener.series import ReceivedInstance

QUIET, LONGEST = 10.0, 45.0


def _instance(uid: str) -> ReceivedInstance:
    return ReceivedInstance(uid, "1.2", "1.2", "1", "2", Path(uid), 1)


def _completion(longest: float | None = None) -> SeriesCompletion:
    completion = SeriesCompletion(CompletionRule(QUIET, longest))
    completion.begin("a", 1, now=0.0)
    return completion


def test_nothing_is_due_before_the_quiet_time_is_over() -> None:
    completion = _completion()
    completion.add("a", _instance("1"), now=5.0)
    assert completion.next_deadline() == 15.0
    assert completion.due(14.999) == []
    assert completion.due(15.0) == ["a"]


@pytest.mark.parametrize("again", ["new", "duplicate", "conflict"])
def test_whatever_shows_the_sender_at_work_begins_the_quiet_time_anew(again: str) -> None:
    completion = _completion()
    completion.add("a", _instance("1"), now=0.0)
    if again == "conflict":
        completion.touch("a", now=9.0)
    else:
        completion.add("a", _instance("2" if again == "new" else "1"), now=9.0)
    assert completion.due(18.0) == []
    assert completion.due(19.0) == ["a"]


def test_a_series_that_never_rests_is_complete_after_the_longest_wait() -> None:
    completion = _completion(LONGEST)
    for second in range(60):
        completion.add("a", _instance(str(second)), now=float(second))
        assert (completion.due(float(second)) == ["a"]) == (second >= LONGEST)


def test_without_a_longest_wait_it_is_never_complete_while_something_comes() -> None:
    completion = _completion()
    for second in range(1000):
        completion.add("a", _instance(str(second)), now=float(second))
        assert completion.due(float(second)) == []


def test_what_comes_after_completion_is_late_and_changes_nothing() -> None:
    completion = _completion()
    assert completion.add("a", _instance("1"), now=0.0) is Arrival.NEW
    members = frozenset(instance.sop_instance_uid for instance in completion.instances("a"))
    completion.complete("a", members, now=10.0)
    assert completion.add("a", _instance("1"), now=11.0) is Arrival.DUPLICATE
    assert completion.add("a", _instance("2"), now=12.0) is Arrival.LATE
    assert completion.add("a", _instance("2"), now=13.0) is Arrival.LATE
    assert completion.late("a") == {"2"}
    assert completion.due(math.inf) == []
    assert completion.next_deadline() is None


def test_a_failed_hand_over_is_due_again_later() -> None:
    completion = _completion()
    completion.postpone("a", until=100.0)
    assert completion.due(99.0) == []
    assert completion.next_deadline() == 100.0
    assert completion.due(100.0) == ["a"]


def test_completed_series_are_forgotten_when_nothing_comes_any_more() -> None:
    completion = _completion()
    completion.complete("a", frozenset({"1"}), now=10.0)
    completion.forget_idle(19.0)
    assert completion.knows("a")
    completion.forget_idle(20.0)
    assert not completion.knows("a")


def test_the_longest_due_series_comes_first() -> None:
    completion = _completion()
    completion.begin("b", 1, now=-5.0)
    completion.begin("c", 1, now=3.0)
    assert completion.due(100.0) == ["b", "a", "c"]


@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.floats(0, 20)),
        max_size=40,
    )
)
def test_series_do_not_influence_each_other(arrivals: list[tuple[str, int, float]]) -> None:
    both = SeriesCompletion(CompletionRule(QUIET, LONGEST))
    alone = {key: SeriesCompletion(CompletionRule(QUIET, LONGEST)) for key in "ab"}
    now = 0.0
    for key, number, pause in arrivals:
        now += pause
        for completion in (both, alone[key]):
            if not completion.knows(key):
                completion.begin(key, 1, now=now)
            completion.add(key, _instance(str(number)), now=now)
        assert sorted(both.due(now)) == sorted(alone["a"].due(now) + alone["b"].due(now))


class Interleavings(RuleBasedStateMachine):
    """Random arrivals, pauses, hand-overs that fail, and restarts, against a plain account of what must come out."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.stored: dict[str, set[str]] = {}
        self.versions: dict[str, frozenset[str]] = {}
        self.last_at: dict[str, float] = {}
        self.first_at: dict[str, float] = {}
        self.completion = SeriesCompletion(CompletionRule(QUIET, LONGEST))

    def _introduce(self, key: str) -> None:
        """What a restart does: files and rows are read again."""
        if key in self.versions:
            self.completion.resume_complete(key, 1, self.versions[key], now=self.now)
        else:
            self.completion.begin(key, 1, now=self.now)
            self.first_at[key] = self.now
        for uid in sorted(self.stored.get(key, ())):
            self.completion.add(key, _instance(uid), now=self.now)
        self.last_at[key] = self.now

    @rule(key=st.sampled_from("abc"), number=st.integers(0, 8))
    def arrive(self, key: str, number: int) -> None:
        uid = f"{key}.{number}"
        if not self.completion.knows(key):
            self._introduce(key)
        before = uid in self.stored.setdefault(key, set())
        self.stored[key].add(uid)
        self.last_at[key] = self.now
        arrival = self.completion.add(key, _instance(uid), now=self.now)
        if key in self.versions:
            assert arrival is (Arrival.DUPLICATE if uid in self.versions[key] else Arrival.LATE)
        else:
            assert arrival is (Arrival.DUPLICATE if before else Arrival.NEW)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(fails=st.booleans())
    def hand_over(self, fails: bool) -> None:
        for key in self.completion.due(self.now):
            quiet = self.now >= self.last_at[key] + QUIET
            assert quiet or self.now >= self.first_at[key] + LONGEST, "handed over while instances still came"
            assert key not in self.versions, "a version was handed over twice"
            if fails:
                self.completion.postpone(key, until=self.now + 1)
                continue
            members = frozenset(instance.sop_instance_uid for instance in self.completion.instances(key))
            assert members == self.stored[key], "an instance was left out of its version"
            self.completion.complete(key, members, now=self.now)
            self.versions[key] = members
            self.last_at[key] = self.now

    @rule()
    def restart(self) -> None:
        self.completion = SeriesCompletion(CompletionRule(QUIET, LONGEST))
        for key in self.stored:
            self._introduce(key)

    @rule()
    def tidy(self) -> None:
        self.completion.forget_idle(self.now)

    @precondition(lambda self: self.completion.next_deadline() is not None)
    @rule()
    def wait_for_the_deadline(self) -> None:
        deadline = self.completion.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        assert self.completion.due(self.now), "the deadline named no series"

    @invariant()
    def every_instance_is_accounted_for(self) -> None:
        for key, stored in self.stored.items():
            if key not in self.versions:
                assert {one.sop_instance_uid for one in self.completion.instances(key)} == stored
            elif self.completion.knows(key):
                assert self.versions[key] | self.completion.late(key) == stored


TestInterleavings = Interleavings.TestCase
