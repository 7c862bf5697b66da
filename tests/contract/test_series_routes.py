"""Rows of the routing, on SQLite and PostgreSQL: what is written is read, and whoever decides first is seen."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, insert

from dicom_listener import state
from dicom_listener.routing import routes
from dicom_listener.routing.best_series import Merits
from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing import Reason
from dicom_listener.state_tables import received_series
from segwatch.database import make_engine, make_tables

STUDY = "5" * 32
MERITS = Merits(True, 300.0, None, KernelClass.LUNG, 100, 0.7, None)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    make_tables(engine, state.metadata)
    yield engine
    engine.dispose()


def put(connection: Connection, key: str, becomes: RouteState, place: int | None = None, version: int = 1) -> None:
    """A complete version and its row."""
    values = {"study_instance_uid": "1.2", "series_instance_uid": f"1.2.{key}", "calling_ae_title": "PACS"}
    counts = {"n_instances": 1, "bytes": 1, "first_at": 1.0, "last_at": 1.0, "completed_at": 2.0}
    row = {"series_key": key, "version": version, "state": "complete", **values, **counts}
    connection.execute(insert(received_series).values(**row))
    routes.begin(connection, key, version, STUDY, now=2.0)
    route = routes.find(connection, key, version)
    assert route is not None
    reasons = (Reason("better_series", "it has more slices"),)
    settled = replace(route, state=becomes, rules="default", reasons=reasons, merits=MERITS, place=place)
    routes.save(connection, settled)
    assert routes.find(connection, key, version) == settled


def states(engine: Engine) -> dict[str, RouteState]:
    with engine.begin() as connection:
        return {key: route.state for (key, _), route in routes.all_routes(connection).items()}


def test_a_second_begin_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        put(connection, "a", RouteState.NOT_TAKEN)
        routes.begin(connection, "a", 1, STUDY, now=9.0)
    assert states(engine) == {"a": RouteState.NOT_TAKEN}
    with engine.begin() as connection:
        assert [route.series_key for route in routes.in_states(connection, [RouteState.NOT_TAKEN])] == ["a"]
        assert routes.in_states(connection, [RouteState.TAKEN]) == []


def test_the_next_in_line_is_the_best_placed_newest_version_whose_files_are_here(engine: Engine) -> None:
    with engine.begin() as connection:
        put(connection, "a", RouteState.TAKEN, 1)
        put(connection, "purged", RouteState.PASSED_OVER, 2)
        put(connection, "old", RouteState.PASSED_OVER, 3, version=1)
        put(connection, "old", RouteState.NOT_TAKEN, 3, version=2)
        put(connection, "z", RouteState.PASSED_OVER, 4)
        put(connection, "y", RouteState.PASSED_OVER, 5)
        state.mark_purged(connection, "purged", now=3.0)
    with engine.begin() as connection:
        following = routes.give_up(connection, "a", 1, now=4.0)
    assert following is not None
    assert (following.series_key, following.state, following.reasons[0].name) == ("z", RouteState.TAKEN, "next_in_line")
    with engine.begin() as connection:
        assert routes.give_up(connection, "a", 1, now=5.0) is None


def test_what_a_person_took_has_nothing_in_line(engine: Engine) -> None:
    with engine.begin() as connection:
        put(connection, "a", RouteState.PASSED_OVER, 2)
        put(connection, "b", RouteState.PASSED_OVER, 3)
        routes.take_by_person(connection, "a", 1, STUDY, by="Dr Who", now=3.0)
        assert routes.give_up(connection, "a", 1, now=4.0) is None
    assert states(engine) == {"a": RouteState.TAKEN, "b": RouteState.PASSED_OVER}


def test_identifiers_are_erased_and_rows_stay(engine: Engine) -> None:
    with engine.begin() as connection:
        put(connection, "a", RouteState.OPTED_OUT)
        routes.erase_identifiers(connection, "a", 1)
        row = state.find_by_prefix(connection, "a")
        route = routes.find(connection, "a", 1)
    assert (row.study_instance_uid, row.series_instance_uid) == ("", "")
    assert route is not None
    assert route.study_hash == ""


def test_who_gives_up_sees_what_is_being_chosen(engine: Engine) -> None:
    """A worker gives a series up while the router passes another one over in its favour."""
    with engine.begin() as connection:
        put(connection, "a", RouteState.TAKEN, 1)
        put(connection, "b", RouteState.WAITING, None)
    found: list[str] = []
    begun = threading.Event()

    def give_up() -> None:
        begun.set()
        with engine.begin() as connection:
            following = routes.give_up(connection, "a", 1, now=4.0)
        found.append(following.series_key if following is not None else "nobody")

    worker = threading.Thread(target=give_up)
    with engine.begin() as connection:
        waiting = [route for route in routes.of_study(connection, STUDY) if route.state is RouteState.WAITING]
        assert all(routes.is_ready(connection, route) for route in waiting)
        (rival, mine) = routes.of_study(connection, STUDY, lock=True)
        assert rival.state is RouteState.TAKEN
        worker.start()
        assert begun.wait(10)
        routes.save(connection, replace(mine, state=RouteState.PASSED_OVER, place=2))
    worker.join(30)
    assert found == ["b"]
    assert states(engine) == {"a": RouteState.GIVEN_UP, "b": RouteState.TAKEN}
