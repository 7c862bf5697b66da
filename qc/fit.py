"""Fits a `LinearDetector` to samples of known Dice, and judges one on samples it has not seen. Needs scikit-learn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from qc.detector import Feature, FitInfo, LinearDetector, NamedMetricSet, Performance, Transform
from qc.errors import DetectorError
from qc.labelled import LabelledMetrics
from qc.metric_set import MetricDefinition, MetricSet

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

SKEWED_UNITS = ("{count}", "mL")
"""Units of metrics that take their logarithm: their spread grows with their size."""

HELD_OUT_SHARE = 0.3
FOLDS = 5
LEAST_GROUPS = 10

REGULARISATION = 0.1
"""scikit-learn's C: strong enough that correlated metrics (number of components, volume) do not take opposite signs."""

METHOD = "standardisation, logistic regression (L2, C = 0.1) with balanced classes, intercept shifted to the prevalence"

Progress = Callable[[str], None]
"""Called with a sentence about the step that begins."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the detector is calibrated to."""

    prevalence: float = 0.1
    """Share of low-quality cases among those it will see; shifts the intercept."""
    specificity: float = 0.9
    """Share of good segmentations that must not be flagged, in cross-validation; sets the threshold."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a detector does on samples, in all and by defect."""

    overall: Performance
    by_defect: tuple[tuple[str, Performance], ...]
    """By the name of the defect, in alphabetical order."""


def fit_detector(
    samples: Sequence[LabelledMetrics],
    *,
    seed: int,
    name: str,
    version: str,
    data: str,
    target: Target = Target(),
    progress: Progress | None = None,
) -> LinearDetector:
    """Fit standardisation and logistic regression with balanced classes; `data` says in a sentence what was sampled.

    Groups (phantoms, patients) are split once: `HELD_OUT_SHARE` of them are never fitted on and give the performance
    that the detector carries. On the others a grouped cross-validation gives every sample a probability from a fit
    without its group; the threshold is the lowest at which `target.specificity` of the good samples stay below it. The
    balanced fit speaks for a prevalence of one half, so the intercept is shifted by the difference of the log odds to
    `target.prevalence` (King and Zeng 2001, prior correction).

    Raises:
        DetectorError: the samples do not suffice or are of several metric sets.
    """
    metric_set = _one_metric_set(samples)
    values, low, groups = _arrays(samples, metric_set)
    tell = progress or _silent
    fitted, held_out = next(
        GroupShuffleSplit(1, test_size=HELD_OUT_SHARE, random_state=seed).split(values, low, groups)
    )
    _check_classes(low[fitted], low[held_out])
    tell(f"cross-validating on {fitted.size} samples of {np.unique(groups[fitted]).size} groups")
    shift = float(np.log(target.prevalence / (1 - target.prevalence)))
    transformed = _transformed(values, metric_set)
    logits = _cross_validated_logits(transformed[fitted], low[fitted], groups[fitted]) + shift
    threshold = _threshold(logits[~low[fitted]], target.specificity)
    tell(f"fitting, then judging {held_out.size} held-out samples")
    model = _fit(transformed[fitted], low[fitted])
    held_out_logits = model.decision_function(transformed[held_out]) + shift
    performance = _performance(low[held_out], _logistic(held_out_logits), threshold, groups[held_out])
    return LinearDetector(
        schema_version=1,
        name=name,
        version=version,
        metric_set=NamedMetricSet(name=metric_set.name, version=metric_set.version),
        features=_features(model, metric_set, values[fitted]),
        intercept=float(model[-1].intercept_[0]) + shift,
        threshold=threshold,
        prevalence=target.prevalence,
        fit=FitInfo(
            data=data,
            samples=int(fitted.size),
            low_quality=int(low[fitted].sum()),
            groups=int(np.unique(groups[fitted]).size),
            seed=seed,
            method=METHOD,
            threshold_rule=f"specificity {target.specificity} on good samples, {FOLDS}-fold grouped cross-validation",
            held_out=performance,
        ),
    )


