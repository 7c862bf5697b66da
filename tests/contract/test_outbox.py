"""The outbox on every database that Segwatch runs on."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from qc.stream.messages import Message
from reporter import outbox
from reporter.errors import UnknownRecordError
from reporter.message_payload import decode_message
from reporter.outbox import ItemKind, ItemState, OutboxItem, Run
from reporter.outbox_summary import summarize
from segwatch.database import make_engine

KEY = "0123456789abcdef" * 2
RUN = Run(KEY, 1, 0)
NOW = 1_700_000_000.0
MESSAGE = Message("segwatch.metrics.v1.a", "k", b'{"x": "\xc3\xbc"}', {"ce_id": "e1"})


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    outbox.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


def lease(connection: Connection, now: float = NOW, owner: str = "one", limit: int = 10) -> list[OutboxItem]:
    return outbox.lease_due(connection, ItemKind.DICOM, "pacs", owner, now=now, seconds=60, limit=limit)


def add(connection: Connection, run: Run = RUN, now: float = NOW) -> OutboxItem:
    return outbox.add_instance(connection, run, "pacs", Path("/results/seg.dcm"), now=now)


def state_of(connection: Connection, item: OutboxItem) -> OutboxItem:
    return next(found for found in outbox.find_by_series(connection, item.run.series_key) if found.id == item.id)


def test_an_instance_comes_back_as_it_was_added(connection: Connection) -> None:
    item = add(connection)
    assert item.path == Path("/results/seg.dcm")
    assert (item.kind, item.destination, item.run, item.state) == (ItemKind.DICOM, "pacs", RUN, ItemState.WAITING)
    assert (item.attempts, item.created_at, item.next_attempt_at, item.done_at) == (0, NOW, NOW, None)
    assert outbox.find_by_series(connection, KEY) == [item]


def test_a_message_comes_back_byte_for_byte(connection: Connection) -> None:
    item = outbox.add_message(connection, RUN, "stream", "e1", MESSAGE, now=NOW)
    assert item.payload is not None
    assert decode_message(item.payload) == MESSAGE
    assert outbox.find_by_event_id(connection, "e1").run.series_key == KEY


def test_adding_twice_keeps_the_first(connection: Connection) -> None:
    first = outbox.add_message(connection, RUN, "stream", "e1", MESSAGE, now=NOW)
    again = outbox.add_message(connection, RUN, "stream", "e1", Message("other", "k", b"x"), now=NOW + 9)
    assert again == first


@pytest.mark.parametrize("run", [Run("f" * 32, 1, 0), Run(KEY, 2, 0), Run(KEY, 1, 1)])
def test_another_series_version_or_generation_is_another_item(connection: Connection, run: Run) -> None:
    assert add(connection).id != add(connection, run).id


def test_an_unknown_record_is_named(connection: Connection) -> None:
    with pytest.raises(UnknownRecordError, match="e9"):
        outbox.find_by_event_id(connection, "e9")


def test_two_processes_adding_the_same_item_at_once_make_one(engine: Engine) -> None:
    start = threading.Barrier(4)
    found: list[int] = []

    def work() -> None:
        start.wait()
        with engine.begin() as connection:
            found.append(add(connection).id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_leased_item_is_left_alone_until_the_lease_ends(connection: Connection) -> None:
    item = add(connection)
    assert [taken.id for taken in lease(connection)] == [item.id]
    assert lease(connection, NOW + 59, "two") == []
    assert [taken.id for taken in lease(connection, NOW + 60, "two")] == [item.id]


def test_an_extended_lease_lasts(connection: Connection) -> None:
    item = add(connection)
    lease(connection)
    outbox.extend_leases(connection, [item.id], "two", until=NOW + 500)  # not the owner: nothing happens
    outbox.extend_leases(connection, [item.id], "one", until=NOW + 300)
    assert lease(connection, NOW + 299, "two") == []
    assert lease(connection, NOW + 300, "two") != []


def test_what_a_dead_process_held_is_freed_by_its_successor(connection: Connection) -> None:
    add(connection)
    lease(connection)
    outbox.release(connection, "two")
    assert lease(connection, NOW + 1) == []
    outbox.release(connection, "one")
    assert len(lease(connection, NOW + 1)) == 1


def test_due_items_come_oldest_first_and_not_before_their_time(connection: Connection) -> None:
    later = add(connection, Run(KEY, 3, 0), NOW + 2)
    first, second = add(connection, Run(KEY, 1, 0), NOW), add(connection, Run(KEY, 2, 0), NOW + 1)
    assert [item.id for item in lease(connection, NOW + 1, limit=1)] == [first.id]
    assert [item.id for item in lease(connection, NOW + 1)] == [second.id]
    assert [item.id for item in lease(connection, NOW + 2)] == [later.id]


def test_only_items_of_the_kind_and_destination_are_taken(connection: Connection) -> None:
    outbox.add_instance(connection, RUN, "other", Path("/x"), now=NOW)
    outbox.add_message(connection, RUN, "pacs", "e1", MESSAGE, now=NOW)
    assert lease(connection) == []


def test_two_processes_never_take_the_same_item(engine: Engine) -> None:
    with engine.begin() as connection:
        for version in range(1, 41):
            add(connection, Run(KEY, version, 0))
    start = threading.Barrier(4)
    taken: list[int] = []

    def work(owner: str) -> None:
        start.wait()
        while True:
            with engine.begin() as connection:
                items = lease(connection, NOW, owner, limit=3)
            if not items:
                return
            taken.extend(item.id for item in items)

    threads = [threading.Thread(target=work, args=(f"owner {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # on PostgreSQL a row that another transaction holds is skipped, so one may be left for the next look
    with engine.begin() as connection:
        taken.extend(item.id for item in lease(connection, NOW, "last", limit=40))
    assert len(taken) == len(set(taken)) == 40


def test_done_is_final(connection: Connection) -> None:
    item = add(connection)
    [taken] = lease(connection)
    assert not outbox.all_done(connection, KEY, 1)
    outbox.mark_done(connection, item.id, now=NOW + 5)
    outbox.mark_failed(connection, taken, "one", "too late", next_attempt_at=NOW + 6)
    done = state_of(connection, item)
    assert (done.state, done.attempts, done.done_at, done.last_error) == (ItemState.DONE, 1, NOW + 5, None)
    assert outbox.all_done(connection, KEY, 1)
    assert lease(connection, NOW + 1e6) == []
    outbox.mark_done(connection, item.id, now=NOW + 50)
    assert state_of(connection, item).done_at == NOW + 5


def test_a_failure_is_kept_and_tried_again_at_its_time(connection: Connection) -> None:
    add(connection)
    [item] = lease(connection)
    outbox.mark_failed(connection, item, "one", "unreachable", next_attempt_at=NOW + 10)
    failed = state_of(connection, item)
    assert (failed.state, failed.attempts, failed.last_error) == (ItemState.WAITING, 1, "unreachable")
    assert outbox.next_due_at(connection, ItemKind.DICOM, "pacs") == NOW + 10
    assert lease(connection, NOW + 9.9) == []
    assert len(lease(connection, NOW + 10)) == 1


def test_a_refused_item_is_blocked_and_still_tried(connection: Connection) -> None:
    add(connection)
    [item] = lease(connection)
    outbox.mark_failed(connection, item, "one", "refused", next_attempt_at=NOW + 900, blocked=True)
    assert state_of(connection, item).state is ItemState.BLOCKED
    [summary] = summarize(connection)
    assert (summary.waiting, summary.blocked, summary.done, summary.last_error) == (0, 1, 0, "refused")
    [again] = lease(connection, NOW + 900)
    outbox.mark_done(connection, again.id, now=NOW + 901)
    assert outbox.all_done(connection, KEY, 1)


def test_who_lost_the_lease_cannot_spoil_the_item(connection: Connection) -> None:
    add(connection)
    [item] = lease(connection)
    lease(connection, NOW + 60, "two")
    outbox.mark_failed(connection, item, "one", "slow", next_attempt_at=NOW + 900)
    assert state_of(connection, item).attempts == 0
    assert outbox.next_due_at(connection, ItemKind.DICOM, "pacs") == NOW + 120  # when the lease of "two" ends


def test_a_person_may_ask_for_a_try_now(connection: Connection) -> None:
    add(connection)
    [item] = lease(connection)
    outbox.mark_failed(connection, item, "one", "refused", next_attempt_at=NOW + 900, blocked=True)
    assert outbox.retry_now(connection, now=NOW + 1, series_key="f" * 32) == 0
    assert outbox.retry_now(connection, now=NOW + 1, series_key=KEY) == 1
    assert len(lease(connection, NOW + 1)) == 1


def test_all_done_counts_every_destination_and_needs_at_least_one(connection: Connection) -> None:
    assert not outbox.all_done(connection, KEY, 1)
    first = add(connection)
    second = outbox.add_message(connection, RUN, "stream", "e1", MESSAGE, now=NOW)
    outbox.mark_done(connection, first.id, now=NOW)
    assert not outbox.all_done(connection, KEY, 1)
    outbox.mark_done(connection, second.id, now=NOW)
    assert outbox.all_done(connection, KEY, 1)
    assert not outbox.all_done(connection, KEY, 2)


def test_summary_by_destination(connection: Connection) -> None:
    assert summarize(connection) == []
    add(connection)
    done = add(connection, Run(KEY, 2, 0), NOW - 50)
    outbox.mark_done(connection, done.id, now=NOW)
    outbox.add_message(connection, RUN, "stream", "e1", MESSAGE, now=NOW + 3)
    pacs, stream = summarize(connection)
    assert (pacs.kind, pacs.destination, pacs.waiting, pacs.done) == (ItemKind.DICOM, "pacs", 1, 1)
    assert (pacs.oldest_open_at, pacs.next_attempt_at, pacs.last_error) == (NOW, NOW, None)
    assert (stream.kind, stream.destination, stream.waiting, stream.oldest_open_at) == (
        ItemKind.RECORD,
        "stream",
        1,
        NOW + 3,
    )


def test_a_forgotten_series_leaves_nothing(connection: Connection) -> None:
    add(connection)
    outbox.add_message(connection, RUN, "stream", "e1", MESSAGE, now=NOW)
    other = add(connection, Run("f" * 32, 1, 0))
    assert outbox.remove(connection, KEY) == 2
    assert outbox.find_by_series(connection, KEY) == []
    assert outbox.find_by_series(connection, "f" * 32) == [other]


def test_withdrawing_takes_back_what_is_open_and_keeps_what_was_confirmed(connection: Connection) -> None:
    done, open_item = add(connection), add(connection, Run(KEY, 2, 0))
    other = add(connection, Run("f" * 32, 1, 0))
    outbox.mark_done(connection, done.id, now=NOW)
    [taken] = [item for item in lease(connection) if item.id == open_item.id]
    assert outbox.withdraw_open(connection, KEY) == 1
    outbox.mark_failed(connection, taken, "one", "too late", next_attempt_at=NOW)
    assert [item.id for item in outbox.find_by_series(connection, KEY)] == [done.id]
    assert [item.id for item in outbox.find_by_series(connection, "f" * 32)] == [other.id]


def test_nothing_is_kept_of_a_transaction_that_fails(engine: Engine) -> None:
    with pytest.raises(RuntimeError), engine.begin() as connection:
        add(connection)
        raise RuntimeError("crash before the commit")
    with engine.begin() as connection:
        assert outbox.find_by_series(connection, KEY) == []


def test_a_long_error_is_cut(connection: Connection) -> None:
    add(connection)
    [item] = lease(connection)
    outbox.mark_failed(connection, item, "one", "x" * 10_000, next_attempt_at=NOW)
    assert len(state_of(connection, item).last_error or "") == outbox.ERROR_LENGTH


def test_what_is_open_is_withdrawn_and_what_is_done_stays(connection: Connection) -> None:
    done, waiting, other = add(connection), add(connection, Run(KEY, 1, 1)), add(connection, Run("f" * 32, 1, 0))
    outbox.mark_done(connection, done.id, now=NOW)
    assert outbox.withdraw_open(connection, KEY) == 1
    assert [item.id for item in outbox.find_by_series(connection, KEY)] == [done.id]
    assert state_of(connection, other).state is ItemState.WAITING
    assert waiting.id not in {item.id for item in outbox.find_by_series(connection, KEY)}
