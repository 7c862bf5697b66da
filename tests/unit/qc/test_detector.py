import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qc.detector import (
    LinearDetector,
    Transform,
    decode_detector,
    encode_detector,
    load_detector,
    reference_detector_path,
)
from qc.errors import DetectorError, FeatureMismatchError
from qc.metric_set import LESION_CORE_1, MetricSet
from qc.quality_metrics import QualityMetrics

PERFORMANCE = {"samples": 40, "low_quality": 10, "groups": 5, "auc": 0.9, "sensitivity": 0.8, "specificity": None}
CONTENT: dict[str, Any] = {
    "schema_version": 1,
    "name": "hand-made",
    "version": "1.0.0",
    "metric_set": {"name": "lesion-core", "version": 1},
    "features": [
        {
            "metric": "smoothness",
            "transform": "identity",
            "mean": 0.8,
            "scale": 0.1,
            "coefficient": -2.0,
            "fitted_minimum": 0.2,
            "fitted_maximum": 1,
        },
        {
            "metric": "connected_components",
            "transform": "log1p",
            "mean": 1.0,
            "scale": 0.5,
            "coefficient": 1.0,
            "fitted_minimum": 0,
            "fitted_maximum": 20.0,
        },
    ],
    "intercept": -1.0,
    "threshold": 0.5,
    "prevalence": 0.1,
    "fit": {
        "data": "none",
        "samples": 100,
        "low_quality": 30,
        "groups": 12,
        "seed": 0,
        "method": "by hand",
        "threshold_rule": "by hand",
        "held_out": PERFORMANCE,
    },
}


def metrics_of(**changes: float) -> QualityMetrics:
    values = {
        "smoothness": 0.8,
        "connected_components": math.e - 1,
        "intensity_mode": -400.0,
        "in_lung_fraction": 1.0,
        "lesion_volume": 20.0,
        "lesion_lung_share": 0.01,
        "mean_confidence": 0.9,
    }
    return QualityMetrics(LESION_CORE_1, values | changes)


@pytest.fixture
def detector() -> LinearDetector:
    return LinearDetector.model_validate(CONTENT)


def test_the_mean_case_has_the_intercept_as_its_logit(detector: LinearDetector) -> None:
    verdict = detector.judge(metrics_of())
    assert verdict.probability == pytest.approx(1 / (1 + math.e))
    assert not verdict.low_quality
    assert [part.contribution for part in verdict.contributions] == pytest.approx([0, 0])
    assert verdict.out_of_range == ()
    assert (verdict.detector_name, verdict.detector_version) == ("hand-made", "1.0.0")
    assert verdict.detector_sha256 == detector.sha256


def test_contributions_explain_the_probability(detector: LinearDetector) -> None:
    verdict = detector.judge(metrics_of(smoothness=0.6, connected_components=19.0))
    smoothness, components = verdict.contributions
    assert (smoothness.metric, smoothness.value, smoothness.coefficient) == ("smoothness", 0.6, -2.0)
    assert smoothness.standardised == pytest.approx(-2)
    assert smoothness.contribution == pytest.approx(4)
    assert components.contribution == pytest.approx((math.log(20) - 1) / 0.5)
    logit = -1 + smoothness.contribution + components.contribution
    assert math.log(verdict.probability / (1 - verdict.probability)) == pytest.approx(logit)
    assert verdict.low_quality


def test_a_probability_at_the_threshold_is_low_quality(detector: LinearDetector) -> None:
    at_half = metrics_of(smoothness=0.75)
    assert detector.judge(at_half).probability == pytest.approx(0.5)
    exact = detector.model_copy(update={"threshold": detector.judge(at_half).probability})
    assert exact.judge(at_half).low_quality


def test_metrics_outside_the_fitted_range_are_named(detector: LinearDetector) -> None:
    verdict = detector.judge(metrics_of(smoothness=0.1, connected_components=20.0))
    assert verdict.out_of_range == ("smoothness",)


@given(st.floats(0, 1), st.floats(0, 1e12))
def test_every_measurable_case_has_a_probability(smoothness: float, components: float) -> None:
    verdict = LinearDetector.model_validate(CONTENT).judge(
        metrics_of(smoothness=smoothness, connected_components=components)
    )
    assert 0 <= verdict.probability <= 1


def test_other_metrics_are_refused(detector: LinearDetector) -> None:
    other = MetricSet("lesion-core", 2, LESION_CORE_1.metrics)
    with pytest.raises(FeatureMismatchError, match=r"lesion-core 1.*lesion-core 2"):
        detector.judge(QualityMetrics(other, metrics_of().values))


def test_a_detector_survives_its_file_whatever_the_layout(detector: LinearDetector, tmp_path: Path) -> None:
    path = tmp_path / "detector.json"
    path.write_bytes(encode_detector(detector))
    assert load_detector(path) == detector
    path.write_text(json.dumps(json.loads(encode_detector(detector))))
    assert load_detector(path) == detector


@pytest.mark.parametrize(
    "change",
    [
        {"intercept": 5.0},
        {"sha256": None},
        {"sha256": "0" * 64},
        {"schema_version": 2},
        {"metric_set": {"name": "lesion-core", "version": 9}},
        {"features": []},
        {"features": [CONTENT["features"][0]] * 2},
        {"features": [CONTENT["features"][0] | {"metric": "beauty"}]},
        {"features": [CONTENT["features"][0] | {"transform": "exp"}]},
        {"features": [CONTENT["features"][0] | {"scale": 0.0}]},
        {"features": [CONTENT["features"][0] | {"coefficient": math.nan}]},
        {"features": [CONTENT["features"][0] | {"fitted_minimum": 3.0}]},
        {"threshold": 1.0},
        {"prevalence": 0.0},
        {"pickle": "gASV"},
    ],
)
def test_an_altered_or_malformed_detector_is_refused(
    change: dict[str, Any], detector: LinearDetector, tmp_path: Path
) -> None:
    path = tmp_path / "detector.json"
    path.write_text(json.dumps(json.loads(encode_detector(detector)) | change))
    with pytest.raises(DetectorError, match=r"detector\.json"):
        load_detector(path)


@pytest.mark.parametrize("payload", [b"", b"\x80\x04pickle", b"[]", b"{" * 5000, b" " * 300_000])
def test_other_bytes_are_no_detector(payload: bytes) -> None:
    with pytest.raises(DetectorError):
        decode_detector(payload)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"none\.json"):
        load_detector(tmp_path / "none.json")


def test_a_detector_does_not_change(detector: LinearDetector) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        detector.threshold = 0.9  # type: ignore[misc]  # what the test is about


def test_log1p_never_meets_a_negative_number() -> None:
    assert Transform.LOG1P.apply(-1.0) == 0.0


def test_the_reference_detector_loads_and_sees_a_fragmented_lesion_outside_the_lungs() -> None:
    reference = load_detector(reference_detector_path())
    good = metrics_of(smoothness=0.85, connected_components=2.0, mean_confidence=0.95)
    bad = metrics_of(
        smoothness=0.4, connected_components=60.0, in_lung_fraction=0.3, intensity_mode=40.0, mean_confidence=0.7
    )
    assert not reference.judge(good).low_quality
    assert reference.judge(bad).low_quality
    assert reference.metric_set.name == LESION_CORE_1.name
