"""`AcceptedContext`: what a presentation context was negotiated to be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context on which a C-STORE may come (PS3.8 section 7.1.1.13)."""

    sop_class_uid: str
    transfer_syntax_uid: str
