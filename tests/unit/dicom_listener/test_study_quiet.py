from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.routing.study_quiet import StudyQuiet

QUIET, LONGEST = 30.0, 100.0


def nobody(_key: str) -> bool:
    return False


def test_a_study_without_waiting_series_is_never_due() -> None:
    quiet = StudyQuiet(QUIET, LONGEST)
    quiet.note("s", "a", now=0.0)
    assert (quiet.next_deadline(nobody), quiet.due(1e9, nobody)) == (None, [])


def test_a_study_is_due_when_it_was_quiet() -> None:
    quiet = StudyQuiet(QUIET, LONGEST)
    quiet.note("s", "a", now=0.0)
    quiet.wait("s", "a", now=10.0)
    assert quiet.next_deadline(nobody) == 30.0
    quiet.note("s", "b", now=20.0)
    assert (quiet.due(49.0, nobody), quiet.due(50.0, nobody)) == ([], ["s"])
    quiet.chosen("s")
    assert quiet.due(1e9, nobody) == []


def test_while_a_series_is_received_only_the_longest_wait_counts() -> None:
    quiet = StudyQuiet(QUIET, LONGEST)
    quiet.note("s", "b", now=0.0)
    quiet.wait("s", "a", now=10.0)
    assert quiet.next_deadline({"b"}.__contains__) == 110.0
    assert quiet.due(109.0, {"b"}.__contains__) == []
    assert quiet.due(110.0, {"b"}.__contains__) == ["s"]


def test_idle_studies_are_forgotten_and_waiting_ones_are_not() -> None:
    quiet = StudyQuiet(QUIET, LONGEST)
    quiet.note("idle", "a", now=0.0)
    quiet.note("open", "b", now=0.0)
    quiet.wait("waiting", "c", now=0.0)
    quiet.forget_idle(1e6, {"b"}.__contains__)
    assert quiet.due(1e6, nobody) == ["waiting"]
    quiet.wait("idle", "a", now=1e6)
    assert "idle" not in quiet.due(1e6, nobody)
    quiet.wait("open", "b", now=1e6)
    assert "open" in quiet.due(1e6, nobody)


@given(st.lists(st.tuples(st.sampled_from("st"), st.booleans(), st.floats(0, 50)), max_size=20))
def test_what_waits_is_due_at_its_deadline_and_not_before(events: list[tuple[str, bool, float]]) -> None:
    quiet, now = StudyQuiet(QUIET, LONGEST), 0.0
    waiting_since: dict[str, float] = {}
    for study, waits, seconds in events:
        now += seconds
        if waits:
            quiet.wait(study, "a", now=now)
            waiting_since.setdefault(study, now)
        else:
            quiet.note(study, "a", now=now)
    for _ in range(len(waiting_since)):
        deadline = quiet.next_deadline(nobody)
        assert deadline is not None
        assert deadline <= min(waiting_since.values()) + LONGEST
        (study, *_rest) = quiet.due(max(deadline, now), nobody)
        waiting_since.pop(study)
        quiet.chosen(study)
    assert quiet.next_deadline(nobody) is None
