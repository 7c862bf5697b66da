"""Series that lie in a folder rather than in the spool."""

import time
from pathlib import Path

from dicom_listener.series import ReceivedInstance, ReceivedSeries, series_key
from inference.read_headers import find_series, read_headers
from segwatch.errors import UsageError


def series_in_folder(directory: Path, number: int | None) -> ReceivedSeries:
    """Take the one series of a folder, or the `number`-th (from 1, largest first) of several.

    Raises:
        NoInstancesError: the folder holds no DICOM.
        UsageError: there are several series and no number, or no such number.
        SeriesRejectedError: a file cannot be read.
    """
    groups = find_series(directory)
    if number is None and len(groups) > 1:
        sizes = ", ".join(f"{index} ({len(group)} instances)" for index, group in enumerate(groups, 1))
        raise UsageError(f"{directory} holds {len(groups)} series: {sizes}; choose one with --series NUMBER")
    if number is not None and not 1 <= number <= len(groups):
        raise UsageError(f"--series {number}: {directory} holds {len(groups)} series, counted from 1")
    return _received(groups[(number or 1) - 1])


def _received(paths: tuple[Path, ...]) -> ReceivedSeries:
    headers = read_headers(sorted(paths))
    first = headers[0]
    instances = tuple(
        ReceivedInstance(
            sop_instance_uid=header.sop_instance_uid,
            sop_class_uid=header.sop_class_uid,
            transfer_syntax_uid=header.transfer_syntax_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            path=header.path,
            size_bytes=header.path.stat().st_size,
        )
        for header in sorted(headers, key=lambda header: header.sop_instance_uid)
    )
    return ReceivedSeries(
        key=series_key(first.study_instance_uid, first.series_instance_uid),
        version=1,
        study_instance_uid=first.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        instances=instances,
        calling_ae_title="",
        completed_at=time.time(),
    )
