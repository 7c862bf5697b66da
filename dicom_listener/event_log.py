"""The log's lines about associations and series: the same facts as text for people and as fields for programs.

No patient data and no UID: a series is named by its key. What a peer made up, its AE titles, is printed without
control characters, so that it cannot forge a line. docs/reference/logs-and-metrics.md lists the fields.
"""

import logging
from collections.abc import Mapping
from typing import Any

from dicom_listener.association_report import AssociationEnd, AssociationReport
from dicom_listener.series_report import SeriesReport

LOGGER = logging.getLogger(__name__)

FIELDS = "segwatch_fields"
"""Attribute of a log record that holds the fields; a formatter writes these and no other attribute."""
OUTCOMES = ("stored", "duplicate", "conflict", "refused", "failed")
"""What `AssociationReport.counts` counts."""


def log_association(report: AssociationReport, *, is_due: bool = True) -> None:
    """Log the end of an association; a rejection is a warning where `is_due`, which bounds how often."""
    fields = association_fields(report)
    statuses = ",".join(f"{status}:{count}" for status, count in fields["statuses"].items())
    parts = [
        f"calling={fields['calling'] or '-'}",
        f"address={report.address}",
        f"called={fields['called'] or '-'}",
        f"seconds={report.seconds:.1f}",
        f"tls={'yes' if report.is_encrypted else 'no'}",
        f"bytes={report.bytes}",
        *([f"refused_contexts={report.refused_contexts}"] if report.refused_contexts else []),
        *([f"refused_classes={','.join(report.refused_classes)}"] if report.refused_classes else []),
        *([f"statuses={statuses}"] if statuses else []),
        *([f"reason={report.rejection.reason}"] if report.rejection else []),
        *([f'comment="{report.comment}"'] if report.comment else []),
        *([f"{name}={count}" for name, count in sorted(report.counts.items()) if count] or ["no instances"]),
    ]
    level = logging.WARNING if report.end is AssociationEnd.REJECTED and is_due else logging.INFO
    log_event(level, f"association {report.end}: {' '.join(parts)}", fields)


def association_fields(report: AssociationReport) -> dict[str, Any]:
    """The fields of an association's line."""
    rejection = report.rejection
    return {
        "event": "association",
        "end": report.end.value,
        "calling": printable(report.calling_ae_title),
        "called": printable(report.called_ae_title),
        "address": report.address,
        "seconds": round(report.seconds, 3),
        "tls": report.is_encrypted,
        "bytes": report.bytes,
        "refused_contexts": report.refused_contexts,
        "refused_classes": list(report.refused_classes),
        "series_count": len(report.series_keys),
        **{outcome: report.counts.get(outcome, 0) for outcome in OUTCOMES},
        "statuses": {f"{status:04X}": count for status, count in sorted(report.statuses.items())},
        "reject_result": rejection.result if rejection else None,
        "reject_source": rejection.source if rejection else None,
        "reject_reason": rejection.reason if rejection else None,
        "reject_comment": report.comment or None,
    }


def log_series(report: SeriesReport) -> None:
    """Log that a series is complete and handed over; one that is short of what was expected is a warning."""
    fields = series_fields(report)
    parts = [
        f"series={report.key}",
        f"version={report.version}",
        f"instances={report.instances}",
        *([f"expected={report.expected}"] if report.expected is not None else []),
        *([f"conflicts={report.conflicts}"] if report.conflicts else []),
        f"bytes={report.bytes}",
        f"seconds={report.seconds:.1f}",
        f"calling={fields['calling'] or '-'}",
        *([f"ended_by={report.ended_by}"] if report.ended_by else []),
    ]
    level, how = (logging.WARNING, "complete, short of its count") if report.is_short else (logging.INFO, "complete")
    log_event(level, f"series {how}: {' '.join(parts)}", fields)


def series_fields(report: SeriesReport) -> dict[str, Any]:
    """The fields of a series' line."""
    return {
        "event": "series_complete",
        "series": report.key,
        "version": report.version,
        "instances": report.instances,
        "expected": report.expected,
        "conflicts": report.conflicts,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "calling": printable(report.calling_ae_title),
        "ended_by": report.ended_by.value if report.ended_by else None,
    }


def log_reopened(key: str, version: int) -> None:
    """Log that instances came after a series was complete, so that its next version is being received."""
    text = f"series reopened by late instances: series={key} version={version}"
    log_event(logging.WARNING, text, {"event": "series_reopened", "series": key, "version": version})


def log_late(key: str, version: int) -> None:
    """Log that an instance came for a version that a person rejected."""
    text = f"late instance: series={key} version={version}"
    log_event(logging.WARNING, text, {"event": "instance_late", "series": key, "version": version})


def log_conflict(key: str, version: int) -> None:
    """Log that another content came under the UID of a stored instance."""
    text = f"another content under the UID of a stored instance, kept apart: series={key} version={version}"
    log_event(logging.WARNING, text, {"event": "instance_conflict", "series": key, "version": version})


def printable(text: str) -> str:
    """What a peer sent as an AE title, with `?` for characters that do not print."""
    return "".join(character if character.isprintable() else "?" for character in text)


def log_event(level: int, text: str, fields: Mapping[str, Any]) -> None:
    """Log a line that has fields for programs beside its text."""
    LOGGER.log(level, "%s", text, extra={FIELDS: fields})
