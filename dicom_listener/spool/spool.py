"""The spool: received instances on disk, durable before their senders are told Success.

Layout, `ROOT/<series key>/<SHA-256 of the SOP Instance UID>.dcm`; UIDs never become paths. A file is DICOM Part 10:
our own File Meta Information and the data set exactly as it was sent. An instance gets its name in one step, when it
is whole, by a hard link from `ROOT/.incoming`. Name and content are made durable together before Success is answered;
if the power fails between, a file may come back without its end, which its File Meta Information tells.
"""

import fcntl
import logging
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import InvalidInstanceError, SpoolError, UnknownSeriesError
from dicom_listener.series import KEY_LENGTH, ReceivedInstance
from dicom_listener.spool.claims import LOCK
from dicom_listener.spool.disk_room import DiskRoom, SpoolDisk
from dicom_listener.spool.drafts import Draft, Drafts, draft_prefix
from dicom_listener.spool.files import disk_errors_in_words, is_abandoned
from dicom_listener.spool.incoming import IncomingFile
from dicom_listener.spool.journal.spool_journal import NO_JOURNAL, JournalState, SpoolJournal
from dicom_listener.spool.journal.to_file import Filing
from dicom_listener.spool.part10 import read_file_meta, read_identifiers
from dicom_listener.spool.purging import Purging
from dicom_listener.spool.shelf import CONFLICTS, Shelf, instance_path
from dicom_listener.spool.torn import refuse_torn
from dicom_listener.stored import StoredInstance, StoreOutcome, StoreRequest

LOGGER = logging.getLogger(__name__)

_KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class SpoolUsage:
    """What the spool holds, for `status`."""

    bytes: int
    instances: int
    """Conflicting ones included."""
    series: int
    oldest_at: float | None
    """When the oldest instance was received, Unix time in seconds; None when the spool is empty."""
    disk_used_share: float
    """Used share of the disk that holds the spool, 0..1."""
    refusal: str | None
    """Why instances are refused now; None while there is room."""
    journal: JournalState = NO_JOURNAL
    """What waits in it has no file yet, and is in none of the figures above."""


