"""The acquisition period that a record may carry: an exact date would help to identify a patient."""

import re
from datetime import date
from enum import StrEnum

UNKNOWN_PERIOD = "unknown"
"""For a series without a usable acquisition date."""

PERIOD_PATTERN = (
    r"^(?:unknown|[0-9]{4}-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12][0-9]|3[01]))?|[0-9]{4}-W(?:0[1-9]|[1-4][0-9]|5[0-3]))$"
)
"""Day (2026-11-23), ISO 8601 week (2026-W48), month (2026-11) or `unknown`."""


class PeriodLength(StrEnum):
    """How much of the acquisition date leaves the site; a setting."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def period_of(day: date | None, length: PeriodLength) -> str:
    """Name the period that a day lies in. Weeks are those of ISO 8601: 2027-01-01 lies in 2026-W53."""
    if day is None:
        return UNKNOWN_PERIOD
    if length is PeriodLength.WEEK:
        year, week, _ = day.isocalendar()
        return f"{year:04d}-W{week:02d}"
    return day.isoformat() if length is PeriodLength.DAY else day.isoformat()[:7]


def is_period(text: str) -> bool:
    """Whether a text names a period that exists; 2026-02-30 and 2026-W54 do not."""
    if re.fullmatch(PERIOD_PATTERN, text) is None:
        return False
    try:
        first_day_of(text)
    except ValueError:
        return False
    return True


def first_day_of(period: str) -> date | None:
    """First day of a period, None for `unknown`: the order of plots and charts.

    Raises:
        ValueError: the text names no period.
    """
    if period == UNKNOWN_PERIOD:
        return None
    if "W" in period:
        return date.fromisocalendar(int(period[:4]), int(period[6:]), 1)
    return date.fromisoformat(period if len(period) == 10 else f"{period}-01")
