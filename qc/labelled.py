"""`LabelledMetrics`: metrics of a segmentation whose true Dice is known, and their file, one JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from qc.errors import DetectorError, MetricSetError
from qc.metric_set import find_metric_set
from qc.quality_metrics import QualityMetrics
from qc.record import MetricSetReference
from qc.record_fields import ClosedModel, Metrics
from qc.verdict import LOW_QUALITY_DICE

NO_DEFECT = "none"
"""The defect of a sample that was left as it is."""


@dataclass(frozen=True, slots=True)
class LabelledMetrics:
    """One sample to fit or to judge a detector with."""

    group: int
    """Samples of one group are not independent (one phantom, one patient) and never stand on both sides of a split."""
    origin: str
    """Who made the segmentation: `model` or `truth`."""
    defect: str
    """What was done to image or mask, see `qc.degradations`; `none` for nothing."""
    severity: float
    """0..1."""
    dice: float
    """Dice of the mask and the true mask, 0..1; 1 where both are empty."""
    metrics: QualityMetrics

    @property
    def low_quality(self) -> bool:
        """Whether the Dice is below `LOW_QUALITY_DICE`."""
        return self.dice < LOW_QUALITY_DICE


class _Line(ClosedModel):
    group: int
    origin: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    defect: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    severity: Annotated[float, Field(ge=0, le=1)]
    dice: Annotated[float, Field(ge=0, le=1)]
    metric_set: MetricSetReference
    metrics: Metrics


def write_samples(path: Path, samples: Iterable[LabelledMetrics]) -> int:
    """Write samples as they come, one a line; return their number.

    Raises:
        DetectorError: the file cannot be written.
    """
    count = 0
    try:
        with path.open("w", encoding="utf-8") as file:
            for sample in samples:
                file.write(_encode(sample) + "\n")
                file.flush()
                count += 1
    except OSError as error:
        raise DetectorError(f"cannot write the samples {path}: {error.strerror}") from error
    return count


def read_samples(path: Path) -> list[LabelledMetrics]:
    """Read samples.

    Raises:
        DetectorError: the file cannot be read, or a line (named by its number) is no sample.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DetectorError(f"cannot read the samples {path}: {error}") from error
    return list(_decode_lines(path, lines))


def _encode(sample: LabelledMetrics) -> str:
    metric_set = sample.metrics.metric_set
    content = {
        "group": sample.group,
        "origin": sample.origin,
        "defect": sample.defect,
        "severity": sample.severity,
        "dice": sample.dice,
        "metric_set": {"name": metric_set.name, "version": metric_set.version},
        "metrics": dict(sample.metrics.values),
    }
    return json.dumps(content, allow_nan=False)


def _decode_lines(path: Path, lines: Iterable[str]) -> Iterator[LabelledMetrics]:
    for number, text in enumerate(lines, start=1):
        try:
            line = _Line.model_validate_json(text)
            metrics = QualityMetrics(find_metric_set(line.metric_set.name, line.metric_set.version), line.metrics)
        except ValidationError as error:
            raise DetectorError(f"{path}, line {number}: no sample ({error.error_count()} mistakes)") from error
        except MetricSetError as error:
            raise DetectorError(f"{path}, line {number}: {error}") from error
        yield LabelledMetrics(line.group, line.origin, line.defect, line.severity, line.dice, metrics)
