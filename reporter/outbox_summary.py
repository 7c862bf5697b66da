"""What waits in the outbox and why, for `status` and for people."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from reporter.outbox_table import ItemKind, ItemState, outbox_table


@dataclass(frozen=True, slots=True)
class DestinationSummary:
    """The items of one destination."""

    kind: ItemKind
    destination: str
    waiting: int
    """Items without a confirmation that are tried again."""
    blocked: int
    """Items that the destination refuses."""
    done: int
    oldest_open_at: float | None
    """Unix time in seconds at which the oldest open item was queued."""
    next_attempt_at: float | None
    """Unix time in seconds of the earliest next try."""
    last_error: str | None
    """Of the open item that was tried most often."""


def summarize(connection: Connection) -> list[DestinationSummary]:
    """Summarize the outbox by kind and destination, in that order; destinations without items are not in it."""
    columns = outbox_table.c
    rows = connection.execute(
        select(
            columns.kind,
            columns.destination,
            columns.state,
            func.count().label("count"),
            func.min(columns.created_at).label("oldest"),
            func.min(columns.next_attempt_at).label("next"),
        ).group_by(columns.kind, columns.destination, columns.state)
    ).mappings()
    groups: dict[tuple[str, str], dict[str, tuple[int, float, float]]] = {}
    for row in rows:
        by_state = groups.setdefault((row["kind"], row["destination"]), {})
        by_state[row["state"]] = (row["count"], row["oldest"], row["next"])
    return [_summary(connection, kind, name, states) for (kind, name), states in sorted(groups.items())]


def _summary(
    connection: Connection, kind: str, destination: str, states: dict[str, tuple[int, float, float]]
) -> DestinationSummary:
    unfinished = [numbers for state, numbers in states.items() if state != ItemState.DONE.value]

    def count(state: ItemState) -> int:
        return states.get(state.value, (0, 0.0, 0.0))[0]

    return DestinationSummary(
        kind=ItemKind(kind),
        destination=destination,
        waiting=count(ItemState.WAITING),
        blocked=count(ItemState.BLOCKED),
        done=count(ItemState.DONE),
        oldest_open_at=min((oldest for _, oldest, _ in unfinished), default=None),
        next_attempt_at=min((following for *_, following in unfinished), default=None),
        last_error=_last_error(connection, kind, destination),
    )


def _last_error(connection: Connection, kind: str, destination: str) -> str | None:
    columns = outbox_table.c
    return connection.execute(
        select(columns.last_error)
        .where(columns.kind == kind, columns.destination == destination)
        .where(columns.state != ItemState.DONE.value, columns.last_error.is_not(None))
        .order_by(columns.attempts.desc(), columns.id)
        .limit(1)
    ).scalar_one_or_none()
