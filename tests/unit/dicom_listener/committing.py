"""A listener with storage commitment, and a sender made of pynetdicom that asks for it and takes reports."""

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from sqlalchemy import Engine

from dicom_listener import state
from dicom_listener.commitment.commitment import RetryPolicy
from dicom_listener.commitment.commitment_reporter import CommitmentReporter
from dicom_listener.commitment.commitment_service import CommitmentService
from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.peers import Peer
from dicom_listener.requesting_entity import LoopCheckpoint
from dicom_listener.spool.spool import Spool
from segwatch.database import make_engine
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE
from tests.unit.dicom_listener.listening import wait_for_journal

LOOPBACK = "127.0.0.1"
PATIENCE = 20.0
PUSH_MODEL = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"


class CommittingListener:
    """A provider on a free port with everything behind it; started again over the same folder, it is the same."""

    def __init__(
        self,
        root: Path,
        *,
        intake: Mapping[str, Any] | None = None,
        peers: Sequence[Peer] = (),
        clock: Any = None,
        maximum_references: int = 10_000,
        maximum_pending: int = 1_000,
        **reporting: Any,
    ) -> None:
        self.spool = Spool(root / "spool", high_watermark=1.1)
        self.engine: Engine = make_engine(f"sqlite:///{root / 'state.sqlite'}")
        state.metadata.create_all(self.engine)
        clocks = {} if clock is None else {"clock": clock}
        reporting = {"retry": RetryPolicy(first_seconds=0.05, longest_seconds=0.2), **reporting}
        self.reporter = CommitmentReporter(
            self.spool,
            self.engine,
            peers=peers,
            sop_classes=ScpSettings().sop_classes,
            **{
                "quiet_seconds": 0.1,
                "answer_seconds": 5.0,
                "file_all": self._file_all,
                **reporting,
                **clocks,
            },
        )
        service = CommitmentService(
            self.engine,
            self.reporter,
            maximum_references=maximum_references,
            maximum_pending=maximum_pending,
            **clocks,
        )
        self.scp = StorageScp(
            self.spool,
            ae_title="SEGWATCH",
            host=LOOPBACK,
            port=0,
            on_stored=lambda _stored: None,
            settings=ScpSettings(**(intake or {})),
            services=[service.dimse_service()],
        )

    def _file_all(self) -> None:
        self.scp.file_all()

    def start(self) -> None:
        self.reporter.start()
        self.scp.start()
        wait_for_journal(self.scp)

    def stop(self) -> None:
        self.scp.stop()
        self.reporter.stop()
        self.engine.dispose()


@dataclass(frozen=True)
class Report:
    """What an N-EVENT-REPORT said, and on which side's association it came."""

    event_type: int
    transaction_uid: str
    committed: list[tuple[str, str]]
    failed: list[tuple[str, str, int]]
    on_own_association: bool
    calling: str
    """AE title of who requested the association."""


class Scu:
    """A sender with an AE title, and a port for reports on new associations."""

    def __init__(self, port: int, *, calling: str = "PACS", called: str = "SEGWATCH", answer: int = 0x0000) -> None:
        self.reports: queue.Queue[Report] = queue.Queue()
        self.answers = [answer]
        """The last one is given for ever."""
        self.calling = calling
        self._called, self._port = called, port
        self._server: Any = None

    def associate(self, *, answers: bool = True) -> Association:
        ae = AE(self.calling)
        ae.add_requested_context(CTImageStorage, EXPLICIT_LITTLE)
        ae.add_requested_context(PUSH_MODEL, [EXPLICIT_LITTLE, ImplicitVRLittleEndian])
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._on_report)] if answers else []
        association = ae.associate(LOOPBACK, self._port, ae_title=self._called, evt_handlers=handlers)
        assert association.is_established
        association._reactor_checkpoint = LoopCheckpoint(association)
        return association

    def listen(self, port: int, *, scp_role: bool | None = True) -> None:
        """Take reports on associations that the listener requests; `scp_role` None ignores its role selection."""
        ae = AE(self.calling)
        ae.add_supported_context(PUSH_MODEL, scu_role=None if scp_role is None else False, scp_role=scp_role)
        ae.require_called_aet = True
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, self._on_report)]
        self._server = ae.start_server((LOOPBACK, port), block=False, evt_handlers=handlers)

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()

    def next_report(self) -> Report:
        return self.reports.get(timeout=PATIENCE)

    def _on_report(self, event: Any) -> tuple[int, None]:
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        information = event.event_information
        self.reports.put(
            Report(
                event_type=event.request.EventTypeID,
                transaction_uid=information.TransactionUID,
                committed=[
                    (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
                    for item in information.get("ReferencedSOPSequence", ())
                ],
                failed=[
                    (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.FailureReason)
                    for item in information.get("FailedSOPSequence", ())
                ],
                on_own_association=event.assoc.is_requestor,
                calling=event.assoc.requestor.ae_title,
            )
        )
        return status, None


def action_information(transaction: str | None, *references: tuple[str, str]) -> Dataset:
    dataset = Dataset()
    if transaction is not None:
        dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = []
    for sop_class, instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        dataset.ReferencedSOPSequence.append(item)
    return dataset


def ask(association: Association, transaction: str | None, *references: tuple[str, str]) -> int:
    """Request commitment; returns the status."""
    information = action_information(transaction, *references)
    answer, _ = association.send_n_action(information, 1, PUSH_MODEL, WELL_KNOWN)
    return int(answer.Status)
