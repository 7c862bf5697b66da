"""Instances that a receiver left in the intake journal when it ended."""

import queue
from pathlib import Path

from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.spool.journal.lanes import LANE_BYTES
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import instance
from tests.unit.dicom_listener.listening import LOOPBACK


def leave_in_journal(spool: Spool, number: int) -> None:
    """Acknowledge an instance, and end before it has its file."""
    request, data_set = instance(number)
    journal = spool.journal.open(1.0)
    incoming = journal.receive(request, lambda _stored: None)
    assert incoming is not None
    with incoming:
        incoming.write(data_set)
        assert incoming.commit() is None
        incoming._draft.lane.close()


def test_who_wants_all_to_have_files_need_not_know_that_a_receiver_ended(tmp_path: Path) -> None:
    stored: queue.Queue[StoredInstance] = queue.Queue()
    settings = ScpSettings(receivers=1, journal_bytes=LANE_BYTES)
    spool = Spool(tmp_path / "spool", high_watermark=0.9999)
    scp = StorageScp(spool, ae_title="SEGWATCH", host=LOOPBACK, port=0, on_stored=stored.put, settings=settings)
    scp.start()
    try:
        wait_until(lambda: spool.journal.exists, "there is a lane")
        leave_in_journal(Spool(spool.root, high_watermark=0.9999), 1)

        scp.file_all()

        one = stored.get(block=False)
        assert one.instance.path.exists()
        assert spool.journal.is_filed
    finally:
        scp.stop()
