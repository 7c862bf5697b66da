"""Asks a sender by C-FIND how many instances a series has (PS3.4 annex C, Study Root Query/Retrieve)."""

import time

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.association import Association

from dicom_listener.completion.call_back import called_back
from dicom_listener.completion.intake_events import CountQuestion
from dicom_listener.errors import CallBackError
from dicom_listener.peers import Peer
from dicom_listener.spool.element_values import read_number, read_text

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_PENDING = (0xFF00, 0xFF01)
_SUCCESS = 0x0000
MAXIMUM_ANSWERS = 20_000
"""A peer that goes on answering is cut off."""


def count_at_sender(peer: Peer, question: CountQuestion, *, calling_ae_title: str, seconds: float) -> int | None:
    """Ask at the SERIES level for Number of Series Related Instances (0020,1209), else count at the IMAGE level.

    The attribute is optional for an SCP (PS3.4 table C.6-3), and counting costs an answer for each instance.

    Args:
        peer: the sender, with host and port.
        question: which series.
        calling_ae_title: own AE title.
        seconds: bound of the whole call beside connecting, negotiating and releasing, which take as long at most each.

    Returns:
        How many; None when the sender does not know the series, or does not say.

    Raises:
        CallBackError: the sender is unreachable, refuses, fails, or takes too long.
    """
    deadline = time.monotonic() + seconds
    context = build_context(STUDY_ROOT_FIND, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    with called_back(peer, context, calling_ae_title=calling_ae_title, seconds=seconds) as association:
        series = _matches(association, _query("SERIES", question, "NumberOfSeriesRelatedInstances"), deadline)
        mine = [one for one in series if read_text(one, "SeriesInstanceUID") == question.series_instance_uid]
        if not mine:
            return None
        count = read_number(mine[0], "NumberOfSeriesRelatedInstances")
        if count is not None and count > 0 and count.is_integer():
            return int(count)
        instances = _matches(association, _query("IMAGE", question, "SOPInstanceUID"), deadline)
        return len({uid for one in instances if (uid := read_text(one, "SOPInstanceUID"))}) or None


def _query(level: str, question: CountQuestion, wanted: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = question.study_instance_uid
    query.SeriesInstanceUID = question.series_instance_uid
    setattr(query, wanted, None)
    return query


def _matches(association: Association, query: Dataset, deadline: float) -> list[Dataset]:
    if not association.is_established:
        raise CallBackError("the sender ended the association before it was asked")
    found: list[Dataset] = []
    for answers, (status, match) in enumerate(association.send_c_find(query, STUDY_ROOT_FIND)):
        code = status.get("Status")
        if code is None:
            raise CallBackError("the sender gave no answer to C-FIND")
        if code not in (*_PENDING, _SUCCESS):
            raise CallBackError(f"the sender answered C-FIND with status {code:04X}")
        if answers >= MAXIMUM_ANSWERS or time.monotonic() > deadline:
            association.abort()
            raise CallBackError("the sender takes too long to answer C-FIND")
        if code in _PENDING and match is not None:
            found.append(match)
    return found
