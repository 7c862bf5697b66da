import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.completion.completion import Arrival, SeriesCompletion
from dicom_listener.completion.completion_rule import CompletionRule
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
    assert completion.next_time() == 15.0
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
    assert completion.add("a", _instance("2"), now=13.0) is Arrival.DUPLICATE
    assert completion.late("a") == {"2"}
    assert completion.due(math.inf) == []
    assert completion.next_time() is None


def test_a_failed_hand_over_is_due_again_later() -> None:
    completion = _completion()
    completion.postpone("a", until=100.0)
    assert completion.due(99.0) == []
    assert completion.next_time() == 100.0
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
