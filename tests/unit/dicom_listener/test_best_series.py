import itertools
import random
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.routing.best_series import (
    Candidate,
    Merits,
    choose,
    merits_from_text,
    merits_of,
    merits_to_text,
    order,
    why_better,
)
from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing_rules import DEFAULT_RULES, RoutingRules
from dicom_listener.routing.series_traits import traits_of
from tests.unit.dicom_listener.instance_heads import chest_heads

GOOD = Merits(True, 300.0, 1.0, KernelClass.LUNG, 300, 0.7, 3)

merits = st.builds(
    Merits,
    is_regular=st.booleans(),
    length_mm=st.floats(0, 1e4),
    thickness_mm=st.none() | st.floats(0, 20),
    kernel=st.sampled_from(KernelClass),
    n_slices=st.integers(1, 2000),
    pixel_spacing_mm=st.none() | st.floats(0.1, 5),
    series_number=st.none() | st.integers(0, 99),
)
candidates = st.builds(Candidate, st.sampled_from("abcdef"), st.integers(1, 3), merits)
by_identity = st.lists(candidates, unique_by=lambda c: (c.key, c.version), max_size=8)


def series(key: str, version: int = 1, **changes: Any) -> Candidate:
    return Candidate(key, version, replace(GOOD, **changes))


def winner(*waiting: Candidate, rules: RoutingRules = DEFAULT_RULES) -> str:
    (taken,) = [choice.candidate.key for choice in choose(waiting, (), rules) if choice.taken]
    return taken


def test_thin_before_thick_and_then_the_kernel_and_then_the_slices() -> None:
    assert winner(series("a", thickness_mm=5.0), series("b", kernel=KernelClass.BONE)) == "b"
    assert winner(series("a", thickness_mm=0.6, kernel=KernelClass.BONE), series("b", thickness_mm=2.0)) == "b"
    assert winner(series("a", kernel=KernelClass.SOFT), series("b")) == "b"
    assert winner(series("a", n_slices=100), series("b", n_slices=101)) == "b"
    assert winner(series("a", n_slices=100), series("b", n_slices=101, kernel=KernelClass.SOFT)) == "a"


def test_whole_and_regular_before_everything() -> None:
    assert winner(series("a", is_regular=False), series("b", thickness_mm=8.0)) == "b"
    assert winner(series("a", length_mm=120.0), series("b", kernel=KernelClass.OTHER)) == "b"


def test_the_preferred_kernel_is_a_setting() -> None:
    soft_first = RoutingRules(preferred_kernels=(KernelClass.SOFT, KernelClass.LUNG))
    assert winner(series("a", kernel=KernelClass.SOFT), series("b"), rules=soft_first) == "a"


def test_a_tie_goes_to_the_lower_series_number_and_then_to_the_key() -> None:
    assert winner(series("a", series_number=4), series("b")) == "b"
    assert winner(series("b"), series("a")) == "a"


def test_reasons_name_the_other_series_and_the_difference() -> None:
    best, other = choose([series("b" * 32, thickness_mm=5.0), series("a" * 32)], (), DEFAULT_RULES)
    assert (best.taken, best.place, best.reason.name) == (True, 1, "best_series")
    assert (other.taken, other.place, other.reason.name) == (False, 2, "better_series")
    assert other.reason.detail == f"series {'a' * 12} of the study is taken: its slices are thinner"
    assert best.reason.detail == f"better than series {'b' * 12}: its slices are thinner"


def test_the_only_series() -> None:
    (only,) = choose([series("a")], (), DEFAULT_RULES)
    assert (only.taken, only.reason.name) == (True, "only_series")


def test_a_later_series_is_taken_only_when_it_is_better() -> None:
    (worse,) = choose([series("b", thickness_mm=5.0)], [series("a")], DEFAULT_RULES)
    assert (worse.taken, worse.reason.name) == (False, "better_series")
    (better,) = choose([series("b")], [series("a", thickness_mm=5.0)], DEFAULT_RULES)
    assert (better.taken, better.reason.name) == (True, "later_series")


def test_a_new_version_of_a_taken_series_replaces_it_though_others_are_better() -> None:
    first, second = choose([series("a", 2, thickness_mm=5.0), series("b", thickness_mm=6.0)], [series("a")],
                           DEFAULT_RULES)  # fmt: skip
    assert (first.candidate.key, first.taken, first.reason.name) == ("a", True, "new_version")
    assert (second.taken, second.reason.name) == (False, "better_series")


def test_of_two_waiting_versions_the_older_is_superseded() -> None:
    choices = {c.candidate.version: c for c in choose([series("a", 1), series("a", 2)], (), DEFAULT_RULES)}
    assert (choices[2].taken, choices[1].taken, choices[1].reason.name) == (True, False, "superseded")


@given(by_identity, st.randoms(use_true_random=False))
def test_the_order_is_total_and_the_choice_does_not_depend_on_the_order_of_arrival(
    waiting: list[Candidate], source: random.Random
) -> None:
    keys = [order(candidate, DEFAULT_RULES) for candidate in waiting]
    assert len(set(keys)) == len(waiting)
    for one, other in itertools.combinations(keys, 2):
        assert (one < other) != (other < one)
    shuffled = list(waiting)
    source.shuffle(shuffled)
    assert choose(shuffled, (), DEFAULT_RULES) == choose(waiting, (), DEFAULT_RULES)


@given(by_identity, by_identity)
def test_every_candidate_gets_one_choice_and_at_most_one_new_series_is_taken(
    waiting: list[Candidate], taken: list[Candidate]
) -> None:
    waiting = [c for c in waiting if all((c.key, c.version) > (t.key, t.version) for t in taken if t.key == c.key)]
    choices = choose(waiting, taken, DEFAULT_RULES)
    assert sorted((c.candidate.key, c.candidate.version) for c in choices) == sorted(
        (c.key, c.version) for c in waiting
    )
    known = {candidate.key for candidate in taken}
    new = [choice for choice in choices if choice.taken and choice.candidate.key not in known]
    assert len(new) <= 1
    assert new or taken or not waiting
    chosen_keys = [choice.candidate.key for choice in choices if choice.taken]
    assert len(set(chosen_keys)) == len(chosen_keys)
    for key in {c.key for c in waiting} & known:
        assert key in chosen_keys


@given(merits, merits)
def test_the_reason_is_the_first_difference(one: Merits, other: Merits) -> None:
    a, b = sorted([Candidate("a", 1, one), Candidate("b", 1, other)], key=lambda c: order(c, DEFAULT_RULES))
    assert why_better(a, b, DEFAULT_RULES) != why_better(a, a, DEFAULT_RULES)


@given(merits)
def test_merits_survive_a_row(one: Merits) -> None:
    assert merits_from_text(merits_to_text(one)) == one


def test_the_merits_of_a_chest() -> None:
    found = merits_of(traits_of(chest_heads(120, spacing=2.0)))
    assert found == Merits(True, 240.0, 2.0, KernelClass.SOFT, 120, 0.7, 2)
