"""UIDs and texts of results."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporter.seg_text import ascii_text, described
from reporter.seg_uids import ResultInputs, derived_uid, seg_uids, tracking_uid
from tests.unit.reporter.seg_cases import MODEL

INPUTS = ResultInputs("1.2.3", "1.2.4", ("1.2.5", "1.2.6"), MODEL, "{}", "0.1.0")


@given(parts=st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_a_uid_is_valid_and_depends_on_its_parts_alone(parts: list[str]) -> None:
    uid = derived_uid(*parts)
    assert uid == derived_uid(*parts)
    assert len(uid) <= 64
    root, arc, number = uid.split(".")
    assert (root, arc) == ("2", "25")
    assert 0 < int(number) < 2**128
    assert number == str(int(number))
    assert uid != derived_uid(*parts, "")


def test_boundaries_between_parts_count() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_the_order_of_instances_does_not_count() -> None:
    assert seg_uids(INPUTS) == seg_uids(replace(INPUTS, sop_instance_uids=("1.2.6", "1.2.5")))


def test_the_names_of_one_result_differ() -> None:
    uids = seg_uids(INPUTS)
    names = {uids.series_instance_uid, uids.sop_instance_uid, uids.dimension_organization_uid}
    assert len(names) == 3


def test_another_version_of_the_same_instances_has_other_names() -> None:
    first, second, third = (seg_uids(replace(INPUTS, series_version=version)) for version in (1, 2, 3))
    assert first == seg_uids(INPUTS)
    assert len({uids.sop_instance_uid for uids in (first, second, third)}) == 3
    assert len({uids.series_instance_uid for uids in (first, second, third)}) == 3
    assert first.frame_of_reference_uid == second.frame_of_reference_uid, "one patient, one place"


def test_uids_stay_the_same_across_releases() -> None:
    # a changed derivation would make every archive hold each result twice
    assert seg_uids(INPUTS).sop_instance_uid == PINNED
    assert tracking_uid("1.2.3", "1.2.4", "m", 1) != tracking_uid("1.2.3", "1.2.4", "m", 2)


PINNED = "2.25.45019353528732602296759903570792574998"


@given(text=st.text(max_size=200), limit=st.integers(1, 64))
def test_ascii_text_fits_any_character_set(text: str, limit: int) -> None:
    result = ascii_text(text, limit)
    assert 0 < len(result) <= limit
    assert result.isascii()
    assert result.isprintable()
    assert "\\" not in result
    assert result == result.strip()


@given(model=st.text(max_size=100), version=st.text(max_size=20), suffix=st.text(max_size=20))
def test_a_description_fits_and_keeps_what_it_says(model: str, version: str, suffix: str) -> None:
    text = described("No lesion found", model, version, suffix)
    assert len(text) <= 64
    assert text.startswith("No lesion found: ")


@pytest.mark.parametrize(
    ("model", "expected"),
    [("lung", "AI segmentation: lung 1.0 v2"), ("x" * 80, f"AI segmentation: {'x' * 40} 1.0 v2")],
)
def test_a_long_model_name_is_cut_and_the_version_stays(model: str, expected: str) -> None:
    assert described("AI segmentation", model, "1.0", "v2") == expected
