"""The waits between two tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter.backoff import BackoffPolicy

policies = st.tuples(st.floats(0.01, 100), st.floats(1, 1000)).map(
    lambda pair: BackoffPolicy(pair[0], pair[0] * pair[1])
)
items, attempts = st.integers(1, 2**31), st.integers(1, 100_000)


@given(policy=policies, item=items, attempt=attempts)
def test_a_delay_lies_in_the_upper_half_of_its_ceiling(policy: BackoffPolicy, item: int, attempt: int) -> None:
    ceiling = min(policy.longest_s, policy.first_s * 2.0 ** min(attempt - 1, 64))
    assert ceiling / 2 <= policy.delay_s(item, attempt) <= ceiling


@given(policy=policies, item=items, attempt=attempts)
def test_a_delay_can_be_computed_again(policy: BackoffPolicy, item: int, attempt: int) -> None:
    assert policy.delay_s(item, attempt) == BackoffPolicy(policy.first_s, policy.longest_s).delay_s(item, attempt)


@given(policy=policies, item=items, attempt=attempts)
def test_a_refusal_waits_at_least_as_long_as_the_longest_delay_may_be_short(
    policy: BackoffPolicy, item: int, attempt: int
) -> None:
    assert policy.longest_s / 2 <= policy.longest_delay_s(item, attempt) <= policy.longest_s


@given(policy=policies, item=items, attempt=st.integers(1, 1000))
def test_delays_do_not_shrink_over_two_attempts(policy: BackoffPolicy, item: int, attempt: int) -> None:
    later = policy.delay_s(item, attempt + 2)
    assert later >= min(policy.delay_s(item, attempt), policy.longest_s / 2)


def test_items_are_spread() -> None:
    delays = sorted(BackoffPolicy(10, 10).delay_s(item, 1) for item in range(1000))
    quarters = [sum(5 + 1.25 * k <= delay < 6.25 + 1.25 * k for delay in delays) for k in range(4)]
    assert all(200 < quarter < 300 for quarter in quarters)


@pytest.mark.parametrize(("first", "longest"), [(0, 1), (-1, 1), (2, 1)])
def test_senseless_policies_are_refused(first: float, longest: float) -> None:
    with pytest.raises(ValueError, match="first_s"):
        BackoffPolicy(first, longest)
