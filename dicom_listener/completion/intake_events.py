"""What the intake tells, and what it is told besides instances."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dicom_listener.series_report import SeriesReport


@dataclass(frozen=True, slots=True)
class OpenSeries:
    """The series that are being received at one moment."""

    count: int
    oldest_at: float | None
    """When the first instance of the one that waits longest came, Unix time in seconds; None when there is none."""


@dataclass(frozen=True, slots=True)
class IntakeProgress:
    """How far the intake is, for the metrics."""

    open_series: OpenSeries
    backlog: int
    """Events that it has not taken in yet, one for each durable instance: some for a moment, many while the state
    cannot be written."""


class IntakeEventKind(StrEnum):
    """What the intake tells its observer."""

    COMPLETE = "complete"
    REOPENED = "reopened"
    """Instances came after the series was complete: its next version is being received."""
    LATE = "late"
    """An instance came for a version that a person rejected; it waits for a person too."""
    CONFLICT = "conflict"
    POSTPONED = "postponed"
    """A complete series could not be handed over; it is tried again."""


@dataclass(frozen=True, slots=True)
class IntakeEvent:
    """Something happened to a series; told after it was committed."""

    kind: IntakeEventKind
    series_key: str
    version: int
    series: SeriesReport | None = None
    """With COMPLETE."""


@dataclass(frozen=True, slots=True)
class CountQuestion:
    """How many instances does a series have? For its sender."""

    series_key: str
    version: int
    ae_title: str
    """Of the sender."""
    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class CountAnswer:
    """How many instances the sender has."""

    series_key: str
    version: int
    count: int


class Asker(Protocol):
    """Asks senders how many instances a series has; nothing here waits for it."""

    def may_ask(self, ae_title: str) -> bool:
        """Whether this sender can be asked."""
        ...

    def start(self, tell: Callable[[CountAnswer], None]) -> None:
        """Begin; `tell` gets the answers, from another thread."""
        ...

    def ask(self, question: CountQuestion) -> None:
        """Take a question and return at once; it may stay without an answer."""
        ...

    def stop(self) -> None:
        """End; a question that is under way is given up."""
        ...
