"""The log on standard error: one line an event, as text or as JSON.

Nothing that identifies a patient is ever handed to a logger; the series key of `dicom_listener.series` names a series.
"""

import json
import logging
import sys
import time
import warnings
from typing import Any, Literal

from dicom_listener.event_log import FIELDS

LIBRARY_LEVELS = {
    # pynetdicom logs the identifiers of data sets at DEBUG and INFO, kafka-python and sqlalchemy the payloads;
    # kafka-python also fills a log several times a second while a broker is away, which our own lines tell once a try
    "pynetdicom": logging.CRITICAL,
    "pydicom": logging.ERROR,
    "kafka": logging.CRITICAL,
    "sqlalchemy": logging.WARNING,
    # what a client sent wrongly, with paths and header values; a request's line is `stow.report`'s
    "uvicorn": logging.CRITICAL,
    "python_multipart": logging.CRITICAL,
    "asyncio": logging.WARNING,
    "highdicom": logging.ERROR,
    "PIL": logging.WARNING,
}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, process, and the fields that an event was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line: dict[str, Any] = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        # nothing else of the record: what a library attached to it may be anything
        line |= {name: value for name, value in getattr(record, FIELDS, {}).items() if name not in line}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """Time (UTC), level, room and message, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line = f"{_utc(record.created)} {record.levelname:<7} {record.name}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _without_library_traceback(record: logging.LogRecord) -> bool:
    """Keep what a library says, drop its traceback: whoever called it says what it means, and frames may quote data."""
    if record.name.partition(".")[0] in LIBRARY_LEVELS:
        record.exc_info = record.exc_text = None
    return True


def start_logging(level: str, style: Literal["text", "json"]) -> None:
    """Send this process's log to standard error, and keep libraries from logging what they see."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(_without_library_traceback)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quieten_libraries()


def quieten_libraries() -> None:
    """Keep libraries from showing what they see: for a process without a log of its own, too."""
    # these quote values of data sets, and Python remembers each text for ever; what matters is told by our own lines
    warnings.filterwarnings("ignore", module=r"(pydicom|pynetdicom|highdicom)(\.|$)")
    for name, library_level in LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(library_level)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
