"""The intake journal: where instances become durable at once, before each gets a file of its own.

A file for each instance costs its sender two waits for the disk, one for the content and one for the name, and the
kernel more work than all else. Appended to a file that was written in advance, an instance waits once, and the file
system has nothing to note. Its own file is made when the burst is over; a crash before that is made good by
`dicom_listener.spool.journal.recovery`. What finds no room goes to a file of its own at once.
"""

import time
from collections.abc import Callable
from pathlib import Path

from dicom_listener.spool.block_writer import Blocks
from dicom_listener.spool.files import disk_errors_in_words
from dicom_listener.spool.incoming import IncomingFile, Whole
from dicom_listener.spool.journal.burst import Burst
from dicom_listener.spool.journal.filer import Filer, Unfiled
from dicom_listener.spool.journal.lane_draft import LaneDraft
from dicom_listener.spool.journal.lanes import Lanes
from dicom_listener.spool.journal.to_file import Filing
from dicom_listener.stored import StoredInstance, StoreRequest

_LEAST_ROOM = 1024 * 1024
"""Of an instance whose size is not known, bytes."""


class Journal:
    """The journal of a spool, as one process uses it; for any number of threads."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        filing: Filing,
        *,
        has_room: Callable[[], bool],
        check_room: Callable[[], None],
        longest_seconds: float,
    ) -> None:
        """Use the lanes that there are.

        Args:
            root: the spool, for messages.
            folder: of the lanes.
            filing: gives instances their files.
            has_room: whether the disk has room for the files of all that the journal may hold.
            check_room: called now and then while a large instance comes, and raises when there is no more room.
            longest_seconds: how long an instance waits for its file at most, while others come.
        """
        self._filing = filing
        self._check_room = check_room
        self._errors = disk_errors_in_words(root)
        self._lanes = Lanes(folder, may_claim=has_room)
        self._burst = Burst(longest_seconds)
        self._filer = Filer(self._lanes, filing, self._burst, self._errors)
        self._blocks = Blocks()
        self._expected_bytes = _LEAST_ROOM
        """How large the next instance may be, to go by the last one; whatever writes it last is right."""

    def start(self) -> None:
        """Make ready to receive; to be called once before instances come."""
        self._filer.start()

    def receive(
        self, request: StoreRequest, on_filed: Callable[[StoredInstance], None]
    ) -> IncomingFile[LaneDraft, StoredInstance | None] | None:
        """Begin an instance whose data set comes in fragments.

        Args:
            request: what is known of it.
            on_filed: told later, from another thread, once an instance has its file for which `commit` gave None.

        Returns:
            Where its fragments go; None where the journal has no room.

        Raises:
            SpoolError: the disk failed.
        """
        if not self._burst.takes(time.monotonic()):
            return None
        with self._errors:
            lane = self._lanes.take(self._expected_bytes)
        if lane is None:
            self._burst.exhaust()
            self._expected_bytes = max(self._expected_bytes // 2, _LEAST_ROOM)
            return None
        draft = LaneDraft(
            lane,
            self._blocks,
            make_file=self._filing.make_file,
            give_back=self._filer.give_back,
            retire=self._lanes.retire,
            errors=self._errors,
        )
        try:
            return IncomingFile(
                draft,
                request,
                find_slot=self._filing.find_slot,
                place=lambda whole: self._place(whole, on_filed),
                check_room=self._check_room,
            )
        except BaseException:
            draft.close()
            raise

    def file_all(self, on_tried: Callable[[bool], None]) -> None:
        """Give every instance that is here now its file; `on_tried` is told, from another thread, whether each has one.

        One that has none then stays here, and is tried again.
        """
        self._filer.file_all(on_tried)

    def _place(self, whole: Whole[LaneDraft], on_filed: Callable[[StoredInstance], None]) -> StoredInstance | None:
        draft = whole.draft
        self._expected_bytes = max(draft.size + draft.size // 4, _LEAST_ROOM)
        if draft.file is not None:
            return self._filing.place(Whole(draft.file, whole.request, whole.slot, whole.data_set_offset))
        trailer = draft.seal()
        self._filer.add(Unfiled(draft.lane, trailer, whole.request, whole.slot, on_filed))
        return None
