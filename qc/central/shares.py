"""Shares of flagged cases, their intervals, and where in a run of cases a share began to rise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betainc, betaincinv

DISPLAY_CONFIDENCE = 0.95
"""Of the two-sided intervals that people see."""


@dataclass(frozen=True, slots=True)
class Share:
    """Flagged cases among all, with the exact two-sided 95% interval (Clopper and Pearson, Biometrika 1934)."""

    flagged: int
    cases: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """The observed share, 0..1; 0 without cases."""
        return self.flagged / self.cases if self.cases else 0.0


def share_of(flagged: int, cases: int) -> Share:
    """Put the interval round an observed share."""
    tail = (1.0 - DISPLAY_CONFIDENCE) / 2.0
    return Share(flagged, cases, lower_bound(flagged, cases, 1.0 - tail), upper_bound(flagged, cases, 1.0 - tail))


def upper_bound(flagged: int, cases: int, confidence: float) -> float:
    """One-sided upper bound: at least `confidence` of all baselines of this size lie below it (Clopper-Pearson)."""
    return 1.0 if flagged >= cases else float(betaincinv(flagged + 1, cases - flagged, confidence))


def lower_bound(flagged: int, cases: int, confidence: float) -> float:
    """One-sided lower bound (Clopper-Pearson)."""
    return 0.0 if flagged <= 0 else float(betaincinv(flagged, cases - flagged + 1, 1.0 - confidence))


def tail_probability(flagged: int, cases: int, share: float) -> float:
    """Chance of `flagged` or more among independent cases when each is flagged with probability `share`."""
    return 1.0 if flagged <= 0 else float(betainc(flagged, cases - flagged + 1, share))


def rise_began_at(flags: Sequence[bool], before: float) -> int:
    """Index from which on the flags look most unlike the share before: maximum likelihood (Hinkley, Biometrika 1970).

    The share after is itself estimated; only a rise counts. 0 also means: perhaps earlier than the first flag given.
    """
    before = min(max(before, 1e-6), 1.0 - 1e-6)
    best, best_index, flagged = 0.0, 0, 0
    for index in range(len(flags) - 1, -1, -1):
        flagged += flags[index]
        cases = len(flags) - index
        gain = _log_likelihood(flagged, cases, flagged / cases) - _log_likelihood(flagged, cases, before)
        if flagged / cases > before and gain >= best:
            best, best_index = gain, index
    return best_index


def _log_likelihood(flagged: int, cases: int, share: float) -> float:
    total = 0.0
    if flagged:
        total += flagged * math.log(share)
    if cases - flagged:
        total += (cases - flagged) * math.log1p(-share)
    return total
