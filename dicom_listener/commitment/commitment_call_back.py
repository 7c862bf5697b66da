"""Reports on a new association to the peer (PS3.4 section J.3.3)."""

from collections.abc import Generator, Mapping

from pynetdicom import build_context, build_role

from dicom_listener.commitment.commitment import CommitmentReport
from dicom_listener.commitment.commitment_message import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    TRANSFER_SYNTAXES,
    event_information,
)
from dicom_listener.completion.call_back import called_back
from dicom_listener.errors import CallBackError
from dicom_listener.peers import Peer


def report_on_new_association(
    peer: Peer, own_ae_title: str, reports: Mapping[str, CommitmentReport], *, seconds: float
) -> Generator[tuple[str, int]]:
    """Send reports one after the other; gives the key and the status of the peer's answer of each that was answered.

    Raises:
        CallBackError: the peer cannot be reached, refuses our role, or did not answer.
    """
    context = build_context(STORAGE_COMMITMENT_PUSH_MODEL, list(TRANSFER_SYNTAXES))
    # we request the association and are the SCP of the service: PS3.7 section D.3.3.4
    role = build_role(STORAGE_COMMITMENT_PUSH_MODEL, scu_role=False, scp_role=True)
    with called_back(peer, context, calling_ae_title=own_ae_title, roles=[role], seconds=seconds) as association:
        (accepted,) = association.accepted_contexts
        # a peer that leaves the item out keeps the default roles by the letter; many do and take the report
        if not accepted.as_scp and not accepted.as_scu:
            raise CallBackError(f"{peer.ae_title} refuses that we are the SCP of storage commitment")
        for number, (key, report) in enumerate(reports.items(), 1):
            answer, _ = association.send_n_event_report(
                event_information(report),
                int(report.event_type),
                STORAGE_COMMITMENT_PUSH_MODEL,
                STORAGE_COMMITMENT_INSTANCE,
                msg_id=number,
            )
            if "Status" not in answer:
                raise CallBackError(f"{peer.ae_title} did not answer the report within {seconds:g} s")
            yield key, int(answer.Status)
