"""`LinearDetector`: standardisation and logistic regression in a JSON file, judged with the standard library alone.

logit P(low quality) = intercept + sum over features of coefficient * (transform(value) - mean) / scale.
"""

import hashlib
import json
import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from qc.errors import DetectorError, FeatureMismatchError, MetricSetError
from qc.metric_set import MetricSet, find_metric_set
from qc.quality_metrics import QualityMetrics
from qc.record_fields import METRIC_NAME_PATTERN, ClosedModel, Slug, Version
from qc.verdict import Contribution, Verdict

SCHEMA_VERSION: Literal[1] = 1

MAXIMUM_BYTES = 262_144
"""A detector has about 4 kB; a larger file is none."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]


class Transform(StrEnum):
    """What is done to a metric before it is standardised."""

    IDENTITY = "identity"
    LOG1P = "log1p"
    """log(1 + value), for counts and volumes, whose spread grows with their size."""

    def apply(self, value: float) -> float:
        """Transform one value; `log1p` is meant for values from 0."""
        return math.log1p(max(value, 0.0)) if self is Transform.LOG1P else value


class Feature(ClosedModel):
    """One metric in the detector."""

    metric: Annotated[str, Field(pattern=METRIC_NAME_PATTERN)]
    transform: Annotated[Transform, Field(strict=False)]
    mean: Finite
    """Of the transformed values of the fitted samples."""
    scale: Positive
    """Standard deviation of the transformed values of the fitted samples."""
    coefficient: Finite
    """Change of the logit per standard deviation."""
    fitted_minimum: Finite
    fitted_maximum: Finite
    """Range of the fitted samples, untransformed."""

    def standardise(self, value: float) -> float:
        """Transform a measured value and express it in standard deviations from the mean."""
        return (self.transform.apply(value) - self.mean) / self.scale


class Performance(ClosedModel):
    """How a detector did on samples that it was not fitted on."""

    samples: Count
    low_quality: Count
    groups: Count
    """Independent cases (phantoms or patients) behind the samples."""
    auc: Share | None
    """Area under the ROC curve: chance that a low-quality sample gets the higher probability; None for one class."""
    sensitivity: Share | None
    """Share of the low-quality samples that are flagged; None where there is none."""
    specificity: Share | None
    """Share of the good samples that are not flagged; None where there is none."""


class FitInfo(ClosedModel):
    """Where a detector comes from."""

    data: Annotated[str, Field(max_length=500)]
    """What the samples are, in a sentence."""
    samples: Count
    low_quality: Count
    groups: Count
    seed: int
    method: Annotated[str, Field(max_length=500)]
    threshold_rule: Annotated[str, Field(max_length=500)]
    held_out: Performance


class NamedMetricSet(ClosedModel):
    """The metric set whose values the detector takes."""

    name: Slug
    version: Annotated[int, Field(ge=1)]


class LinearDetector(ClosedModel):
    """A fitted detector; frozen."""

    schema_version: Literal[1]
    name: Slug
    version: Version
    metric_set: NamedMetricSet
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=64, strict=False)]
    intercept: Finite
    threshold: OpenShare
    """A probability from here on means low quality."""
    prevalence: OpenShare
    """Share of low-quality cases at which the probability is calibrated."""
    fit: FitInfo

    @model_validator(mode="after")
    def _check_features(self) -> Self:
        names = [feature.metric for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("a metric is there twice")
        if any(feature.fitted_minimum > feature.fitted_maximum for feature in self.features):
            raise ValueError("a fitted range ends before it begins")
        registered = find_metric_set(self.metric_set.name, self.metric_set.version).names
        unknown = sorted(set(names) - set(registered))
        if unknown:
            raise ValueError(f"metrics outside the metric set: {', '.join(unknown)}")
        return self

    @property
    def sha256(self) -> str:
        """Fingerprint of the content, 64 hexadecimal digits; independent of the file's layout."""
        return _fingerprint(self.model_dump(mode="json"))

    @property
    def registered_metric_set(self) -> MetricSet:
        """The registered metric set that this detector takes."""
        return find_metric_set(self.metric_set.name, self.metric_set.version)

    def judge(self, metrics: QualityMetrics) -> Verdict:
        """Judge one segmentation by its metrics.

        Raises:
            FeatureMismatchError: the metrics are of another metric set than the detector was fitted on.
        """
        given, own = metrics.metric_set, self.metric_set
        if (given.name, given.version) != (own.name, own.version):
            raise FeatureMismatchError(
                f"detector {self.name} {self.version} was fitted on metric set {own.name} {own.version}, "
                f"it cannot judge {given.name} {given.version}: use a detector that was fitted on that set"
            )
        contributions = tuple(_contribution(feature, metrics.values[feature.metric]) for feature in self.features)
        probability = _logistic(self.intercept + math.fsum(part.contribution for part in contributions))
        return Verdict(
            detector_name=self.name,
            detector_version=self.version,
            detector_sha256=self.sha256,
            probability=probability,
            threshold=self.threshold,
            low_quality=probability >= self.threshold,
            contributions=contributions,
            out_of_range=tuple(
                feature.metric
                for feature in self.features
                if not feature.fitted_minimum <= metrics.values[feature.metric] <= feature.fitted_maximum
            ),
        )


def encode_detector(detector: LinearDetector) -> bytes:
    """Encode as JSON that people can read, with the content's fingerprint."""
    content = detector.model_dump(mode="json") | {"sha256": detector.sha256}
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def decode_detector(payload: bytes, source: str = "detector") -> LinearDetector:
    """Decode and check a detector; `source` names it in errors.

    Raises:
        DetectorError: the bytes are no detector, its metric set is not registered here, or it was altered.
    """
    if len(payload) > MAXIMUM_BYTES:
        raise DetectorError(f"{source}: {len(payload)} bytes, a detector has at most {MAXIMUM_BYTES}")
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise DetectorError(f"{source}: not JSON; write it with `segwatch detector fit`") from error
    if not isinstance(content, dict):
        raise DetectorError(f"{source}: the JSON is not an object")
    fingerprint = content.pop("sha256", None)
    try:
        detector = LinearDetector.model_validate(content)
    except (ValidationError, MetricSetError) as error:
        raise DetectorError(f"{source}: {_first_line(error)}") from error
    if fingerprint != detector.sha256:
        raise DetectorError(
            f"{source}: its sha256 does not fit its content, so it was altered or damaged; fit it again or restore it"
        )
    return detector


def load_detector(path: Path) -> LinearDetector:
    """Read a detector from a JSON file.

    Raises:
        DetectorError: the file cannot be read or holds no valid detector.
    """
    try:
        payload = path.read_bytes()
    except OSError as error:
        raise DetectorError(f"cannot read the detector {path}: {error.strerror}") from error
    return decode_detector(payload, str(path))


def reference_detector_path() -> Path:
    """The detector that comes with Segwatch, fitted on phantoms and the reference model."""
    return Path(__file__).parent / "detectors" / "reference.json"


def _contribution(feature: Feature, value: float) -> Contribution:
    standardised = feature.standardise(value)
    return Contribution(feature.metric, value, standardised, feature.coefficient, feature.coefficient * standardised)


def _logistic(logit: float) -> float:
    if logit >= 0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))


def _fingerprint(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _first_line(error: ValidationError | MetricSetError) -> str:
    if isinstance(error, MetricSetError):
        return str(error)
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in mistake["loc"])
    return f"{place}: {mistake['msg']}" if place else mistake["msg"]
