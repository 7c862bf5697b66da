"""Sends a folder of DICOM files, for `segwatch send` and the demo."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from reporter.delivery import DicomSender
from reporter.errors import DeliveryRefusedError
from reporter.part10 import read_part10

Progress = Callable[[int, int], None]
"""Called with (files tried, files in all)."""


@dataclass(frozen=True, slots=True)
class SendReport:
    """What became of the files of a folder."""

    stored: int
    warnings: int
    """Of those stored."""
    failed: int
    skipped: int
    """Files that are no DICOM."""
    reasons: tuple[tuple[str, int], ...]
    """Each reason of a failure or warning and how often, most frequent first."""


def find_dicom_files(directory: Path) -> tuple[list[Path], int]:
    """DICOM files at any depth in name order, and how many other files there are; a DICOMDIR is one of the others."""
    found: list[Path] = []
    others = 0
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        try:
            is_directory = read_part10(path).sop_class_uid == "1.2.840.10008.1.3.10"
        except DeliveryRefusedError:
            others += 1
            continue
        if is_directory:
            others += 1
        else:
            found.append(path)
    return found, others


def send_files(
    sender: DicomSender, paths: Sequence[Path], *, skipped: int = 0, progress: Progress | None = None
) -> SendReport:
    """Send files in order; failures are counted, not raised."""
    stored = warnings = failed = 0
    reasons: Counter[str] = Counter()
    for done, outcome in enumerate(sender.send(paths), start=1):
        if outcome.error is not None:
            failed += 1
            reasons[str(outcome.error)] += 1
        else:
            stored += 1
        if outcome.warning:
            warnings += 1
            reasons[outcome.warning] += 1
        if progress is not None:
            progress(done, len(paths))
    return SendReport(stored, warnings, failed, skipped, tuple(reasons.most_common()))


def send_folder(sender: DicomSender, directory: Path, *, progress: Progress | None = None) -> SendReport:
    """Send every DICOM file of a folder."""
    paths, others = find_dicom_files(directory)
    return send_files(sender, paths, skipped=others, progress=progress)