class Spool:
    """The durable store of received instances; safe for several threads and processes."""

    def __init__(self, root: Path, *, high_watermark: float = 0.9, minimum_free_bytes: int = 0) -> None:
        """Open or create the spool.

        Args:
            root: folder on a local file system with hard links; created when missing.
            high_watermark: used share of its disk, 0..1, from which on instances are refused.
            minimum_free_bytes: instances are also refused with less than this free.

        Raises:
            SpoolError: the folder cannot be created or written.
        """
        self.root = root
        self.high_watermark = high_watermark
        self.minimum_free_bytes = minimum_free_bytes
        self._incoming = root / ".incoming"
        away = root / ".purging"
        self._room = DiskRoom(root, high_watermark, minimum_free_bytes)
        self._shelf = Shelf(root)
        self._purging = Purging(root, away, self._shelf.forget_folder)
        self._drafts = Drafts(root, self._incoming)
        filing = Filing(self._drafts.open, self._shelf.slot, self._shelf.place)
        self.journal = SpoolJournal(root, filing, self._room)
        """In which instances may be durable before they have files."""
        self._claim: int | None = None
        with disk_errors_in_words(root):
            for folder in (root, self._incoming, away):
                folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def claim(self) -> None:
        """Become the one process that decides when the series of this spool are complete, until `release` or death.

        Raises:
            SpoolError: another process is it.
        """
        with disk_errors_in_words(self.root):
            descriptor = os.open(self.root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise SpoolError(f"another listener uses the spool {self.root}; stop it first") from error
        self._claim = descriptor

    def release(self) -> None:
        """Give up what `claim` took."""
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def warm_up(self) -> None:
        """Make ready to receive; to be called once before instances come."""
        self._shelf.warm_up()

    def store(self, request: StoreRequest, data_set: bytes | memoryview) -> StoredInstance:
        """Store an encoded data set; it is durable when this returns.

        Raises:
            InvalidInstanceError: identifiers are missing or contradict the request.
            SpoolFullError: over the watermark or out of disk.
            SpoolError: the disk failed otherwise.
        """
        with self.receive(request) as incoming:
            incoming.write(data_set)
            return incoming.commit()

    def draft(self) -> Draft:
        """Make a file ahead of its instance, for `receive`; close it when there is none.

        Raises:
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        return self._drafts.open()

    def receive(self, request: StoreRequest, draft: Draft | None = None) -> IncomingFile[Draft, StoredInstance]:
        """Begin an instance whose data set comes in fragments; takes over the draft.

        Raises:
            SpoolFullError: over the watermark or out of disk.
            SpoolError: the disk failed otherwise.
        """
        try:
            self._room.refuse_when_full()
            draft = draft or self._drafts.open()
            return IncomingFile(
                draft,
                request,
                find_slot=self._shelf.slot,
                place=self._shelf.place,
                check_room=self._room.refuse_when_full,
            )
        except BaseException:
            if draft is not None:
                draft.close()
            raise

    def disk(self) -> SpoolDisk:
        """How full the disk is; looks at no file. Raises `SpoolError`: the disk cannot be asked."""
        return self._room.disk()

    def recover(self) -> int:
        """Bring to an end what a crash left half done. What is in the journal gets its file.

        Where the disk fails at that, it stays in the journal, and whoever keeps that tries again: a disk that is full
        does not keep a listener from its start.

        Returns:
            How many half-written instances and half-purged series were removed.

        Raises:
            SpoolError: the disk failed.
        """
        n_files = self._remove_abandoned("")
        try:
            self.journal.recover(lambda _stored: None)  # `load` finds them
        except SpoolError as error:
            LOGGER.error("received instances wait in the journal of the spool: %s", error)
        with disk_errors_in_words(self.root):
            return n_files + self._purging.recover()

    def remove_drafts_of(self, process_id: int) -> int:
        """Remove the half-written instances of a process that has ended. Returns how many.

        Those of others are not looked at: one that is being made is not locked yet.

        Raises:
            SpoolError: the disk failed.
        """
        return self._remove_abandoned(draft_prefix(process_id))

    def _remove_abandoned(self, prefix: str) -> int:
        with disk_errors_in_words(self.root):
            named = [path for path in self._incoming.iterdir() if path.name.startswith(prefix)]
            files = [path for path in named if is_abandoned(path)]
            for path in files:
                path.unlink(missing_ok=True)
        return len(files)

    def series_keys(self) -> list[str]:
        """Keys of the series that have a folder, sorted."""
        with disk_errors_in_words(self.root):
            return sorted(
                entry.name for entry in os.scandir(self.root) if _KEY.fullmatch(entry.name) and entry.is_dir()
            )

    def load(self, key: str, *, without: Collection[str] = ()) -> tuple[StoredInstance, ...]:
        """Read the heads of the instances of a series, ordered by SOP Instance UID, without the conflicting ones.

        Args:
            key: the series.
            without: SOP Instance UIDs whose files are not to be read.

        Raises:
            SpoolError: the disk failed.
        """
        known = {instance_path(self.root, key, uid).name for uid in without}
        with disk_errors_in_words(self.root):
            paths = [path for path in self._folder(key).glob("*.dcm") if path.name not in known]
            found = [stored for path in paths if (stored := self._read(path, key))]
        return tuple(sorted(found, key=lambda stored: stored.instance.sop_instance_uid))

    def conflicts(self, key: str) -> list[Path]:
        """Files of instances of a series that are kept apart because another content has their UID."""
        with disk_errors_in_words(self.root):
            return sorted((self._folder(key) / CONFLICTS).glob("*.dcm"))

    def usage(self) -> SpoolUsage:
        """Count what is there; looks at every file."""
        sizes: list[int] = []
        times: list[float] = []
        keys = self.series_keys()
        with disk_errors_in_words(self.root):
            for status in (status for key in keys for status in _stats(self.root / key)):
                sizes.append(status.st_size)
                times.append(status.st_mtime)
        disk, oldest_at = self.disk(), min(times, default=None)
        return SpoolUsage(
            sum(sizes), len(sizes), len(keys), oldest_at, disk.used_share, disk.refusal, self.journal.state()
        )

    def purge(self, key: str, *, only: Collection[str] | None = None) -> bool:
        """Remove every instance of a series, also late and conflicting ones; nothing happens when there is none.

        Args:
            key: the series.
            only: SOP Instance UIDs. When another instance is there nothing is removed: one that came just now, and
                of which no row tells yet, is not lost.

        Returns:
            Whether nothing of the series is left.

        Raises:
            SpoolError: the disk failed.
        """
        self._folder(key)  # refuses what is no key
        with disk_errors_in_words(self.root):
            is_gone = self._purging.purge(key, only=only)
        if is_gone:
            self.journal.wipe()
        return is_gone

    def _folder(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise UnknownSeriesError(f"{key!r} is not a series key: {KEY_LENGTH} hexadecimal digits")
        return self.root / key

    def _read(self, path: Path, key: str) -> StoredInstance | None:
        try:
            with path.open("rb") as file:
                request = read_file_meta(file)
                identifiers = read_identifiers(file, request.transfer_syntax_uid)
                size = os.fstat(file.fileno()).st_size
                refuse_torn(file, self.root)
        except FileNotFoundError:
            return None  # purged meanwhile
        except InvalidInstanceError as error:
            LOGGER.error("skipped a damaged file of the spool: %s (%s)", path, error)
            return None
        instance = ReceivedInstance(
            sop_instance_uid=identifiers.sop_instance_uid,
            sop_class_uid=identifiers.sop_class_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            study_instance_uid=identifiers.study_instance_uid,
            series_instance_uid=identifiers.series_instance_uid,
            path=path,
            size_bytes=size,
        )
        return StoredInstance(instance, key, request.calling_ae_title, StoreOutcome.STORED)


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for path in folder.rglob("*.dcm"):
        with suppress(FileNotFoundError):  # purged meanwhile
            yield path.stat()
