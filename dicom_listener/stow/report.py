"""What happened on one request, for its log line and the metrics: the DICOMweb counterpart of `AssociationReport`."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dicom_listener.event_log import FIELDS, OUTCOMES, printable

LOGGER = logging.getLogger(__name__)


class StowConnectionRefusal(StrEnum):
    """Why a connection to the STOW-RS port was closed: an idle one for a new one, or the new one."""

    LIMIT = "limit"
    """So many are open."""
    ADDRESS_LIMIT = "address_limit"
    """So many of its address are open."""


@dataclass(frozen=True, slots=True)
class StowConnections:
    """What is connected to the STOW-RS port at one moment, and what was closed since the start."""

    open: int
    refused: Mapping[StowConnectionRefusal, int]


@dataclass(frozen=True, slots=True)
class StowReport:
    """Told once, when a request has ended."""

    status: int | None
    """HTTP status of the answer; None: the client was gone before there was one."""
    calling_ae_title: str
    """Name of the token or certificate; empty when it was refused."""
    address: str
    """Of the client."""
    seconds: float
    bytes: int
    """Of the instances that were stored."""
    counts: Mapping[str, int]
    """How many instances were `stored`, `duplicate`, `conflict`, `refused` (by a named error) or `failed`."""
    series_keys: frozenset[str]
    """Series of which something was stored."""
    statuses: Mapping[int, int]
    """How often each Failure Reason was given."""
    refusal: str = ""
    """Why the request was refused as a whole; worded by us, it quotes nothing of what was sent."""


def log_stow(report: StowReport) -> None:
    """Log the end of a request: no path, no query, no UID."""
    fields = stow_fields(report)
    statuses = ",".join(f"{status}:{count}" for status, count in fields["statuses"].items())
    parts = [
        f"calling={fields['calling'] or '-'}",
        f"address={report.address}",
        f"seconds={report.seconds:.1f}",
        f"bytes={report.bytes}",
        *([f"statuses={statuses}"] if statuses else []),
        *([f"{name}={count}" for name, count in sorted(report.counts.items()) if count] or ["no instances"]),
    ]
    parts += [f"refused: {report.refusal}"] if report.refusal else []
    what = "broken off" if report.status is None else str(report.status)
    LOGGER.info("%s", f"stow request {what}: {' '.join(parts)}", extra={FIELDS: fields})


def stow_fields(report: StowReport) -> dict[str, Any]:
    """The fields of a request's line."""
    return {
        "event": "stow_request",
        "http_status": report.status,
        "refusal": report.refusal or None,
        "calling": printable(report.calling_ae_title),
        "address": report.address,
        "seconds": round(report.seconds, 3),
        "bytes": report.bytes,
        "series_count": len(report.series_keys),
        **{outcome: report.counts.get(outcome, 0) for outcome in OUTCOMES},
        "statuses": {f"{status:04X}": count for status, count in sorted(report.statuses.items())},
    }
