"""Where the results of a series lie on disk, and where its record goes."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from segwatch.settings import SiteSettings


def results_root(settings: SiteSettings) -> Path:
    """Folder of the results."""
    return settings.site.data_dir / "results"


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """The folder of one run: ROOT/<series key>/<version>-<generation>."""

    root: Path
    series_key: str
    series_version: int
    generation: int

    @classmethod
    def newest(cls, root: Path, series_key: str, series_version: int) -> Self | None:
        """That of the newest run of a version that has a result; None where there is none, or not any more."""
        names = (path.name for path in (root / series_key).glob(f"{series_version}-*"))
        runs = sorted(int(name.rpartition("-")[2]) for name in names)
        folders = (cls(root, series_key, series_version, generation) for generation in reversed(runs))
        return next((folder for folder in folders if folder.seg.is_file()), None)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.root / self.series_key / f"{self.series_version}-{self.generation}"

    @property
    def checkpoint(self) -> Path:
        """The segmentation of a run that has not ended yet."""
        return self.path / "segmentation.npz"

    @property
    def seg(self) -> Path:
        """The DICOM SEG."""
        return self.path / "seg.dcm"

    @property
    def preview(self) -> Path:
        """A picture of the result for people at the site."""
        return self.path / "preview.png"

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint once the results are durable."""
        self.checkpoint.unlink(missing_ok=True)


def remove_results(root: Path, series_key: str) -> None:
    """Remove every result of a series; nothing happens when there is none."""
    shutil.rmtree(root / series_key, ignore_errors=True)
