"""`Segmenter`: the protocol behind which an inference engine stands."""

from collections.abc import Callable
from typing import Protocol

from inference.segmentation import ModelIdentity, Segmentation
from inference.volume import Volume

Progress = Callable[[int, int], None]
"""Called with (patches done, patches in all)."""


class Segmenter(Protocol):
    """Labels the voxels of a volume."""

    @property
    def model(self) -> ModelIdentity:
        """The model behind it."""
        ...

    @property
    def pixel_settings(self) -> str:
        """Canonical JSON of every setting that changes pixels; names a result before it is made."""
        ...

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label the volume.

        Raises:
            ProviderError: an execution provider failed while running.
        """
        ...
