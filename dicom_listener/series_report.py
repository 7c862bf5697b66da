"""What is told of a series when it is complete, for its log line and the metrics: no identifiers but its key."""

from dataclasses import dataclass

from dicom_listener.ending import Ending


@dataclass(frozen=True, slots=True)
class SeriesReport:
    """One version of one series, handed over."""

    key: str
    """See `dicom_listener.series.series_key`."""
    version: int
    calling_ae_title: str
    """Who sent its first instance."""
    instances: int
    conflicts: int
    """Instances that are kept apart because another content has their SOP Instance UID."""
    bytes: int
    seconds: float
    """From its first instance to the hand-over."""
    expected: int | None = None
    """How many instances it was said to have; None when nobody said."""
    ended_by: Ending | None = None
    """What ended the wait for further instances."""

    @property
    def is_short(self) -> bool:
        """Whether it has fewer instances than it was said to have."""
        return self.expected is not None and self.instances < self.expected
