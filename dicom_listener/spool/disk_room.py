"""How full the disk of the spool may become: instances are refused before it is full."""

from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import SpoolFullError
from dicom_listener.spool.files import disk_errors_in_words, used_share


@dataclass(frozen=True, slots=True)
class SpoolDisk:
    """The disk that holds the spool."""

    used_share: float
    """0..1, as `df` counts it."""
    free_bytes: int
    refusal: str | None
    """Why instances are refused now; None while there is room."""


class DiskRoom:
    """The disk of one spool, and its limits."""

    def __init__(self, root: Path, high_watermark: float, minimum_free_bytes: int) -> None:
        """See `Spool`."""
        self._root = root
        self._high_watermark = high_watermark
        self._minimum_free_bytes = minimum_free_bytes
        self._errors = disk_errors_in_words(root)

    def disk(self, further_bytes: int = 0) -> SpoolDisk:
        """How full it is, or would be with so many bytes more.

        Raises:
            SpoolError: the disk cannot be asked.
        """
        with self._errors:
            share, free = used_share(self._root)
        if further_bytes:
            share += further_bytes * (1 - share) / max(free, 1)  # what is free is `1 - share` of the disk
            free -= further_bytes
        return SpoolDisk(share, free, self._refusal(share, free))

    def refuse_when_full(self) -> None:
        """Raise `SpoolFullError` when no instance is to be received now, `SpoolError` when the disk cannot be asked."""
        refusal = self.disk().refusal
        if refusal is not None:
            raise SpoolFullError(refusal)

    def _refusal(self, share: float, free: int) -> str | None:
        if share >= self._high_watermark:
            return f"the disk of the spool {self._root} is {share:.0%} full (high_watermark {self._high_watermark:.0%})"
        if free < self._minimum_free_bytes:
            limit = f"minimum_free_bytes {self._minimum_free_bytes}"
            return f"the disk of the spool {self._root} has {free} bytes left ({limit})"
        return None
