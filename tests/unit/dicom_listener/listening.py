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
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE

INTAKES: dict[str, dict[str, Any]] = {
    "receivers": {"fast_intake": True, "receivers": 1},
    "fast": {"fast_intake": True, "receivers": 0},
    "pynetdicom": {"fast_intake": False},
}
"""The ways that instances take: a process of its own, the association's thread, or pynetdicom. As settings by name."""
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

    def associate(self, *contexts: tuple[str, str], called: str = "SEGWATCH", calling: str = "PACS") -> Association:
        ae = AE(calling)
        for abstract, transfer in contexts or ((CTImageStorage, EXPLICIT_LITTLE),):
            ae.add_requested_context(abstract, transfer)
        return ae.associate(LOOPBACK, self.scp.port, ae_title=called)


def send(association: Association, dataset: Dataset, syntax: str = EXPLICIT_LITTLE) -> Any:
    assert association.is_established
    dataset.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return association.send_c_store(dataset)


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("pytest")}
