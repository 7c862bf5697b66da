"""The loop behind delivery and publishing, with a clock of its own and destinations that behave as told."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine

from reporter import outbox
from reporter.deliver_loop import Deliverer
from reporter.outbox import ItemKind, ItemState, OutboxItem
from reporter.outcome import Outcome
from tests.unit.reporter.outbox_room import (
    AWAY,
    POLICY,
    REFUSED,
    Clock,
    FakeSender,
    items,
    make,
    queue,
    states,
)


def test_everything_due_is_sent_once_in_batches_oldest_first(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    queue(engine, 1, 2, 3, 4, 5)
    deliverer = make(engine, sender, clock)
    assert deliverer.drain_once(clock.now) is None
    assert deliverer.drain_once(clock.now) is None
    assert sender.calls == [["1.dcm", "2.dcm", "3.dcm"], ["4.dcm", "5.dcm"]]
    assert set(states(engine).values()) == {"done"}


def test_a_failure_waits_and_is_tried_again(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    queue(engine, 1)
    sender.errors["1.dcm"] = AWAY
    deliverer = make(engine, sender, clock)
    deliverer.drain_once(clock.now)
    first = items(engine)[1]
    assert (first.state, first.attempts, first.last_error) == (ItemState.WAITING, 1, str(AWAY))
    assert 1005 <= first.next_attempt_at <= 1010
    deliverer.drain_once(clock.now)
    assert len(sender.calls) == 1  # not due yet
    clock.now = first.next_attempt_at
    deliverer.drain_once(clock.now)
    assert 1010 <= items(engine)[1].next_attempt_at - clock.now + 1000 <= 1020
    sender.errors.clear()
    clock.now += 1000
    deliverer.drain_once(clock.now)
    assert states(engine) == {1: "done"}


def test_a_destination_that_is_away_is_not_asked_for_every_item(
    engine: Engine, sender: FakeSender, clock: Clock
) -> None:
    queue(engine, 1, 2, 3, 4, 5)
    sender.errors.update({f"{version}.dcm": AWAY for version in range(1, 6)})
    due = make(engine, sender, clock).drain_once(clock.now)
    assert len(sender.calls) == 1
    assert due == clock.now + POLICY.backoff.first_s
    assert [item.attempts for item in items(engine).values()] == [1, 1, 1, 0, 0]


def test_a_refusal_is_shown_and_tried_after_the_longest_wait(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    queue(engine, 1, 2)
    sender.errors["1.dcm"] = REFUSED
    make(engine, sender, clock).drain_once(clock.now)
    blocked = items(engine)[1]
    assert blocked.state is ItemState.BLOCKED
    assert 1500 <= blocked.next_attempt_at <= 2000
    assert states(engine)[2] == "done"
    sender.errors.clear()
    clock.now = blocked.next_attempt_at
    make(engine, sender, clock).drain_once(clock.now)
    assert states(engine) == {1: "done", 2: "done"}


def test_a_defect_is_kept_with_the_items_and_stops_nobody(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    queue(engine, 1, 2)
    queue(engine, 3, destination="other")
    sender.errors["2.dcm"] = ZeroDivisionError("Mustermann^Max")
    other = FakeSender()
    make(engine, sender, clock, other=other).drain_once(clock.now)
    assert states(engine) == {1: "done", 2: "waiting", 3: "done"}
    error = items(engine)[2].last_error
    assert error is not None
    assert "ZeroDivisionError" in error
    assert "Mustermann" not in error


def test_a_sender_that_ends_early_leaves_items_waiting(engine: Engine, clock: Clock) -> None:
    class Short(FakeSender):
        def send(self, paths: Sequence[Path]) -> Iterator[Outcome]:
            yield from list(super().send(paths))[:1]

    queue(engine, 1, 2)
    make(engine, Short(), clock).drain_once(clock.now)
    assert states(engine) == {1: "done", 2: "waiting"}


def test_items_of_unknown_destinations_stay(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    queue(engine, 1, destination="removed-from-settings")
    make(engine, sender, clock).drain_once(clock.now)
    assert states(engine) == {1: "waiting"}
    assert sender.calls == []


def test_each_outcome_is_durable_before_the_next_item(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    seen: list[dict[int, str]] = []
    queue(engine, 1, 2, 3)
    deliverer = Deliverer(
        engine,
        {"pacs": sender},
        policy=POLICY,
        clock=clock,
        observe=lambda _item, _outcome: seen.append(states(engine)),
    )
    deliverer.drain_once(clock.now)
    assert [list(found.values()).count("done") for found in seen] == [1, 2, 3]


def test_a_crash_while_sending_sends_the_same_file_again(engine: Engine, sender: FakeSender, clock: Clock) -> None:
    queue(engine, 1)

    def die() -> None:
        raise KeyboardInterrupt

    sender.before = die
    with pytest.raises(KeyboardInterrupt):
        make(engine, sender, clock).drain_once(clock.now)
    sender.before = lambda: None
    successor = make(engine, sender, clock)
    successor.drain_once(clock.now)
    assert states(engine) == {1: "waiting"}  # the lease of the dead is still there
    clock.now += POLICY.lease_s
    successor.drain_once(clock.now)
    assert states(engine) == {1: "done"}
    assert sender.calls == [["1.dcm"], ["1.dcm"]]


def test_run_frees_what_a_predecessor_held_and_stops_when_told(engine: Engine, sender: FakeSender) -> None:
    queue(engine, 1)
    with engine.begin() as connection:
        held = outbox.lease_due(connection, ItemKind.DICOM, "pacs", "test/dicom pacs", now=2e9, seconds=1e9, limit=9)
    assert len(held) == 1
    confirmed, stop = threading.Event(), threading.Event()
    deliverer = Deliverer(
        engine, {"pacs": sender}, policy=POLICY, observe=lambda _item, _outcome: confirmed.set(), poll_s=60
    )
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    assert confirmed.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_run_looks_at_once_when_notified(engine: Engine, sender: FakeSender) -> None:
    first, second, stop = threading.Event(), threading.Event(), threading.Event()
    told = {1: first, 2: second}
    deliverer = Deliverer(
        engine,
        {"pacs": sender},
        policy=POLICY,
        observe=lambda item, _outcome: told[item.run.series_version].set(),
        poll_s=600,
    )
    queue(engine, 1)
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    assert first.wait(20)
    queue(engine, 2)
    deliverer.notify()
    assert second.wait(20)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()


def test_a_hanging_destination_delays_no_other(engine: Engine) -> None:
    release, confirmed, stop = threading.Event(), threading.Event(), threading.Event()
    hanging, other = FakeSender(), FakeSender()

    def hang() -> None:
        release.wait(20)

    hanging.before = hang
    queue(engine, 1, destination="hanging")
    queue(engine, 2, destination="other")

    def observe(item: OutboxItem, _outcome: Outcome) -> None:
        if item.destination == "other":
            confirmed.set()

    deliverer = Deliverer(engine, {"hanging": hanging, "other": other}, policy=POLICY, observe=observe)
    thread = threading.Thread(target=deliverer.run, args=(stop,))
    thread.start()
    assert confirmed.wait(20)
    assert states(engine)[1] == "waiting"
    release.set()
    stop.set()
    thread.join(20)
    assert states(engine)[1] == "done"  # what was under way is finished
