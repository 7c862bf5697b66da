"""Gives an instance of the intake journal a file of its own."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from dicom_listener.errors import SpoolError
from dicom_listener.spool.block_writer import BLOCK_BYTES
from dicom_listener.spool.drafts import Draft
from dicom_listener.spool.identifiers import Identifiers
from dicom_listener.spool.incoming import Slot, Whole
from dicom_listener.spool.journal.lane import Lane
from dicom_listener.spool.journal.lane_format import Checksum, Trailer
from dicom_listener.spool.part10 import read_file_meta, read_identifiers
from dicom_listener.stored import StoredInstance, StoreRequest


class DamagedRecordError(SpoolError):
    """What a lane holds is not what was written to it."""


@dataclass(frozen=True, slots=True)
class Filing:
    """How an instance gets its file."""

    make_file: Callable[[], Draft]
    find_slot: Callable[[Identifiers], Slot]
    place: Callable[[Whole[Draft]], StoredInstance]

    def file(self, lane: Lane, trailer: Trailer, known: tuple[StoreRequest, Slot] | None = None) -> StoredInstance:
        """Copy an instance out of its lane, durably, under its final name.

        Args:
            lane: where it is.
            trailer: which.
            known: what it is, where that is known; otherwise its file is asked.

        Raises:
            DamagedRecordError: it is not what was written.
            InvalidInstanceError: likewise; only where nothing was `known`.
            SpoolFullError: the disk is full.
            SpoolError: the disk failed otherwise.
        """
        draft = self.make_file()
        try:
            with draft.errors:
                _copy(lane, trailer, draft)
                draft.complete(trailer.data_set_offset)
                request, slot = known or self._ask(draft)
                return self.place(Whole(draft, request, slot, trailer.data_set_offset))
        finally:
            draft.close()

    def _ask(self, draft: Draft) -> tuple[StoreRequest, Slot]:
        with draft.read_back() as file:
            request = read_file_meta(file)
            return request, self.find_slot(read_identifiers(file, request.transfer_syntax_uid))


def _copy(lane: Lane, trailer: Trailer, draft: Draft) -> None:
    checksum, offset, left = Checksum(), trailer.start, trailer.size
    while left:
        room = draft.room(min(left, BLOCK_BYTES))
        n_bytes = os.preadv(lane.descriptor, [room], offset)
        if n_bytes == 0:
            break
        checksum.update(room[:n_bytes])
        draft.advance(n_bytes)
        offset, left = offset + n_bytes, left - n_bytes
    if left or checksum.value != trailer.checksum:
        raise DamagedRecordError(f"an instance in {lane.path} at byte {trailer.start} is not what was written there")
