"""Gives the instances of the intake journal their files, in a thread of its own, once a burst is over."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from dicom_listener.errors import SpoolError, SpoolFullError, in_short
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.incoming import Slot
from dicom_listener.spool.journal.burst import Burst
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import Trailer
from dicom_listener.spool.journal.lanes import Lanes
from dicom_listener.spool.journal.to_file import DamagedRecordError, Filing
from dicom_listener.stored import StoredInstance, StoreRequest

LOGGER = logging.getLogger(__name__)

TROUBLE_SECONDS = 2.0
"""Wait after the disk failed."""
_AT_ONCE = 32
"""Instances after which the lanes are told."""


@dataclass(frozen=True, slots=True)
class Unfiled:
    """An instance that is durable in a lane, and has no file yet."""

    lane: Lane
    trailer: Trailer
    request: StoreRequest
    slot: Slot
    on_filed: Callable[[StoredInstance], None]
    """Told once it has its file."""
    since: float = field(default_factory=time.monotonic)
    """When it became durable; monotonic clock, seconds."""


class Filer:
    """A queue of instances and the thread that files them; for any number of threads."""

    def __init__(self, lanes: Lanes, filing: Filing, burst: Burst, errors: disk_errors_in_words) -> None:
        """Make a filer that does nothing before `start`.

        Args:
            lanes: where instances are.
            filing: gives them their files.
            burst: says when.
            errors: translates what the disk says.
        """
        self._lanes = lanes
        self._burst = burst
        self._filing = filing
        self._errors = errors
        self._unfiled: deque[Unfiled] = deque()
        self._hurried: list[Callable[[bool], None]] = []
        self._trouble = ""
        """What was told last of what failed; empty once nothing waits."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to file; the thread ends with the process."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="spool-filer", daemon=True)
            self._thread.start()

    def add(self, one: Unfiled) -> None:
        """An instance is durable in its lane."""
        self._lanes.add_unfiled(one.lane)
        with self._changed:
            self._unfiled.append(one)
            self._burst.note(one.since)
            if len(self._unfiled) == 1:  # otherwise it looks by itself in time
                self._changed.notify()

    def give_back(self, lane: Lane) -> None:
        """Nothing is written to a lane now."""
        self._lanes.give_back(lane)
        if not self._unfiled:
            with self._changed:
                self._changed.notify()

    def file_all(self, on_tried: Callable[[bool], None]) -> None:
        """Wait for no burst to end; `on_tried` is told whether all that is here now has its file, once that was tried.

        What has none is tried again by itself.
        """
        with self._changed:
            self._hurried.append(on_tried)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            batch, hurried = self._wait_for_batch()
            is_all = self._try(batch)
            for on_tried in hurried:
                on_tried(is_all)
            if not is_all:
                time.sleep(TROUBLE_SECONDS)

    def _try(self, batch: list[Unfiled]) -> bool:
        """File a batch and let go of the lanes that nothing is in any more; whether that succeeded."""
        try:
            with self._errors:
                self._file(batch)
                for lane in self._lanes.idle():
                    self._lanes.leave(lane)
        except Exception as error:  # noqa: BLE001 (last resort: it is tried again, nothing is lost)
            self._tell(error)
            return False
        if not self._unfiled:
            self._trouble = ""
        return True

    def _tell(self, error: Exception) -> None:
        text = str(error) if isinstance(error, SpoolError) else in_short(error)
        if text != self._trouble:  # told once
            LOGGER.error("received instances wait in the journal of the spool, which is tried again: %s", text)
        self._trouble = text

    def _wait_for_batch(self) -> tuple[list[Unfiled], list[Callable[[bool], None]]]:
        """What is to be filed now, and who is to be told when that was tried."""
        with self._changed:
            while True:
                if self._hurried:
                    hurried, self._hurried = self._hurried, []
                    return list(self._unfiled), hurried
                if not self._unfiled:
                    if self._lanes.idle():
                        return [], []
                    self._changed.wait()
                    continue
                now = time.monotonic()
                due_at = self._burst.due_at(self._unfiled[0].since)
                if now >= due_at:
                    return [self._unfiled[i] for i in range(min(_AT_ONCE, len(self._unfiled)))], []
                self._changed.wait(due_at - now)

    def _file(self, batch: list[Unfiled]) -> None:
        """File a batch, the longest waiting first; what was filed is no longer in the queue when this raises.

        One that cannot be filed goes behind all others: they are of other patients. Where the disk is full, all wait.
        """
        failed: SpoolError | None = None
        filed: dict[Lane, list[Unfiled]] = {}
        try:
            for one in batch:
                try:
                    self._file_one(one)
                except SpoolFullError:
                    raise
                except SpoolError as error:
                    failed = failed or error
                    self._unfiled.append(one)
                else:
                    filed.setdefault(one.lane, []).append(one)
                self._unfiled.popleft()
        finally:
            for lane, those in filed.items():
                self._lanes.filed(lane, len(those))
            for lane, those in filed.items():
                self._lanes.mark_filed(lane, self._filed_to(lane, max(one.trailer.end for one in those)))
        if failed is not None:
            raise failed

    def _filed_to(self, lane: Lane, end: int) -> int:
        """Up to where everything in a lane has a file, when what was filed last ends at `end`."""
        with self._changed:
            return min([end, *(one.trailer.start for one in self._unfiled if one.lane is lane)])

    def _file_one(self, one: Unfiled) -> None:
        try:
            with self._errors:
                one.on_filed(self._filing.file(one.lane, one.trailer, (one.request, one.slot)))
        except DamagedRecordError as error:
            LOGGER.error("an acknowledged instance cannot be read any more, its lane is kept: %s", error)
            self._lanes.set_aside(one.lane)
