"""`SegIdentity`: what names one result beside its pixels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegIdentity:
    """Everything about a result that neither the source nor the segmentation says."""

    software_version: str
    """Of Segwatch."""
    series_version: int = 1
    """Version of the source series, counted from 1."""
    predecessor_series_uid: str | None = None
    """Series Instance UID of the result for the version before, if there is one."""
    note: str = ""
    """Added to the Series Description, and part of the UIDs: a result of another kind for the same series."""
    device_serial_number: str | None = None
    """Device Serial Number; by default the first 16 digits of the model's hash."""
    created_at: float | None = None
    """Unix time in seconds, shown in local time as the result's dates and times; None takes the time of the build."""
