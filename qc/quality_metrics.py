"""`QualityMetrics`: the hand-over from `measure` to the record."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from qc.metric_set import MetricSet


@dataclass(frozen=True, slots=True)
class QualityMetrics:
    """The values of one registered metric set for one segmentation."""

    metric_set: MetricSet
    values: Mapping[str, float]
    """By registered name; every registered metric is present, finite and in range."""

    def __post_init__(self) -> None:
        """Check against the set and make the mapping read-only. Raises `MetricSetError`."""
        self.metric_set.check(self.values)
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
