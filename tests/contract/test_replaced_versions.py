"""What a further version takes back of those before it, on every database that the state may live in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.routing import routes
from dicom_listener.routing.routes import RouteState
from inference.jobs import JobState
from inference.sql_queue import SqlJobQueue
from inference.sql_queue import metadata as queue_metadata
from qc.stream.messages import Message
from reporter import outbox
from reporter.outbox import Run
from segwatch import made_results
from segwatch.database import make_engine, make_tables
from segwatch.made_results import drop_results, keep_result, newest_result_before
from segwatch.superseding import SUPERSEDED, supersede

KEY, OTHER = "a" * 32, "b" * 32
NOW = 1_700_000_000.0
MESSAGE = Message("segwatch.metrics.v1.a", "k", b"{}", {"ce_id": "e1"})


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    make_tables(engine, state.metadata, queue_metadata, outbox.metadata, made_results.metadata)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def add(connection: Connection, version: int, destination: str = "pacs", *, key: str = KEY, done: bool = False) -> None:
    item = outbox.add_instance(connection, Run(key, version, 0), destination, Path("/results/seg.dcm"), now=NOW)
    if done:
        outbox.mark_done(connection, item.id, now=NOW)


def items(connection: Connection, key: str = KEY) -> list[tuple[str, int]]:
    return [(item.destination, item.run.series_version) for item in outbox.find_by_series(connection, key)]


def test_results_are_kept_by_version_and_generation(connection: Connection) -> None:
    assert newest_result_before(connection, KEY, 9) is None
    for version, generation, uid in [(1, 0, "2.25.1"), (1, 1, "2.25.2"), (2, 0, "2.25.3"), (2, 10, "2.25.4")]:
        keep_result(connection, KEY, version, generation, uid)
    keep_result(connection, KEY, 2, 10, "2.25.5")  # the same run again
    found = [newest_result_before(connection, KEY, version) for version in (1, 2, 3, 9)]
    assert found == [None, "2.25.2", "2.25.5", "2.25.5"]
    drop_results(connection, KEY, 2)
    assert newest_result_before(connection, KEY, 9) == "2.25.2"
    keep_result(connection, OTHER, 1, 0, "2.25.6")
    drop_results(connection, KEY)
    assert newest_result_before(connection, KEY, 9) is None
    assert newest_result_before(connection, OTHER, 9) == "2.25.6"


def test_open_files_of_earlier_versions_are_withdrawn_and_nothing_else(connection: Connection) -> None:
    add(connection, 1, done=True)
    add(connection, 1, "archive")
    add(connection, 2)
    add(connection, 3)
    add(connection, 1, key=OTHER)
    outbox.add_message(connection, Run(KEY, 1, 0), "stream", "e1", MESSAGE, now=NOW)
    assert outbox.withdraw_instances(connection, KEY, before_version=3) == {1, 2}
    assert items(connection) == [("pacs", 1), ("pacs", 3), ("stream", 1)]
    assert items(connection, OTHER) == [("pacs", 1)]
    assert outbox.withdraw_instances(connection, KEY, before_version=3) == frozenset()


def test_routes_that_were_not_taken_are_not_chosen_any_more(connection: Connection) -> None:
    for version, becomes in enumerate(RouteState, start=1):
        routes.begin(connection, KEY, version, "5" * 32, now=NOW)
        route = routes.find(connection, KEY, version)
        assert route is not None
        routes.save(connection, replace(route, state=becomes))
    last = len(RouteState) + 1
    routes.begin(connection, KEY, last, "5" * 32, now=NOW)
    routes.supersede(connection, KEY, last, now=NOW + 1)
    found = {version: route for (_, version), route in routes.all_routes(connection).items()}
    taken_back = (RouteState.UNDECIDED, RouteState.WAITING, RouteState.PASSED_OVER)
    for version, was in enumerate(RouteState, start=1):
        if was in taken_back:
            assert found[version].state is RouteState.PASSED_OVER
            assert [reason.name for reason in found[version].reasons] == [SUPERSEDED]
        else:
            assert found[version].state is was
    assert found[last].state is RouteState.UNDECIDED


@pytest.mark.parametrize("was", list(JobState))
def test_a_job_that_was_not_at_its_end_is_withdrawn(connection: Connection, was: JobState) -> None:
    queue = SqlJobQueue()
    queue.enqueue(connection, KEY, 1, now=NOW)
    if was is not JobState.QUEUED:
        job = queue.lease(connection, "worker", now=NOW, seconds=60)
        assert job is not None
        ends = {
            JobState.DONE: lambda: queue.finish(connection, job, now=NOW),
            JobState.FAILED: lambda: queue.fail(connection, job, reason="x", detail="x", now=NOW),
            JobState.REJECTED: lambda: queue.reject(connection, job, reason="x", detail="x", now=NOW),
        }
        ends.get(was, lambda: None)()
    queue.enqueue(connection, KEY, 2, now=NOW)
    supersede(connection, queue, KEY, 2, now=NOW)
    first, second = queue.find(connection, KEY)
    is_final = was in (JobState.DONE, JobState.REJECTED)
    assert first.state is (was if is_final else JobState.REJECTED)
    assert (first.reason == SUPERSEDED) is not is_final
    assert second.state is JobState.QUEUED
