"""A listener for tests, and a sender made of pynetdicom."""

import queue
import threading
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.spool.journal.lanes import LANE_BYTES, lane_paths
from dicom_listener.spool.journal.spool_journal import FOLDER
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE

LANES = 2
"""Of the journal in tests: few, for each listener makes its own."""
INTAKES: dict[str, dict[str, Any]] = {
    "journal": {"fast_intake": True, "receivers": 1, "journal_bytes": LANES * LANE_BYTES},
    "receivers": {"fast_intake": True, "receivers": 1},
    "fast": {"fast_intake": True, "receivers": 0},
    "pynetdicom": {"fast_intake": False},
}
"""The ways that instances take, as settings by name: through the journal of a process of its own, at once into a file
by such a process or by the association's thread, or through pynetdicom."""
LOOPBACK = "127.0.0.1"
PATIENCE = 20.0


class Listener:
    """A provider on a free port, and the instances that it told about."""

    def __init__(self, root: Path, settings: ScpSettings | None = None) -> None:
        self.stored: queue.Queue[StoredInstance] = queue.Queue()
        self.spool = Spool(root, high_watermark=1.1)
        self.scp = StorageScp(
            self.spool, ae_title="SEGWATCH", host=LOOPBACK, port=0, on_stored=self.stored.put, settings=settings
        )
        self.scp.start()
        wait_for_journal(self.scp)

    def told(self) -> list[StoredInstance]:
        """What it told since the last call, of all instances that were acknowledged until now."""
        let_file(self.scp)
        return [self.stored.get_nowait() for _ in range(self.stored.qsize())]

    def associate(self, *contexts: tuple[str, str], called: str = "SEGWATCH", calling: str = "PACS") -> Association:
        ae = AE(calling)
        for abstract, transfer in contexts or ((CTImageStorage, EXPLICIT_LITTLE),):
            ae.add_requested_context(abstract, transfer)
        return ae.associate(LOOPBACK, self.scp.port, ae_title=called)


def wait_for_journal(scp: StorageScp) -> None:
    """Return when the lanes of its journal are made, if it has one: what comes before does not go there."""
    if has_journal(scp):
        folder = scp._service.spool.root / FOLDER
        wait_until(lambda: len(lane_paths(folder)) == LANES, "the lanes of the journal are made", interval=0.005)


def let_file(scp: StorageScp) -> None:
    """Return when what is in its journal has files and was told; without one, that was before its senders were."""
    if has_journal(scp) and scp.is_serving:
        scp.file_all()


def has_journal(scp: StorageScp) -> bool:
    settings = scp._settings
    return settings.fast_intake and settings.receivers > 0 and settings.journal_bytes > 0


def send(association: Association, dataset: Dataset, syntax: str = EXPLICIT_LITTLE) -> Any:
    assert association.is_established
    dataset.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return association.send_c_store(dataset)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("pytest")}
