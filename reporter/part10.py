"""What a C-STORE must know of a file before it can propose a presentation context."""

from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import PresentationContext

from reporter.errors import DeliveryRefusedError

MAXIMUM_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd ids up to 255)."""


@dataclass(frozen=True, slots=True)
class Part10File:
    """A DICOM file and the names of what it holds."""

    path: Path
    sop_class_uid: str
    transfer_syntax_uid: str


def read_part10(path: Path) -> Part10File:
    """Read the File Meta Information (PS3.10 7.1).

    Raises:
        DeliveryRefusedError: the file is missing, unreadable or no DICOM file.
    """
    try:
        meta, _ = split_dataset(path)
        return Part10File(path, str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID))
    except OSError as error:
        raise DeliveryRefusedError(f"a file to be sent cannot be read: {error.strerror}") from error
    except (InvalidDicomError, AttributeError, ValueError, KeyError, EOFError) as error:
        raise DeliveryRefusedError("a file to be sent is no DICOM file (PS3.10)") from error


def contexts_for(files: list[Part10File]) -> list[PresentationContext]:
    """Propose each SOP class in each transfer syntax it comes in, one context each, so that none hides another.

    Explicit VR little endian is offered as implicit VR too, for archives that know only the default.
    """
    pairs: dict[tuple[str, str], None] = {}
    for file in files:
        pairs[file.sop_class_uid, file.transfer_syntax_uid] = None
        if file.transfer_syntax_uid == ExplicitVRLittleEndian:
            pairs[file.sop_class_uid, str(ImplicitVRLittleEndian)] = None
    contexts = []
    for sop_class, transfer_syntax in pairs:
        context = PresentationContext()
        context.abstract_syntax = sop_class
        context.transfer_syntax = [transfer_syntax]
        contexts.append(context)
    return contexts


def batches(files: list[Part10File]) -> list[list[Part10File]]:
    """Split into runs that one association can propose, keeping the order."""
    runs: list[list[Part10File]] = []
    for file in files:
        if not runs or len(contexts_for([*_kinds(runs[-1]), file])) > MAXIMUM_CONTEXTS:
            runs.append([])
        runs[-1].append(file)
    return runs


def _kinds(files: list[Part10File]) -> list[Part10File]:
    """One file of each kind: enough to count the contexts."""
    return list({(file.sop_class_uid, file.transfer_syntax_uid): file for file in files}.values())