def evaluate(detector: LinearDetector, samples: Sequence[LabelledMetrics]) -> Evaluation:
    """Judge samples and compare with their true Dice.

    Raises:
        DetectorError: there is no sample.
        FeatureMismatchError: the samples are of another metric set than the detector.
    """
    if not samples:
        raise DetectorError("there are no samples to evaluate the detector on")
    probabilities = np.array([detector.judge(sample.metrics).probability for sample in samples])
    low = np.array([sample.low_quality for sample in samples])
    groups = np.array([sample.group for sample in samples])
    defects = np.array([sample.defect for sample in samples])

    def of(chosen: Bools) -> Performance:
        return _performance(low[chosen], probabilities[chosen], detector.threshold, groups[chosen])

    by_defect = tuple((str(defect), of(defects == defect)) for defect in np.unique(defects))
    return Evaluation(of(np.ones(low.shape, dtype=bool)), by_defect)


def _silent(_: str) -> None:
    return


def _one_metric_set(samples: Sequence[LabelledMetrics]) -> MetricSet:
    found = {(sample.metrics.metric_set.name, sample.metrics.metric_set.version) for sample in samples}
    if len(found) != 1:
        raise DetectorError(f"the samples must be of one metric set, found {len(found)}")
    if len({sample.group for sample in samples}) < LEAST_GROUPS:
        raise DetectorError(f"the samples must come from at least {LEAST_GROUPS} phantoms or patients")
    return samples[0].metrics.metric_set


def _check_classes(*sides: Bools) -> None:
    if any(side.all() or not side.any() for side in sides):
        raise DetectorError("the samples must hold good and low-quality segmentations on both sides of the split")


def _arrays(samples: Sequence[LabelledMetrics], metric_set: MetricSet) -> tuple[Array, Bools, NDArray[np.int64]]:
    values = np.array([[sample.metrics.values[name] for name in metric_set.names] for sample in samples])
    low = np.array([sample.low_quality for sample in samples])
    return values, low, np.array([sample.group for sample in samples])


def _transform_of(metric: MetricDefinition) -> Transform:
    return Transform.LOG1P if metric.unit in SKEWED_UNITS else Transform.IDENTITY


def _transformed(values: Array, metric_set: MetricSet) -> Array:
    columns = [np.vectorize(_transform_of(metric).apply)(values[:, i]) for i, metric in enumerate(metric_set.metrics)]
    return np.column_stack(columns).astype(np.float64)


def _fit(values: Array, low: Bools) -> Pipeline:
    regression = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), regression).fit(values, low)


def _cross_validated_logits(values: Array, low: Bools, groups: NDArray[np.int64]) -> Array:
    logits = np.empty(low.size)
    for train, test in GroupKFold(FOLDS).split(values, low, groups):
        _check_classes(low[train])
        logits[test] = _fit(values[train], low[train]).decision_function(values[test])
    return logits


def _threshold(good_logits: Array, specificity: float) -> float:
    """Lowest probability that keeps the share `specificity` of the good samples below it."""
    return float(_logistic(np.nextafter(np.quantile(good_logits, specificity, method="higher"), np.inf)))


def _logistic(logits: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float64)


def _features(model: Pipeline, metric_set: MetricSet, values: Array) -> tuple[Feature, ...]:
    scaler, regression = model[0], model[-1]
    return tuple(
        Feature(
            metric=metric.name,
            transform=_transform_of(metric),
            mean=float(scaler.mean_[index]),
            scale=float(scaler.scale_[index]),
            coefficient=float(regression.coef_[0, index]),
            fitted_minimum=float(values[:, index].min()),
            fitted_maximum=float(values[:, index].max()),
        )
        for index, metric in enumerate(metric_set.metrics)
    )


def _performance(low: Bools, probabilities: Array, threshold: float, groups: NDArray[np.int64]) -> Performance:
    flagged = probabilities >= threshold
    both = bool(low.any() and not low.all())
    return Performance(
        samples=int(low.size),
        low_quality=int(low.sum()),
        groups=int(np.unique(groups).size),
        auc=float(roc_auc_score(low, probabilities)) if both else None,
        sensitivity=float(flagged[low].mean()) if low.any() else None,
        specificity=float((~flagged[~low]).mean()) if not low.all() else None,
    )
