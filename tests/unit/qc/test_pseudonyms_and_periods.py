import uuid
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qc.metric_set import LESION_CORE_1, MetricSet
from qc.periods import PeriodLength, first_day_of, is_period, period_of
from qc.pseudonyms import event_id, study_key

SECRET = bytes(range(32))
RESULT: dict[str, Any] = {
    "series_key": "ab" * 16,
    "series_version": 1,
    "generation": 0,
    "model_sha256": "0" * 64,
    "metric_set": LESION_CORE_1,
}


def test_a_study_key_is_pinned_so_that_an_upgrade_does_not_cut_the_history() -> None:
    assert study_key(SECRET, "1.2.3") == "388d7803ec533eddc19d60b05a56d4cb32981fc91a928c4fffe6eba4f39329dd"
    assert event_id(SECRET, **RESULT) == "f90f439b-c6b9-8df9-b366-b0840e2f4134"


def test_pseudonyms_depend_on_the_secret_and_tell_nothing_of_the_uid() -> None:
    assert study_key(SECRET, "1.2.3") != study_key(SECRET[::-1], "1.2.3")
    assert study_key(SECRET, "1.2.3") != study_key(SECRET, "1.2.4")
    assert "1.2.3" not in study_key(SECRET, "1.2.3")


@pytest.mark.parametrize(
    "change",
    [
        {"series_key": "cd" * 16},
        {"series_version": 2},
        {"generation": 1},
        {"model_sha256": "1" * 64},
        {"metric_set": MetricSet("lesion-core", 2, LESION_CORE_1.metrics)},
    ],
)
def test_another_result_has_another_event_id(change: dict[str, Any]) -> None:
    assert event_id(SECRET, **(RESULT | change)) != event_id(SECRET, **RESULT)


@given(st.binary(min_size=32, max_size=64))
def test_event_ids_are_uuids_of_version_8(secret: bytes) -> None:
    parsed = uuid.UUID(event_id(secret, **RESULT))
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)


def test_fields_cannot_run_into_each_other() -> None:
    first = event_id(SECRET, **(RESULT | {"series_version": 1, "generation": 11}))
    second = event_id(SECRET, **(RESULT | {"series_version": 11, "generation": 1}))
    assert first != second


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        study_key(b"short", "1.2.3")


def test_periods_by_length() -> None:
    day = date(2027, 1, 1)
    assert period_of(day, PeriodLength.DAY) == "2027-01-01"
    assert period_of(day, PeriodLength.WEEK) == "2026-W53"
    assert period_of(day, PeriodLength.MONTH) == "2027-01"
    assert period_of(None, PeriodLength.DAY) == "unknown"


@given(st.dates(), st.sampled_from(PeriodLength))
def test_every_day_has_a_valid_period_that_begins_no_later(day: date, length: PeriodLength) -> None:
    period = period_of(day, length)
    first = first_day_of(period) if is_period(period) else None
    assert first is not None
    assert first <= day
    assert period_of(first, length) == period


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-00", "2026-02-29", "2025-W53", "2026-W00", "2026-11-23 ", "Unknown"]
)
def test_texts_that_are_no_period(text: str) -> None:
    assert not is_period(text)
