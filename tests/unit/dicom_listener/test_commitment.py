"""From references to the report: pure logic."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.commitment.commitment import (
    CommitmentRequest,
    EventType,
    FailureReason,
    Reference,
    RetryPolicy,
    judge,
    references_digest,
    request_key,
)

CLASSES = ("1.1", "1.2", "1.3")
UIDS = tuple(f"2.{number}" for number in range(6))
references = st.builds(Reference, st.sampled_from(CLASSES), st.sampled_from(UIDS))
requests = st.builds(
    CommitmentRequest,
    st.just("1.2.3"),
    st.lists(references, min_size=1, unique=True).map(tuple),
    st.just("PACS"),
    st.just("SEGWATCH"),
)
held = st.dictionaries(st.sampled_from(UIDS), st.frozensets(st.sampled_from(CLASSES), min_size=1))


@given(requests, held, st.frozensets(st.sampled_from(CLASSES)))
def test_each_reference_is_reported_once_and_committed_only_if_durable_as_such(
    request: CommitmentRequest, durable: dict[str, frozenset[str]], accepted: frozenset[str]
) -> None:
    report = judge(request, durable, accepted)
    failed = dict(report.failed)
    assert sorted((*report.committed, *failed), key=str) == sorted(request.references, key=str)
    assert len(report.committed) + len(report.failed) == len(request.references)
    for reference in report.committed:
        assert reference.sop_class_uid in durable[reference.sop_instance_uid]
    for reference, reason in failed.items():
        if reason is FailureReason.CLASS_INSTANCE_CONFLICT:
            assert reference.sop_class_uid not in durable[reference.sop_instance_uid]
        else:
            assert reference.sop_instance_uid not in durable
            is_accepted = reference.sop_class_uid in accepted
            assert is_accepted == (reason is FailureReason.NO_SUCH_INSTANCE)
    assert report.event_type is (EventType.FAILURES_EXIST if failed else EventType.SUCCESSFUL)
    assert report.transaction_uid == request.transaction_uid


@given(requests, st.randoms())
def test_the_digest_is_that_of_the_set(request: CommitmentRequest, random: object) -> None:
    shuffled = list(request.references)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    again = CommitmentRequest("9", tuple(shuffled), "X", "Y")
    assert references_digest(again) == references_digest(request)


def test_another_set_has_another_digest_and_another_sender_another_key() -> None:
    sets = [
        CommitmentRequest("1.2.3", tuple(some), "PACS", "SEGWATCH")
        for size in (1, 2)
        for some in itertools.combinations([Reference(one, uid) for one in CLASSES for uid in UIDS[:2]], size)
    ]
    assert len({references_digest(request) for request in sets}) == len(sets)
    assert len({request_key(request) for request in sets}) == 1
    assert request_key(sets[0]) != request_key(CommitmentRequest("1.2.3", (), "OTHER", "SEGWATCH"))
    assert request_key(sets[0]) != request_key(CommitmentRequest("1.2.4", (), "PACS", "SEGWATCH"))


@given(st.integers(min_value=1, max_value=10_000))
def test_waits_grow_to_the_longest(tries: int) -> None:
    policy = RetryPolicy(first_seconds=30, longest_seconds=900)
    assert 30 <= policy.delay(tries) <= policy.delay(tries + 1) <= 900
    assert (policy.delay(1), policy.delay(2), policy.delay(100)) == (30, 60, 900)


@pytest.mark.parametrize(("seconds", "tries", "over"), [(3600, 5, True), (3599, 99, False), (10**9, 4, False)])
def test_a_report_is_given_up_after_its_time_and_not_because_the_clock_jumped(
    seconds: float, tries: int, over: bool
) -> None:
    policy = RetryPolicy(give_up_seconds=3600)
    assert policy.is_over(received_at=1000.0, tries=tries, now=1000.0 + seconds) is over
