"""Registered metric sets: the closed vocabulary of numbers that may leave a site.

A set is versioned as a whole. A definition that changes its value for some segmentation is a new version.
`docs/reference/metrics.md` is the prose of this table.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qc.errors import MetricSetError


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One registered metric."""

    name: str
    unit: str
    """UCUM."""
    minimum: float
    maximum: float
    """Both ends belong to the range; infinity where there is no bound."""
    meaning: str


@dataclass(frozen=True, slots=True)
class MetricSet:
    """A named, versioned, ordered set of metrics."""

    name: str
    version: int
    metrics: tuple[MetricDefinition, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Metric names in their registered order."""
        return tuple(metric.name for metric in self.metrics)

    def check(self, values: Mapping[str, float]) -> None:
        """Check that exactly the registered metrics are there, finite and in range.

        Raises:
            MetricSetError: a metric is missing, unknown, not finite or out of range.
        """
        if set(values) != set(self.names):
            missing, unknown = sorted(set(self.names) - set(values)), sorted(set(values) - set(self.names))
            raise MetricSetError(f"metric set {self.name} {self.version}: missing {missing}, unknown {unknown}")
        for metric in self.metrics:
            value = values[metric.name]
            if not math.isfinite(value) or not metric.minimum <= value <= metric.maximum:
                raise MetricSetError(f"metric {metric.name} = {value} lies outside {metric.minimum}..{metric.maximum}")


LESION_CORE_1 = MetricSet(
    "lesion-core",
    1,
    (
        MetricDefinition(
            "smoothness",
            "1",
            0.0,
            1.0,
            "mean Dice of consecutive axial slices inside each 26-connected component of 500 mm3 and more, averaged "
            "over components (all where none is that large); 0 for a component of one slice; 1 for an empty mask",
        ),
        MetricDefinition(
            "connected_components",
            "{count}",
            0.0,
            math.inf,
            "26-connected components of 10 mm3 and more (all where none is that large); 0 for an empty mask",
        ),
        MetricDefinition(
            "intensity_mode",
            "[hnsf'U]",
            -1024.0,
            3071.0,
            "peak of the density of the lesion's intensities (Gaussian kernel, 25 HU); -500 for an empty mask",
        ),
        MetricDefinition(
            "in_lung_fraction", "1", 0.0, 1.0, "share of the lesion inside the lung mask; 1 for an empty lesion mask"
        ),
        MetricDefinition("lesion_volume", "mL", 0.0, math.inf, "volume of the lesion mask; 0 for an empty mask"),
        MetricDefinition(
            "lesion_lung_share", "1", 0.0, 1.0, "lesion inside the lung mask over the lung mask; 0 without lungs"
        ),
        MetricDefinition(
            "mean_confidence",
            "1",
            0.0,
            1.0,
            "mean foreground probability over the lesion mask, from the model's grid; for an empty mask 1 - the "
            "largest foreground probability",
        ),
    ),
)

METRIC_SETS: Mapping[tuple[str, int], MetricSet] = {(s.name, s.version): s for s in (LESION_CORE_1,)}


def find_metric_set(name: str, version: int) -> MetricSet:
    """Look up a registered set.

    Raises:
        MetricSetError: no such set is registered in this version of the software.
    """
    try:
        return METRIC_SETS[name, version]
    except KeyError:
        raise MetricSetError(f"metric set {name} version {version} is not registered here") from None
