"""Delivers DICOM files to a destination by C-STORE (PS3.4 annex B)."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.association import Association

from reporter.association import Destination, associated, echo
from reporter.errors import DeliveryError, DeliveryRefusedError
from reporter.outcome import Outcome
from reporter.part10 import Part10File, batches, contexts_for, read_part10
from reporter.store_status import outcome_of_status

__all__ = ["CStoreSender", "Destination", "DicomSender", "echo"]

_log = logging.getLogger(__name__)

# files leave as they are, without being decoded (pynetdicom's documented switch)
_config.STORE_SEND_CHUNKED_DATASET = True


class DicomSender(Protocol):
    """Sends DICOM files to one destination."""

    def send(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """Send files and yield one outcome per path, in order, each as soon as it is known.

        Nothing that the destination does raises here. Sending the same file again is harmless: it carries the same
        SOP Instance UID. An outcome without an error means that the destination took responsibility for the file.
        """
        ...


class CStoreSender:
    """`DicomSender` by C-STORE, one association for all files of a call where 128 presentation contexts suffice."""

    def __init__(self, destination: Destination) -> None:
        """Nothing is opened until something is sent."""
        self._destination = destination

    @property
    def destination(self) -> Destination:
        """Where it sends."""
        return self._destination

    def send(self, paths: Sequence[Path]) -> Iterator[Outcome]:
        """See `DicomSender`."""
        readable: list[Part10File] = []
        unreadable: dict[int, Outcome] = {}
        for index, path in enumerate(paths):
            try:
                readable.append(read_part10(path))
            except DeliveryRefusedError as error:
                unreadable[index] = Outcome(error=error)
        outcomes = (outcome for batch in batches(readable) for outcome in self._send_batch(batch))
        for index in range(len(paths)):
            yield unreadable[index] if index in unreadable else next(outcomes)

    def _send_batch(self, files: list[Part10File]) -> Iterator[Outcome]:
        sent = 0
        try:
            with associated(self._destination, contexts_for(files)) as association:
                for file in files:
                    outcome = self._store(association, file)
                    sent += 1
                    if outcome.warning:
                        _log.warning("%s stored a file with a warning: %s", self._destination.name, outcome.warning)
                    yield outcome
        except DeliveryError as error:
            yield from (Outcome(error=error) for _ in files[sent:])

    def _store(self, association: Association, file: Part10File) -> Outcome:
        """Send one file.

        Raises:
            DeliveryError: the association is over, for this file and all that follow.
        """
        where = self._destination.address
        accepted = {(context.abstract_syntax, context.transfer_syntax[0]) for context in association.accepted_contexts}
        if (file.sop_class_uid, file.transfer_syntax_uid) in accepted:
            content: Path | Dataset = file.path
        elif (file.sop_class_uid, ImplicitVRLittleEndian) in accepted and _may_be_implicit(file):
            content = dcmread(file.path)
        else:
            text = f"{where} does not accept this kind of object in its transfer syntax (presentation context refused)"
            return Outcome(error=DeliveryRefusedError(text))
        if not association.is_established:
            raise DeliveryError(f"{where} ended the association before every file was sent")
        try:
            answer = association.send_c_store(content)
        except OSError as error:
            return Outcome(error=DeliveryRefusedError(f"a file to be sent cannot be read: {error.strerror}"))
        except (ValueError, AttributeError, RuntimeError) as error:
            # the association died between the check and the call, or the file changed under us
            raise DeliveryError(f"{where}: the file could not be sent ({type(error).__name__})") from error
        if "Status" not in answer:
            text = f"{where} gave no answer: it ended the association or took over {self._destination.timeout_s:g} s"
            raise DeliveryError(text)
        return outcome_of_status(int(answer.Status))


def _may_be_implicit(file: Part10File) -> bool:
    return file.transfer_syntax_uid == ExplicitVRLittleEndian
