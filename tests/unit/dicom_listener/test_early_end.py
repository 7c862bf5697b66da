"""What ends a wait early, and that nothing prolongs it."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.completion.completion import SeriesCompletion
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.ending import Ending
from dicom_listener.series import ReceivedInstance

QUIET, LONGEST, SETTLE = 30.0, 100.0, 2.0
RULE = CompletionRule(QUIET, LONGEST, settle_seconds=SETTLE)


def instance(number: int) -> ReceivedInstance:
    return ReceivedInstance(str(number), "1.2", "1.2", "1", "2", Path(str(number)), 1)


def receiving(*numbers: int, asks: bool = False) -> SeriesCompletion:
    """A series "a" whose instances came one a second from 1 s on."""
    completion = SeriesCompletion(RULE)
    completion.begin("a", 1, now=0.0, asks=asks)
    for second, number in enumerate(numbers, start=1):
        completion.add("a", instance(number), now=float(second))
    return completion


def ends(completion: SeriesCompletion) -> tuple[float | None, Ending]:
    return completion.next_time(), completion.ending("a")


def test_a_count_that_is_met_ends_the_wait_after_a_moment() -> None:
    completion = receiving(1, 2)
    completion.claim("a", 3)
    assert ends(completion) == (2 + QUIET, Ending.QUIET)
    completion.add("a", instance(3), now=5.0)
    assert ends(completion) == (5 + SETTLE, Ending.COUNT)
    completion.add("a", instance(3), now=6.0)
    assert ends(completion) == (6 + SETTLE, Ending.COUNT), "a repeated instance shows that the sender is at work"
    assert completion.due(7.9) == []
    assert completion.due(8.0) == ["a"]


def test_a_count_that_was_exceeded_is_wrong_and_ignored() -> None:
    completion = receiving(1, 2, 3)
    completion.claim("a", 3)
    completion.add("a", instance(4), now=4.0)
    assert ends(completion) == (4 + QUIET, Ending.QUIET)
    assert completion.expected("a") == 3


@pytest.mark.parametrize("count", [0, -1, -5])
def test_a_count_below_one_says_nothing(count: int) -> None:
    completion = receiving()
    completion.claim("a", count)
    completion.answer("a", 1, count)
    assert completion.expected("a") is None
    assert completion.ending("a") is Ending.QUIET


def test_the_longest_wait_holds_whatever_was_said() -> None:
    completion = receiving()
    completion.claim("a", 10_000)
    for second in range(int(LONGEST)):
        completion.add("a", instance(second), now=float(second))
    assert ends(completion) == (LONGEST, Ending.MAXIMUM_WAIT)


def test_a_sender_is_asked_when_its_instances_pause() -> None:
    completion = receiving(1, 2, asks=True)
    assert completion.next_time() == 2 + SETTLE
    assert completion.to_ask(3.9) == []
    assert completion.to_ask(4.0) == ["a"]
    assert completion.to_ask(5.0) == [], "once for a pause"
    completion.answer("a", 1, 2)
    assert ends(completion) == (2 + SETTLE, Ending.COUNT)
    assert completion.due(4.0) == ["a"]


def test_an_answer_holds_only_while_nothing_new_came() -> None:
    """A PACS that forwards while it receives has more at every question."""
    completion = receiving(1, 2, asks=True)
    assert completion.to_ask(4.0) == ["a"]
    completion.answer("a", 1, 3)
    completion.add("a", instance(3), now=5.0)
    assert completion.ending("a") is Ending.QUIET, "meanwhile it may have a fourth"
    assert completion.expected("a") == 3
    assert completion.next_time() == 4 + 2 * SETTLE, "the distance between questions doubles"
    assert completion.to_ask(8.0) == ["a"]
    completion.answer("a", 1, 3)
    assert completion.due(8.0) == ["a"]


def test_a_slow_sender_is_not_asked_after_every_instance() -> None:
    completion = receiving(asks=True)
    rule = CompletionRule(QUIET, None, settle_seconds=SETTLE)
    completion = SeriesCompletion(rule)
    completion.begin("a", 1, now=0.0, asks=True)
    questions = 0
    for second in range(0, 3000, 3):
        completion.add("a", instance(second), now=float(second))
        questions += len(completion.to_ask(second + SETTLE))
    assert 5 <= questions <= 12, "1000 pauses, a doubling distance"


def test_nobody_is_asked_when_the_header_told_already_or_the_sender_cannot_be_asked() -> None:
    told = receiving(1, 2, asks=True)
    told.claim("a", 2)
    assert told.to_ask(4.0) == []
    assert receiving(1, 2).to_ask(10.0) == []


def test_the_senders_answer_goes_before_the_header() -> None:
    completion = receiving(1, 2, asks=True)
    completion.claim("a", 5)
    assert completion.to_ask(4.0) == ["a"]
    completion.answer("a", 1, 2)
    assert completion.due(4.0) == ["a"]


def test_an_answer_for_another_version_or_an_unknown_series_is_ignored() -> None:
    completion = receiving(1, asks=True)
    assert completion.to_ask(3.0) == ["a"]
    completion.answer("a", 2, 1)
    completion.answer("b", 1, 1)
    assert completion.expected("a") is None


def test_a_closed_geometry_ends_the_wait_until_something_new_comes() -> None:
    completion = receiving(1, 2)
    completion.close("a", now=10.0)
    assert ends(completion) == (10 + SETTLE, Ending.CLOSED_GEOMETRY)
    completion.add("a", instance(2), now=11.0)
    assert ends(completion) == (11 + SETTLE, Ending.CLOSED_GEOMETRY)
    completion.add("a", instance(3), now=12.0)
    assert ends(completion) == (12 + QUIET, Ending.QUIET)
    completion.close("b", now=12.0)


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 30), st.floats(0, 20)), min_size=1, max_size=40),
    claim=st.none() | st.integers(-3, 40),
    answers=st.lists(st.tuples(st.integers(0, 39), st.integers(-1, 40)), max_size=5),
    closings=st.sets(st.integers(0, 39), max_size=3),
    settle=st.floats(0, 60),
)
def test_evidence_never_prolongs_a_wait_and_ends_it_only_after_the_pause(
    arrivals: list[tuple[int, float]],
    claim: int | None,
    answers: list[tuple[int, int]],
    closings: set[int],
    settle: float,
) -> None:
    rule = CompletionRule(QUIET, LONGEST, settle_seconds=settle)
    plain, told = SeriesCompletion(CompletionRule(QUIET, LONGEST)), SeriesCompletion(rule)
    now = 0.0
    plain.begin("a", 1, now=now)
    told.begin("a", 1, now=now, asks=True)
    if claim is not None:
        told.claim("a", claim)
    for index, (number, pause) in enumerate(arrivals):
        now += pause
        plain.add("a", instance(number), now=now)
        told.add("a", instance(number), now=now)
        told.to_ask(now + settle)
        for _ in [count for at, count in answers if at == index]:
            told.answer("a", 1, _)
        if index in closings:
            told.close("a", now=now)
        deadline = plain.next_time()
        assert deadline is not None
        early = next(at for at in _moments(now, deadline, settle) if told.due(at))
        assert early <= deadline
        assert told.ending("a") in (Ending.QUIET, Ending.MAXIMUM_WAIT) or early >= min(now + settle, deadline)
    assert told.due(math.inf) == ["a"]


def _moments(now: float, deadline: float, settle: float) -> list[float]:
    return sorted({now - 1, now, now + settle / 2, now + settle, deadline})
