"""Storage commitment requests as they come: N-ACTION of the Push Model as SCP (PS3.4 section J.3.2).

Success is answered once the request is durable. What it asks is answered later, by an N-EVENT-REPORT.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_context, evt
from sqlalchemy import Engine

from dicom_listener.commitment import commitment_table
from dicom_listener.commitment.commitment_message import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    TRANSFER_SYNTAXES,
    read_request,
)
from dicom_listener.commitment.commitment_reporter import CommitmentReporter
from dicom_listener.errors import (
    CommitmentConflictError,
    CommitmentLimitError,
    InvalidCommitmentError,
    ListenerError,
    in_short,
)
from dicom_listener.event_log import printable
from dicom_listener.network.dimse_services import DimseService

LOGGER = logging.getLogger(__name__)

SUCCESS = 0x0000
REQUEST_STORAGE_COMMITMENT = 1
"""The one Action Type ID (PS3.4 table J.3-1)."""
NO_SUCH_INSTANCE = (0x0112, "Not the Storage Commitment SOP Instance")
NO_SUCH_CLASS = (0x0118, "Not the Storage Commitment Push Model")
NO_SUCH_ACTION = (0x0123, "Action Type ID is not 1")
PROCESSING_FAILURE = (0x0110, "Segwatch failed to keep the request")

STATUS_OF_ERROR: tuple[tuple[type[ListenerError], int, str], ...] = (
    # PS3.7 section 10.1.4.1.10
    (InvalidCommitmentError, 0x0115, "Transaction UID or references missing or malformed"),
    (CommitmentConflictError, 0x0115, "Transaction UID was used for other instances"),
    (CommitmentLimitError, 0x0213, "Too many instances or requests, try again later"),
)
"""DIMSE status and Error Comment (at most 64 characters) for what taking a request may raise."""


@dataclass(frozen=True, slots=True)
class CommitmentService:
    """Takes storage commitment requests; for any number of threads."""

    engine: Engine
    """Of the state; its tables exist."""
    reporter: CommitmentReporter
    maximum_references: int = 10_000
    """Of one request."""
    maximum_pending: int = 1_000
    """Requests that wait for their report at once."""
    clock: Callable[[], float] = field(default=time.time)
    """Unix time for the rows, seconds."""

    def dimse_service(self) -> DimseService:
        """What `StorageScp` must know."""
        context = build_context(STORAGE_COMMITMENT_PUSH_MODEL, list(TRANSFER_SYNTAXES))
        return DimseService((context,), ((evt.EVT_N_ACTION, self._on_n_action),))

    def _on_n_action(self, event: Any) -> tuple[int | Dataset, None]:  # noqa: ANN401 (pynetdicom ships no types)
        request = event.request
        if request.RequestedSOPClassUID != STORAGE_COMMITMENT_PUSH_MODEL:
            return _failure(*NO_SUCH_CLASS)
        if request.RequestedSOPInstanceUID != STORAGE_COMMITMENT_INSTANCE:
            return _failure(*NO_SUCH_INSTANCE)
        if request.ActionTypeID != REQUEST_STORAGE_COMMITMENT:
            return _failure(*NO_SUCH_ACTION)
        try:
            self._take(event)
        except ListenerError as error:
            LOGGER.warning("storage commitment request refused: %s", error)
            rows = ((status, comment) for kind, status, comment in STATUS_OF_ERROR if isinstance(error, kind))
            return _failure(*next(rows, PROCESSING_FAILURE))
        except Exception as error:  # noqa: BLE001 (last resort: the association goes on, the sender is told)
            LOGGER.error("storage commitment request not kept: %s", in_short(error))
            return _failure(*PROCESSING_FAILURE)
        return SUCCESS, None

    def _take(self, event: Any) -> None:  # noqa: ANN401 (pynetdicom ships no types)
        requestor = event.assoc.requestor
        request = read_request(
            event.request.ActionInformation,
            event.context.transfer_syntax,
            calling_ae_title=requestor.ae_title.strip(),
            called_ae_title=requestor.primitive.called_ae_title.strip(),
            maximum_references=self.maximum_references,
        )
        now = self.clock()
        with self.engine.begin() as connection:
            key = commitment_table.accept(
                connection,
                request,
                now=now,
                next_try_at=now + self.reporter.first_wait_seconds,
                maximum_pending=self.maximum_pending,
            )
        LOGGER.info(
            "storage commitment requested: request=%s calling=%s instances=%d",
            key,
            printable(request.calling_ae_title),
            len(request.references),
        )
        self.reporter.notice(key, event.assoc, event.context)


def _failure(status: int, comment: str) -> tuple[Dataset, None]:
    failure = Dataset()
    failure.Status, failure.ErrorComment = status, comment
    return failure, None
