"""The listener is killed between a storage commitment request and its report."""

import sys
from pathlib import Path

from pydicom.uid import CTImageStorage

from tests.peers.ports import free_ports
from tests.peers.processes import ServerProcess
from tests.unit.dicom_listener.committing import Scu, ask
from tests.unit.dicom_listener.instances import data_set, uid
from tests.unit.dicom_listener.listening import send

CT = str(CTImageStorage)
LISTEN = """
import sys, threading
from pathlib import Path
from dicom_listener import state
from dicom_listener.commitment.commitment import RetryPolicy
from dicom_listener.commitment.commitment_reporter import CommitmentReporter
from dicom_listener.commitment.commitment_service import CommitmentService
from dicom_listener.peers import Peer
from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.spool.spool import Spool
from segwatch.database import make_engine

folder, port, call_back_port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
engine = make_engine(f"sqlite:///{folder / 'state.sqlite'}")
state.metadata.create_all(engine)
spool = Spool(folder / "spool", high_watermark=1.1)
reporter = CommitmentReporter(
    spool, engine, peers=[Peer("PACS", (), "127.0.0.1", call_back_port)], sop_classes=ScpSettings().sop_classes,
    retry=RetryPolicy(first_seconds=0.1), quiet_seconds=3600.0,
)
reporter.start()
services = [CommitmentService(engine, reporter).dimse_service()]
StorageScp(
    spool, ae_title="SEGWATCH", host="127.0.0.1", port=port, on_stored=lambda stored: None, services=services
).start()
threading.Event().wait()
"""


def test_a_request_that_was_answered_success_is_reported_by_the_next_process(tmp_path: Path) -> None:
    port, call_back_port = free_ports(), free_ports()
    command = [sys.executable, "-c", LISTEN, str(tmp_path), str(port), str(call_back_port)]
    listener = ServerProcess(command, log=tmp_path / "listener.log")
    sender = Scu(port)
    try:
        listener.start_and_wait_for_port(port)
        association = sender.associate()
        assert send(association, data_set(1)).Status == 0x0000
        assert ask(association, "1.2.3", (CT, uid(1)), (CT, uid(2))) == 0x0000
        listener.kill()  # the report would come on this association once it was quiet for an hour
        assert sender.reports.empty()
        sender.listen(call_back_port)
        listener.start_and_wait_for_port(port)
        report = sender.next_report()
    finally:
        listener.close()
        sender.close()
    assert (report.transaction_uid, report.on_own_association) == ("1.2.3", False)
    assert (report.committed, report.failed) == ([(CT, uid(1))], [(CT, uid(2), 0x0112)])
    assert "Traceback" not in listener.output()
