import dataclasses
from pathlib import Path

import numpy as np
import pytest

from inference.phantom import Phantom
from inference.segmentation import ModelIdentity, Segmentation
from inference.segmenter import Progress
from inference.volume import Volume
from qc.degradations import MaskDefect
from qc.detector import decode_detector, encode_detector
from qc.errors import DetectorError
from qc.fit import Target, evaluate, fit_detector
from qc.graded_phantoms import Plan, build_samples, dice, samples_of_phantom, truth_segmentation
from qc.image_degradations import ImageDefect
from qc.labelled import LabelledMetrics, read_samples, write_samples
from qc.metric_set import LESION_CORE_1, MetricSet
from qc.quality_metrics import QualityMetrics

GRID = ((60, 80, 96), (5.0, 4.0, 4.0))


class ThresholdSegmenter:
    """Marks dense lung-like voxels; stands in for a model."""

    model = ModelIdentity("threshold", "1", "0" * 64)
    pixel_settings = "{}"

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        mask = ((volume.voxels > -600) & (volume.voxels < -300)).astype(np.uint8)
        if progress is not None:
            progress(1, 1)
        return dataclasses.replace(truth_segmentation(mask, volume.affine), model=self.model)


def drawn_samples(groups: int, seed: int = 0) -> list[LabelledMetrics]:
    """Samples whose quality shows in smoothness and components only."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(groups * 8):
        low = rng.random() < 0.4
        values = {
            "smoothness": float(np.clip(rng.normal(0.6 if low else 0.8, 0.08), 0, 1)),
            "connected_components": float(rng.poisson(30 if low else 4)),
            "intensity_mode": float(rng.normal(-400, 50)),
            "in_lung_fraction": 0.9,
            "lesion_volume": float(rng.exponential(30)),
            "lesion_lung_share": float(rng.uniform(0, 0.02)),
            "mean_confidence": float(rng.uniform(0.7, 1)),
        }
        metrics = QualityMetrics(LESION_CORE_1, values)
        samples.append(LabelledMetrics(index // 8, "truth", "leak", 0.5, 0.3 if low else 0.8, metrics))
    return samples


def test_a_fit_finds_what_tells_quality_and_says_how_well() -> None:
    steps: list[str] = []
    detector = fit_detector(drawn_samples(60), seed=1, name="test", version="1", data="drawn", progress=steps.append)
    coefficients = {feature.metric: feature.coefficient for feature in detector.features}
    assert coefficients["smoothness"] < -1
    assert coefficients["connected_components"] > 1
    assert coefficients["in_lung_fraction"] == pytest.approx(0, abs=1e-6)
    assert abs(coefficients["intensity_mode"]) < 0.5
    held_out = detector.fit.held_out
    assert held_out.samples + detector.fit.samples == 480
    assert held_out.groups == 18
    assert held_out.auc is not None
    assert held_out.auc > 0.95
    assert held_out.specificity == pytest.approx(0.9, abs=0.1)
    assert len(steps) == 2
    fresh = evaluate(detector, drawn_samples(100, seed=9)).overall
    assert fresh.specificity == pytest.approx(0.9, abs=0.04)
    assert fresh.sensitivity is not None
    assert fresh.sensitivity > 0.9


def test_probabilities_speak_for_the_prevalence_of_the_target() -> None:
    rare = fit_detector(drawn_samples(60), seed=1, name="t", version="1", data="drawn", target=Target(prevalence=0.05))
    common = fit_detector(drawn_samples(60), seed=1, name="t", version="1", data="drawn", target=Target(prevalence=0.5))
    assert rare.intercept - common.intercept == pytest.approx(np.log(0.05 / 0.95))
    sample = drawn_samples(1)[0].metrics
    verdicts = [detector.judge(sample) for detector in (rare, common)]
    assert verdicts[0].probability < verdicts[1].probability
    assert verdicts[0].low_quality == verdicts[1].low_quality
    mean = np.mean([common.judge(s.metrics).probability for s in drawn_samples(100, 3)])
    assert mean == pytest.approx(0.4, abs=0.06)


def test_a_fit_is_reproducible_to_the_byte() -> None:
    first, second = (fit_detector(drawn_samples(20), seed=4, name="t", version="1", data="d") for _ in range(2))
    assert encode_detector(first) == encode_detector(second)
    assert decode_detector(encode_detector(first)) == first


def test_samples_that_do_not_suffice_are_refused() -> None:
    with pytest.raises(DetectorError, match="at least 10"):
        fit_detector(drawn_samples(9), seed=0, name="t", version="1", data="d")
    good = [sample for sample in drawn_samples(40) if not sample.low_quality]
    with pytest.raises(DetectorError, match="low-quality"):
        fit_detector(good, seed=0, name="t", version="1", data="d")
    other = QualityMetrics(MetricSet("other", 1, LESION_CORE_1.metrics), good[0].metrics.values)
    with pytest.raises(DetectorError, match="one metric set"):
        fit_detector([*good, dataclasses.replace(good[0], metrics=other)], seed=0, name="t", version="1", data="d")
    with pytest.raises(DetectorError, match="no samples"):
        evaluate(fit_detector(drawn_samples(20), seed=0, name="t", version="1", data="d"), [])


def test_evaluation_by_defect_leaves_out_what_is_not_defined() -> None:
    detector = fit_detector(drawn_samples(30), seed=0, name="t", version="1", data="d")
    samples = drawn_samples(30, seed=5)
    clean = [dataclasses.replace(sample, defect="none") for sample in samples if not sample.low_quality]
    evaluation = evaluate(detector, [*samples, *clean])
    assert [defect for defect, _ in evaluation.by_defect] == ["leak", "none"]
    none = dict(evaluation.by_defect)["none"]
    assert (none.auc, none.sensitivity, none.low_quality) == (None, None, 0)
    assert evaluation.overall.samples == len(samples) + len(clean)


def test_samples_survive_their_file(tmp_path: Path) -> None:
    samples = drawn_samples(2)
    path = tmp_path / "samples.jsonl"
    assert write_samples(path, iter(samples)) == 16
    assert read_samples(path) == samples


@pytest.mark.parametrize("line", ["", "{}", "not JSON", '{"group": 1, "dice": 2.0}'])
def test_a_broken_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    write_samples(path, drawn_samples(1))
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DetectorError, match="line 9"):
        read_samples(path)
    with pytest.raises(DetectorError, match=r"none\.jsonl"):
        read_samples(tmp_path / "none.jsonl")


def test_dice_of_empty_masks() -> None:
    empty, full = np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8)
    assert (dice(empty, empty), dice(full, empty), dice(empty, full), dice(full, full * 2)) == (1, 0, 0, 1)


@pytest.fixture(scope="module")
def chest() -> Phantom:
    """A chest of two ellipsoids, far quicker than a real phantom."""
    z, y, x = np.ogrid[:40, :60, :80]
    voxels = np.full((40, 60, 80), -1000.0)
    voxels[((y - 30) / 26) ** 2 + ((x - 40) / 36) ** 2 + 0 * z <= 1] = 40
    lungs = np.zeros(voxels.shape, dtype=bool)
    for side in (23, 57):
        lungs |= ((z - 20) / 16) ** 2 + ((y - 30) / 18) ** 2 + ((x - side) / 12) ** 2 <= 1
    voxels[lungs] = -820
    lesion = np.zeros(voxels.shape, dtype=np.uint8)
    for centre in ((16, 28, 22), (24, 34, 56)):
        lesion[(z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 <= 20] = 1
    voxels[lesion == 1] = -450
    voxels += np.random.default_rng(0).normal(0, 15, voxels.shape)
    return Phantom(Volume(voxels.astype(np.float32), np.diag([6.0, 4.5, 4.5, 1])), lesion, lungs)


def test_a_phantom_is_graded_without_a_model(chest: Phantom) -> None:
    samples = list(samples_of_phantom(chest, 3, segmenter=None, plan=Plan(truth_defects=8)))
    assert [sample.dice for sample in samples if sample.defect == "none"] == [1.0]
    assert {sample.defect for sample in samples} == {"none", *MaskDefect}
    assert {(sample.origin, sample.group) for sample in samples} == {("truth", 3)}
    assert any(sample.low_quality for sample in samples)
    assert samples[0].metrics.values["in_lung_fraction"] > 0.9


def test_a_phantom_is_graded_with_a_model_that_sees_degraded_images(chest: Phantom) -> None:
    plan = Plan(image_defects=6, mask_defects=1, truth_defects=1)
    samples = list(samples_of_phantom(chest, 5, segmenter=ThresholdSegmenter(), plan=plan))
    assert [sample.origin for sample in samples][:4] == ["truth", "truth", "model", "model"]
    assert len({sample.defect for sample in samples} & set(ImageDefect)) >= 4, "some images may show no lungs any more"
    plain = [sample for sample in samples if sample.defect == "none"]
    assert plain[0].dice == 1 >= plain[1].dice > 0.8
    assert any(sample.low_quality for sample in samples if sample.defect in set(ImageDefect))
    assert samples == list(samples_of_phantom(chest, 5, segmenter=ThresholdSegmenter(), plan=plan))


@pytest.mark.slow
def test_samples_come_phantom_by_phantom() -> None:
    done: list[tuple[int, int]] = []
    samples = build_samples(
        [4, 5], segmenter=None, grids=[GRID], plan=Plan(truth_defects=1), progress=lambda *at: done.append(at)
    )
    assert [sample.group for sample in samples] == [4, 4, 5, 5]
    assert done == [(1, 2), (2, 2)]
