"""A row of the listener as the status is derived from."""

from dicom_listener.state import SeriesRow, SeriesState


def row(key: str) -> SeriesRow:
    return SeriesRow(
        key, 1, "1.2", "1.3", "PACS", SeriesState.COMPLETE, 9, 0, 0, 9, 0.0, 1.0, 2.0, None, None, None, None
    )
