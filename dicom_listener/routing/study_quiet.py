"""When is a study quiet, so that its best series can be chosen? Pure logic over events with the time passed in.

DICOM tells nobody how many series a study will have. So a study with eligible series is chosen from when nothing of it
came for a quiet time and none of its series is being received, or at the latest a maximum wait after the first series
was eligible. What comes later is chosen from anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Study:
    last_at: float
    keys: set[str] = field(default_factory=set)
    waiting_since: float | None = None


class StudyQuiet:
    """Follows the studies of which something came lately, or of which eligible series wait.

    Any clock in seconds will do; a monotonic one cannot jump. `is_receiving` says whether a series, by its key, is
    still being received.
    """

    def __init__(self, quiet_seconds: float, maximum_wait_seconds: float) -> None:
        self._quiet_seconds = quiet_seconds
        self._maximum_wait_seconds = maximum_wait_seconds
        self._studies: dict[str, _Study] = {}

    def note(self, study: str, key: str, *, now: float) -> None:
        """Something came for a series of a study."""
        found = self._found(study, now)
        found.last_at = max(found.last_at, now)
        found.keys.add(key)

    def wait(self, study: str, key: str, *, now: float) -> None:
        """A series of the study is eligible and waits."""
        found = self._found(study, now)
        found.keys.add(key)
        if found.waiting_since is None:
            found.waiting_since = now

    def due(self, now: float, is_receiving: Callable[[str], bool]) -> list[str]:
        """Studies with waiting series that are to be chosen from at `now`, the longest due first."""
        times = [
            (at, name) for name, study in self._studies.items() if (at := self._at(study, is_receiving)) is not None
        ]
        return [name for at, name in sorted(times) if at <= now]

    def next_deadline(self, is_receiving: Callable[[str], bool]) -> float | None:
        """When `due` will name a study if nothing more comes; None when none waits."""
        times = [self._at(study, is_receiving) for study in self._studies.values()]
        return min((at for at in times if at is not None), default=None)

    def chosen(self, study: str) -> None:
        """The study was chosen from: nothing of it waits."""
        if study in self._studies:
            self._studies[study].waiting_since = None

    def forget_idle(self, now: float, is_receiving: Callable[[str], bool]) -> None:
        """Stop following studies of which nothing waits and for which nothing came during the quiet time."""
        idle = [
            name
            for name, study in self._studies.items()
            if study.waiting_since is None
            and study.last_at + self._quiet_seconds <= now
            and not any(map(is_receiving, study.keys))
        ]
        for name in idle:
            del self._studies[name]

    def _found(self, study: str, now: float) -> _Study:
        found = self._studies.get(study)
        if found is None:
            found = self._studies[study] = _Study(now)
        return found

    def _at(self, study: _Study, is_receiving: Callable[[str], bool]) -> float | None:
        if study.waiting_since is None:
            return None
        latest = study.waiting_since + self._maximum_wait_seconds
        return latest if any(map(is_receiving, study.keys)) else min(study.last_at + self._quiet_seconds, latest)
