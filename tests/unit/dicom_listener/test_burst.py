"""When a burst is over, and when it has lasted too long."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.spool.journal.burst import QUIET_SECONDS, Burst

LONGEST = 2.0
GAPS = st.lists(st.floats(0.0, 1.0) | st.floats(0.0, 3.0), min_size=1, max_size=60)


@given(GAPS)
def test_a_burst_is_taken_from_its_first_instance_on_for_so_long(gaps: list[float]) -> None:
    burst, now, began, pause = Burst(LONGEST), 1000.0, 0.0, QUIET_SECONDS
    latest = 0.0
    for gap in gaps:
        now += gap
        if now - latest > pause:
            began = now
        latest = now
        is_taken = now - began < LONGEST
        assert burst.takes(now) == is_taken
        pause = QUIET_SECONDS if is_taken else LONGEST


@given(GAPS, st.floats(0.0, 5.0))
def test_nothing_waits_longer_than_the_longest_time_nor_than_the_end_of_the_burst(
    gaps: list[float], waited: float
) -> None:
    burst, now = Burst(LONGEST), 1000.0
    for gap in gaps:
        now += gap
        burst.note(now)
    due_at = burst.due_at(now - waited)
    assert due_at <= now - waited + LONGEST
    assert due_at <= now + QUIET_SECONDS


def test_without_room_the_rest_of_a_burst_is_not_taken() -> None:
    burst = Burst(LONGEST)
    assert burst.takes(0.0)
    burst.exhaust()
    assert not burst.takes(0.1)
    assert burst.takes(0.1 + QUIET_SECONDS + 0.01)


def test_a_burst_that_took_all_the_room_is_over_after_a_longer_pause() -> None:
    burst = Burst(LONGEST)
    assert burst.takes(0.0)
    assert burst.takes(0.1)
    burst.exhaust()
    assert not burst.takes(0.2)
    assert not burst.takes(0.2 + LONGEST)
    assert burst.takes(0.2 + 2 * LONGEST + 0.01)


def test_what_lasts_too_long_is_over_after_a_longer_pause_than_a_burst() -> None:
    burst = Burst(LONGEST)
    times = [number / 8 for number in range(24)]
    assert [burst.takes(time) for time in times] == [time < LONGEST for time in times]
    assert not burst.takes(times[-1] + LONGEST)
    assert burst.takes(times[-1] + 2 * LONGEST + 0.01)


def test_a_quiet_time_is_no_longer_than_an_instance_may_wait() -> None:
    burst = Burst(0.1)
    burst.note(0.0)
    assert burst.due_at(0.0) == 0.1
