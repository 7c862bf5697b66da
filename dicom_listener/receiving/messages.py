"""What the listener and its receivers tell each other, as records and as bytes. Pure.

A message is one line of JSON, and behind it what a connection had brought, as it came.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from pathlib import Path
from sys import intern
from typing import Any

from dicom_listener.receiving.accepted_context import AcceptedContext
from dicom_listener.series import ReceivedInstance
from dicom_listener.stored import StoredInstance, StoreOutcome


class Return(StrEnum):
    """Why a receiver gives a connection back."""

    NOT_PLAIN = auto()
    """What it brought begins with a PDU that is no plain C-STORE request."""
    VIOLATION = auto()
    """What it brought is no DICOM any more."""
    CLOSED = auto()
    """The peer closed, or the connection broke."""
    IDLE = auto()
    """The peer was silent for too long."""
    RECALLED = auto()
    """It was asked to."""
    LOST = auto()
    """The receiver ended; its connections are in the middle of something that nobody knows."""


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """What a receiver is told before anything else."""

    root: Path
    """The spool."""
    high_watermark: float
    minimum_free_bytes: int
    maximum_pdu_bytes: int
    maximum_instance_bytes: int
    idle_seconds: float
    log_level: int
    """Of `logging`: what is less is not told."""
    journal_seconds: float = 0.0
    """How long instances may wait in the journal of the spool for their files; 0: they do not go there."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """A connection for a receiver; its descriptor comes with the message."""

    number: int
    """By which both sides know it."""
    calling_ae_title: str
    called_ae_title: str
    contexts: Mapping[int, AcceptedContext]
    """By presentation context ID."""
    received: bytes
    """What it has brought and nobody has taken."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The listener wants a connection back."""

    number: int
    at_once: bool
    """Even in the middle of a data set, which is dropped; otherwise behind it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance is durable and has its file; that its sender is told may be still to come, or long ago."""

    number: int
    stored: StoredInstance


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A receiver has closed its descriptor of a connection and does nothing with it any more."""

    number: int
    why: Return
    counts: Mapping[str, int] = field(default_factory=dict)
    """Instances that were not stored, as in `Tally`."""
    statuses: Mapping[int, int] = field(default_factory=dict)
    """DIMSE statuses other than Success, as in `Tally`."""
    acknowledged: int = 0
    """Instances whose sender was told Success: each is told as `Stored`, some only after this message."""
    received: bytes = b""
    """What the connection had brought and nobody has taken."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """Something for the listener's log."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The receiver takes connections."""

    process_id: int


@dataclass(frozen=True, slots=True)
class Ping:
    """The listener has heard nothing for a while."""


@dataclass(frozen=True, slots=True)
class Alive:
    """The answer to it."""


@dataclass(frozen=True, slots=True)
class FileAll:
    """What is in the journal is to get its files now."""


@dataclass(frozen=True, slots=True)
class Filed:
    """What was in the journal when this was asked for got its files, and was told."""

    is_all: bool
    """Otherwise some of it could not be filed, and stays in the journal."""


Message = ReceiverSettings | HandOver | Recall | Stored | GivenBack | LogLine | Ready | Ping | Alive | FileAll | Filed


def encode(message: Message) -> bytes:
    """Encode a message; the opposite of `decode`."""
    received = b""
    fields: list[Any] = []
    match message:
        case Stored(number, stored):
            fields = [number, _stored_fields(stored)]
        case HandOver():
            contexts = [
                [number, one.sop_class_uid, one.transfer_syntax_uid] for number, one in message.contexts.items()
            ]
            fields = [message.number, message.calling_ae_title, message.called_ae_title, contexts]
            received = message.received
        case GivenBack():
            statuses = list(message.statuses.items())
            fields = [message.number, message.why, dict(message.counts), statuses, message.acknowledged]
            received = message.received
        case Recall(number, at_once):
            fields = [number, at_once]
        case LogLine(logger, level, text):
            fields = [logger, level, text]
        case Ready(process_id):
            fields = [process_id]
        case ReceiverSettings():
            fields = [
                str(message.root),
                message.high_watermark,
                message.minimum_free_bytes,
                message.maximum_pdu_bytes,
                message.maximum_instance_bytes,
                message.idle_seconds,
                message.log_level,
                message.journal_seconds,
            ]
        case Filed(is_all):
            fields = [is_all]
        case Ping() | Alive() | FileAll():
            pass
    return json.dumps([type(message).__name__, *fields]).encode() + b"\n" + received


def decode(data: bytes) -> Message:
    """Decode a message. Raises `ValueError`: it is none."""
    line, _, received = data.partition(b"\n")
    try:
        kind, *fields = json.loads(line.decode())
        return _DECODERS[kind](fields, received)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError("not a message of a receiver") from error


def _stored_fields(stored: StoredInstance) -> list[Any]:
    one = stored.instance
    return [
        one.sop_instance_uid,
        one.sop_class_uid,
        one.transfer_syntax_uid,
        one.study_instance_uid,
        one.series_instance_uid,
        str(one.path),
        one.size_bytes,
        stored.series_key,
        stored.calling_ae_title,
        stored.outcome,
    ]


def _stored(fields: list[Any], _received: bytes) -> Stored:
    number, (instance, sop_class, syntax, study, series, path, size, key, calling, outcome) = fields
    # what the instances of a series share is there once: thousands of them are kept until it is complete
    sop_class, syntax, study, series, key, calling = map(intern, (sop_class, syntax, study, series, key, calling))
    received = ReceivedInstance(instance, sop_class, syntax, study, series, Path(path), size)
    return Stored(number, StoredInstance(received, key, calling, StoreOutcome(outcome)))


def _hand_over(fields: list[Any], received: bytes) -> HandOver:
    number, calling, called, contexts = fields
    return HandOver(number, calling, called, {one: AcceptedContext(*rest) for one, *rest in contexts}, received)


def _given_back(fields: list[Any], received: bytes) -> GivenBack:
    number, why, counts, statuses, acknowledged = fields
    return GivenBack(number, Return(why), counts, dict(statuses), acknowledged, received)


_DECODERS: dict[str, Callable[[list[Any], bytes], Message]] = {
    "Stored": _stored,
    "HandOver": _hand_over,
    "GivenBack": _given_back,
    "Recall": lambda fields, _received: Recall(*fields),
    "LogLine": lambda fields, _received: LogLine(*fields),
    "Ready": lambda fields, _received: Ready(*fields),
    "Ping": lambda fields, _received: Ping(*fields),
    "Alive": lambda fields, _received: Alive(*fields),
    "FileAll": lambda _fields, _received: FileAll(),
    "Filed": lambda fields, _received: Filed(*fields),
    "ReceiverSettings": lambda fields, _received: ReceiverSettings(Path(fields[0]), *fields[1:]),
}
