"""The baseline of one site, model and detector: how often cases are flagged there, and how each metric is spread."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MOVED_METRICS = 3
"""How many metrics an alert names."""


@dataclass(frozen=True, slots=True)
class Case:
    """What the alert rule keeps of one judged record."""

    event_id: str
    period: str
    flagged: bool
    probability: float
    out_of_range: bool
    """Some metric lies outside the range that the detector was fitted on."""
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Moments:
    """Running mean and sum of squared deviations (Welford, Technometrics 1962)."""

    cases: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def with_value(self, value: float) -> "Moments":
        """Add one value."""
        cases, change = self.cases + 1, value - self.mean
        mean = self.mean + change / cases
        return Moments(cases, mean, self.squares + change * (value - mean))


@dataclass(frozen=True, slots=True)
class Baseline:
    """The first cases of an epoch."""

    cases: int = 0
    flagged: int = 0
    metrics: Mapping[str, Moments] = field(default_factory=dict)

    def with_case(self, case: Case) -> "Baseline":
        """Add one case."""
        metrics = {name: self.metrics.get(name, Moments()).with_value(value) for name, value in case.metrics.items()}
        return Baseline(self.cases + 1, self.flagged + case.flagged, metrics)


@dataclass(frozen=True, slots=True)
class MovedMetric:
    """A metric whose mean differs between the baseline and the recent cases."""

    metric: str
    before: float
    after: float
    """Means, in the metric's own unit."""
    shift: float
    """after - before in pooled standard deviations (Cohen's d)."""


def moved_metrics(baseline: Baseline, recent: Iterable[Case]) -> tuple[MovedMetric, ...]:
    """Name the metrics that moved most, the most moved first; one without any spread is left out."""
    after: dict[str, Moments] = {}
    for case in recent:
        for name, value in case.metrics.items():
            after[name] = after.get(name, Moments()).with_value(value)
    found = []
    for name, now in after.items():
        before = baseline.metrics.get(name, Moments())
        spread = _pooled_deviation(before, now)
        if spread > 0.0:
            found.append(MovedMetric(name, before.mean, now.mean, (now.mean - before.mean) / spread))
    return tuple(sorted(found, key=lambda moved: (-abs(moved.shift), moved.metric))[:MOVED_METRICS])


def _pooled_deviation(one: Moments, other: Moments) -> float:
    freedom = one.cases + other.cases - 2
    return math.sqrt((one.squares + other.squares) / freedom) if freedom > 0 and one.cases > 0 else 0.0
