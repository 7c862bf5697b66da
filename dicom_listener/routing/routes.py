"""The rows of the routing: one for each version of a series that was complete, from the transaction that completed it.

Every function works inside the caller's transaction. A row never holds an identifier or a text of a file. Listener,
workers and people decide at the same time, so what a decision rests on is locked before it is read (PostgreSQL; SQLite
has one writer at a time): first the listener's rows, by `is_ready`, then the routes, so that nobody waits in a circle.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from dicom_listener.routing.best_series import Candidate, Merits, merits_from_text, merits_to_text
from dicom_listener.routing.route_table import series_routes
from dicom_listener.routing.routing import Reason
from dicom_listener.state_tables import received_instances, received_series

_MOST_AT_ONCE = 500
"""Keys in one query; databases bound the number of parameters."""


class RouteState(StrEnum):
    """What was decided about a version of a series."""

    UNDECIDED = "undecided"
    """Complete; its heads are looked at next."""
    WAITING = "waiting"
    """Eligible; it is chosen from when its study is quiet."""
    TAKEN = "taken"
    """It has a job."""
    NOT_TAKEN = "not_taken"
    """Rules leave it out."""
    PASSED_OVER = "passed_over"
    """Eligible, but another series of its study is better."""
    GIVEN_UP = "given_up"
    """It was taken and could not be segmented; the next of its study was taken in its place, where there is one."""
    OPTED_OUT = "opted_out"
    """Its patient or study is on the opt-out list."""


@dataclass(frozen=True, slots=True)
class Route:
    """What was decided about one version of one series."""

    series_key: str
    version: int
    study_hash: str
    rules: str
    """Name of the rule set."""
    state: RouteState
    reasons: tuple[Reason, ...]
    merits: Merits | None
    """What counted in the comparison with other series; None where it was not eligible."""
    place: int | None
    """Among the series that it was compared with, 1 for the best."""
    decided_at: float
    """Unix time in seconds."""

    @property
    def candidate(self) -> Candidate | None:
        """The row as the choice knows it."""
        return None if self.merits is None else Candidate(self.series_key, self.version, self.merits)


def begin(connection: Connection, key: str, version: int, study_hash: str, *, now: float) -> None:
    """Note in the transaction that completes a version that it is to be decided about."""
    if find(connection, key, version) is None:
        values = {"study_hash": study_hash, "rules": "", "state": RouteState.UNDECIDED.value, "reasons": "[]"}
        connection.execute(insert(series_routes).values(series_key=key, version=version, decided_at=now, **values))


def save(connection: Connection, route: Route) -> None:
    """Write a row anew."""
    values = {name: getattr(route, name) for name in Route.__slots__}
    values["state"] = route.state.value
    values["reasons"] = json.dumps([[reason.name, reason.detail] for reason in route.reasons])
    values["merits"] = None if route.merits is None else merits_to_text(route.merits)
    connection.execute(update(series_routes).where(*_is(route.series_key, route.version)).values(**values))


def take_by_person(connection: Connection, key: str, version: int, study_hash: str, *, by: str, now: float) -> None:
    """Note that a person had a version segmented, whatever rules say; there need not have been a row."""
    begin(connection, key, version, study_hash, now=now)
    route = find(connection, key, version)
    assert route is not None  # noqa: S101 (it was just made)
    reasons = (Reason("by_person", f"{by} had it segmented"),)
    save(connection, replace(route, state=RouteState.TAKEN, reasons=reasons, place=None, decided_at=now))


def find(connection: Connection, key: str, version: int, *, lock: bool = False) -> Route | None:
    """The row of a version, or None."""
    query = select(series_routes).where(*_is(key, version))
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    return None if row is None else _route(row)


def all_routes(connection: Connection) -> dict[tuple[str, int], Route]:
    """Every row, by series key and version."""
    rows = [_route(row) for row in connection.execute(select(series_routes)).mappings()]
    return {(route.series_key, route.version): route for route in rows}


def newest_of(connection: Connection, keys: Collection[str]) -> list[Route]:
    """The row of the newest version of each of these series that has one, by key."""
    newest: dict[str, Route] = {}
    ordered = sorted(keys)
    table = series_routes.c
    for start in range(0, len(ordered), _MOST_AT_ONCE):
        query = select(series_routes).where(table.series_key.in_(ordered[start : start + _MOST_AT_ONCE]))
        for row in connection.execute(query.order_by(table.series_key, table.version)).mappings():
            newest[row["series_key"]] = _route(row)
    return list(newest.values())


def in_states(connection: Connection, states: Collection[RouteState]) -> list[Route]:
    """Rows in one of these states, oldest first."""
    table = series_routes.c
    query = select(series_routes).where(table.state.in_([state.value for state in states]))
    ordered = query.order_by(table.decided_at, table.series_key, table.version)
    return [_route(row) for row in connection.execute(ordered).mappings()]


def of_study(connection: Connection, study_hash: str, *, lock: bool = False) -> list[Route]:
    """Rows of all series of a study, by key and version."""
    table = series_routes.c
    query = select(series_routes).where(table.study_hash == study_hash).order_by(table.series_key, table.version)
    query = query.with_for_update() if lock else query
    return [_route(row) for row in connection.execute(query).mappings()]


def give_up(connection: Connection, key: str, version: int, *, now: float) -> Route | None:
    """A version that was taken cannot be segmented: take the next of its study whose files are here.

    Returns the row of the one that is taken in its place, to be queued in the same transaction; None where there is
    none, or where nobody chose, as after a person's wish.
    """
    failed = find(connection, key, version)
    if failed is None or failed.state is not RouteState.TAKEN or failed.place is None:
        return None
    rows = of_study(connection, failed.study_hash)
    ready = {(r.series_key, r.version) for r in rows if r.rules == failed.rules and is_ready(connection, r)}
    rows = of_study(connection, failed.study_hash, lock=True)
    newest = {route.series_key: route.version for route in rows}  # in order of versions
    others = [
        route
        for route in rows
        if route.state is RouteState.PASSED_OVER
        and route.version == newest[route.series_key]
        and (route.series_key, route.version) in ready
    ]
    save(connection, replace(failed, state=RouteState.GIVEN_UP, decided_at=now))
    # a series that is passed over was placed in the last choice that it took part in
    following = min(others, key=lambda route: (route.place or 0, route.series_key), default=None)
    if following is None:
        return None
    reason = Reason("next_in_line", f"series {key[:12]} of the study was preferred and could not be segmented")
    taken = replace(following, state=RouteState.TAKEN, reasons=(reason,), decided_at=now)
    save(connection, taken)
    return taken


def supersede(connection: Connection, key: str, version: int, *, now: float) -> None:
    """A further version is complete: those before it that were not taken are not chosen any more."""
    table = series_routes.c
    open_states = (RouteState.UNDECIDED, RouteState.WAITING, RouteState.PASSED_OVER)
    older = [table.series_key == key, table.version < version, table.state.in_([state.value for state in open_states])]
    for row in connection.execute(select(series_routes).where(*older)).mappings().all():
        reason = Reason("superseded", f"version {version} of the series is complete")
        save(connection, replace(_route(row), state=RouteState.PASSED_OVER, reasons=(reason,), decided_at=now))


def opt_out(connection: Connection, key: str, version: int, reason: Reason, *, now: float) -> None:
    """A version that has a job must not be segmented: its patient or study is on the opt-out list by now."""
    begin(connection, key, version, "", now=now)
    route = find(connection, key, version)
    assert route is not None  # noqa: S101 (it was just made)
    save(connection, replace(route, state=RouteState.OPTED_OUT, reasons=(reason,), decided_at=now))


def is_ready(connection: Connection, route: Route) -> bool:
    """Whether a version is complete, no person decided about it, and its files were not purged; it stays so."""
    table = received_series.c
    query = select(table.state, table.purged_at).where(*_is(route.series_key, route.version, received_series))
    row = connection.execute(query.with_for_update()).first()
    return row is not None and row.state == "complete" and row.purged_at is None


def drop(connection: Connection, key: str, version: int | None = None) -> None:
    """Remove the row of a version, or those of all versions of a series."""
    table = series_routes.c
    where = [table.series_key == key] if version is None else _is(key, version)
    connection.execute(delete(series_routes).where(*where))


def erase_identifiers(connection: Connection, key: str, version: int) -> None:
    """Erase the UIDs of a version that was opted out from the listener's rows; call it when its files are gone."""
    connection.execute(
        update(received_series)
        .where(*_is(key, version, received_series))
        .values(study_instance_uid="", series_instance_uid="")
    )
    connection.execute(delete(received_instances).where(*_is(key, version, received_instances)))
    connection.execute(update(series_routes).where(*_is(key, version)).values(study_hash=""))


def _is(key: str, version: int, table: Any = series_routes) -> list[Any]:  # noqa: ANN401 (any of the listener's tables)
    return [table.c.series_key == key, table.c.version == version]


def _route(row: Any) -> Route:  # noqa: ANN401 (SQLAlchemy's RowMapping maps to any type)
    values = dict(row)
    values["state"] = RouteState(values["state"])
    values["reasons"] = tuple(Reason(name, detail) for name, detail in json.loads(values["reasons"]))
    values["merits"] = None if values["merits"] is None else merits_from_text(values["merits"])
    return Route(**values)
