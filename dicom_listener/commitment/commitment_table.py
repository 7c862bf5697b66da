"""The rows of storage commitment: requests whose report waits, and for a while those that are finished.

Every function works inside the caller's transaction, on SQLite and PostgreSQL alike. The UIDs of the instances are
kept until the report is confirmed or given up, no longer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from dicom_listener.commitment.commitment import CommitmentRequest, Reference, references_digest, request_key
from dicom_listener.errors import CommitmentConflictError, CommitmentLimitError
from dicom_listener.state_tables import REASON_LENGTH, commitment_requests

_C = commitment_requests.c


class CommitmentState(StrEnum):
    """How far a request is."""

    PENDING = "pending"
    REPORTED = "reported"
    """The sender confirmed the report."""
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request whose report waits."""

    key: str
    """See `dicom_listener.commitment.commitment.request_key`."""
    request: CommitmentRequest
    tries: int
    received_at: float
    """Unix time in seconds, as all times here."""


def accept(
    connection: Connection, request: CommitmentRequest, *, now: float, next_try_at: float, maximum_pending: int
) -> str:
    """Take a request, or the same one again: then its report is due again. Returns its key.

    Raises:
        CommitmentConflictError: its sender used its Transaction UID for other instances.
        CommitmentLimitError: `maximum_pending` requests wait already.
    """
    key, digest = request_key(request), references_digest(request)
    found = connection.execute(select(_C.state, _C.references_digest).where(_C.request_key == key)).first()
    if found is not None and found.references_digest != digest:
        raise CommitmentConflictError(f"commitment request {key}: its Transaction UID stands for other instances")
    values: dict[str, Any] = {"called_ae_title": request.called_ae_title, "next_try_at": next_try_at}
    if found is not None and found.state == CommitmentState.PENDING:
        connection.execute(update(commitment_requests).where(_C.request_key == key).values(values))
        return key
    if count_pending(connection) >= maximum_pending:
        raise CommitmentLimitError(f"{maximum_pending} storage commitment requests wait already")
    pairs = [[reference.sop_class_uid, reference.sop_instance_uid] for reference in request.references]
    values |= {
        "reference_list": json.dumps(pairs),
        "state": CommitmentState.PENDING.value,
        "tries": 0,
        "received_at": now,
        "finished_at": None,
        "reason": None,
    }
    if found is not None:
        connection.execute(update(commitment_requests).where(_C.request_key == key).values(values))
        return key
    values |= {
        "request_key": key,
        "transaction_uid": request.transaction_uid,
        "calling_ae_title": request.calling_ae_title,
        "references_digest": digest,
    }
    connection.execute(insert(commitment_requests).values(values))
    return key


def count_pending(connection: Connection) -> int:
    """How many reports wait."""
    query = select(func.count()).select_from(commitment_requests).where(_C.state == CommitmentState.PENDING.value)
    return connection.execute(query).scalar_one()


def due(connection: Connection, *, now: float, longest_wait: float, limit: int) -> list[PendingRequest]:
    """Requests whose report is to be sent now, the longest due first; at most `limit`.

    One that would wait longer than `longest_wait` seconds was written before the clock jumped back: it is due too.
    """
    is_due = or_(_C.next_try_at <= now, _C.next_try_at > now + longest_wait)
    query = (
        select(commitment_requests)
        .where(_C.state == CommitmentState.PENDING.value, is_due)
        .order_by(_C.next_try_at, _C.request_key)
        .limit(limit)
    )
    return [_pending(row) for row in connection.execute(query).mappings()]


def find_pending(connection: Connection, key: str) -> PendingRequest | None:
    """The request of this key if its report waits."""
    query = select(commitment_requests).where(_C.request_key == key, _C.state == CommitmentState.PENDING.value)
    row = connection.execute(query).mappings().first()
    return None if row is None else _pending(row)


def next_try_at(connection: Connection) -> float | None:
    """When the next report is due; None when none waits."""
    query = select(func.min(_C.next_try_at)).where(_C.state == CommitmentState.PENDING.value)
    earliest: float | None = connection.execute(query).scalar_one()
    return earliest


def begin_try(connection: Connection, key: str, *, next_try_at: float) -> None:
    """Count a try before it is made; without an answer the next one is due at `next_try_at`."""
    _change(connection, key, tries=_C.tries + 1, next_try_at=next_try_at)


def retry(connection: Connection, key: str, *, at: float) -> None:
    """Make the report due at `at`."""
    _change(connection, key, next_try_at=at)


def hurry_untried(connection: Connection, *, now: float) -> None:
    """Make due what waited for its association to become quiet: at a start no association is open any more."""
    is_untried = (_C.state == CommitmentState.PENDING.value) & (_C.tries == 0)
    connection.execute(update(commitment_requests).where(is_untried).values(next_try_at=now))


def finish(connection: Connection, key: str, state: CommitmentState, *, now: float, reason: str | None = None) -> None:
    """The report was confirmed or is given up: the instances of the request are forgotten."""
    _change(
        connection,
        key,
        state=state.value,
        finished_at=now,
        reason=reason and reason[:REASON_LENGTH],
        reference_list="[]",
    )


def give_up_naming(connection: Connection, is_forgotten: Callable[[str], bool], *, now: float) -> int:
    """Give up requests that name a forgotten instance (by SOP Instance UID): their senders must keep their copies.

    Returns how many.
    """
    query = select(commitment_requests).where(_C.state == CommitmentState.PENDING.value)
    pending = [_pending(row) for row in connection.execute(query).mappings()]
    naming = [one for one in pending if any(is_forgotten(ref.sop_instance_uid) for ref in one.request.references)]
    for one in naming:
        finish(connection, one.key, CommitmentState.GIVEN_UP, now=now, reason="it names a series that was forgotten")
    return len(naming)


def forget_finished(connection: Connection, *, before: float) -> int:
    """Remove what was finished before; returns how many requests. Their Transaction UIDs are free again."""
    return connection.execute(delete(commitment_requests).where(_C.finished_at < before)).rowcount


def _change(connection: Connection, key: str, **values: Any) -> None:  # noqa: ANN401 (column values)
    is_pending = _C.state == CommitmentState.PENDING.value
    connection.execute(update(commitment_requests).where(_C.request_key == key, is_pending).values(values))


def _pending(row: Any) -> PendingRequest:  # noqa: ANN401 (SQLAlchemy's RowMapping maps to any type)
    request = CommitmentRequest(
        transaction_uid=row["transaction_uid"],
        references=tuple(Reference(*pair) for pair in json.loads(row["reference_list"])),
        calling_ae_title=row["calling_ae_title"],
        called_ae_title=row["called_ae_title"],
    )
    return PendingRequest(row["request_key"], request, row["tries"], row["received_at"])
