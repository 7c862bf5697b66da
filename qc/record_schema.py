"""The JSON Schema of the record, made from the model; docs/reference/quality-record.schema.json is its output."""

import math
from typing import Any

from qc.metric_set import METRIC_SETS, MetricDefinition, MetricSet
from qc.record import QualityRecord

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def record_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a quality record, with the metrics of every registered metric set.

    It says all that `decode_record` checks, but that a day of a period exists and that no key is there twice.
    """
    schema = QualityRecord.model_json_schema(mode="validation")
    registered = list(METRIC_SETS.values())
    schema["properties"]["metrics"] = {
        "type": "object",
        "description": schema["properties"]["metrics"]["description"],
    }
    schema["oneOf"] = [_one_set(metric_set) for metric_set in registered]
    return {"$schema": DIALECT, "$id": "urn:segwatch:quality-record:v1", **schema}


def _one_set(metric_set: MetricSet) -> dict[str, Any]:
    named = {"name": {"const": metric_set.name}, "version": {"const": metric_set.version}}
    metrics = {
        "properties": {metric.name: _one_metric(metric) for metric in metric_set.metrics},
        "required": list(metric_set.names),
        "additionalProperties": False,
    }
    return {"properties": {"metric_set": {"properties": named}, "metrics": metrics}}


def _one_metric(metric: MetricDefinition) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "number", "description": f"{metric.meaning}; unit (UCUM): {metric.unit}"}
    if math.isfinite(metric.minimum):
        schema["minimum"] = metric.minimum
    if math.isfinite(metric.maximum):
        schema["maximum"] = metric.maximum
    return schema
