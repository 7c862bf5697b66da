"""The rows of storage commitment, on every database that the state may live in."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, select

from dicom_listener import state
from dicom_listener.commitment import commitment_table
from dicom_listener.commitment.commitment import CommitmentRequest, Reference
from dicom_listener.commitment.commitment_table import CommitmentState, PendingRequest
from dicom_listener.errors import CommitmentConflictError, CommitmentLimitError
from dicom_listener.state_tables import commitment_requests
from segwatch.database import make_engine

REFERENCES = tuple(Reference("1.2.840.10008.5.1.4.1.1.2", f"1.2.3.{number}") for number in (1, 2, 3))
LONGEST = 900.0


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    engine = make_engine(database_url)
    try:
        state.metadata.create_all(engine)
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _request(
    transaction: str = "1.2.3", references: tuple[Reference, ...] = REFERENCES, calling: str = "PACS"
) -> CommitmentRequest:
    return CommitmentRequest(transaction, references, calling, "SEGWATCH")


def _accept(
    connection: Connection, request: CommitmentRequest, *, now: float = 100.0, maximum_pending: int = 10
) -> str:
    return commitment_table.accept(connection, request, now=now, next_try_at=now + 1.0, maximum_pending=maximum_pending)


def _due(connection: Connection, now: float, limit: int = 10) -> list[PendingRequest]:
    return commitment_table.due(connection, now=now, longest_wait=LONGEST, limit=limit)


def _row(connection: Connection, key: str) -> tuple[str, str, str | None]:
    table = commitment_requests.c
    query = select(table.state, table.reference_list, table.reason).where(table.request_key == key)
    found, references, reason = connection.execute(query).one()
    return found, references, reason


def test_a_request_is_due_as_it_was_accepted(connection: Connection) -> None:
    key = _accept(connection, _request())
    assert _due(connection, 100.9) == []
    assert _due(connection, 101.0) == [PendingRequest(key, _request(), 0, 100.0)]
    assert commitment_table.find_pending(connection, key) == PendingRequest(key, _request(), 0, 100.0)
    assert commitment_table.next_try_at(connection) == 101.0


def test_the_longest_due_comes_first_and_no_more_than_asked_for(connection: Connection) -> None:
    keys = [_accept(connection, _request(f"1.2.{number}"), now=200.0 - number) for number in range(4)]
    assert [pending.key for pending in _due(connection, 300.0)] == keys[::-1]
    assert [pending.key for pending in _due(connection, 300.0, limit=2)] == [keys[3], keys[2]]


def test_a_try_is_counted_before_it_is_made(connection: Connection) -> None:
    key = _accept(connection, _request())
    commitment_table.begin_try(connection, key, next_try_at=130.0)
    assert _due(connection, 129.0) == []
    assert [pending.tries for pending in _due(connection, 130.0)] == [1]
    commitment_table.retry(connection, key, at=110.0)
    assert [pending.tries for pending in _due(connection, 110.0)] == [1]


def test_what_was_never_tried_is_due_at_a_start_and_what_failed_waits_its_time(connection: Connection) -> None:
    fresh, failed, done = (_accept(connection, _request(f"1.2.{number}")) for number in range(3))
    commitment_table.begin_try(connection, failed, next_try_at=900.0)
    commitment_table.finish(connection, done, CommitmentState.REPORTED, now=50.0)
    commitment_table.hurry_untried(connection, now=50.0)
    assert [pending.key for pending in _due(connection, 50.0)] == [fresh]


def test_a_clock_that_jumped_back_delays_nothing(connection: Connection) -> None:
    _accept(connection, _request(), now=10**9)
    assert len(_due(connection, 10**9 - 10 * LONGEST)) == 1


def test_the_same_request_again_is_the_same_row_due_again(connection: Connection) -> None:
    key = _accept(connection, _request())
    commitment_table.begin_try(connection, key, next_try_at=900.0)
    assert _accept(connection, _request(references=REFERENCES[::-1]), now=200.0, maximum_pending=1) == key
    assert _due(connection, 201.0) == [PendingRequest(key, _request(), 1, 100.0)]
    assert commitment_table.count_pending(connection) == 1


@pytest.mark.parametrize("end", [CommitmentState.REPORTED, CommitmentState.GIVEN_UP])
def test_a_finished_request_forgets_its_instances_and_may_come_again(
    connection: Connection, end: CommitmentState
) -> None:
    key = _accept(connection, _request())
    commitment_table.begin_try(connection, key, next_try_at=130.0)
    commitment_table.finish(connection, key, end, now=110.0, reason="why" * 100)
    assert _row(connection, key) == (end, "[]", ("why" * 100)[:200])
    assert (commitment_table.next_try_at(connection), commitment_table.find_pending(connection, key)) == (None, None)
    with pytest.raises(CommitmentConflictError):
        _accept(connection, _request(references=REFERENCES[:2]))
    assert _accept(connection, _request(), now=500.0) == key
    assert _due(connection, 501.0) == [PendingRequest(key, _request(), 0, 500.0)]


def test_what_comes_after_the_end_changes_nothing(connection: Connection) -> None:
    key = _accept(connection, _request())
    commitment_table.finish(connection, key, CommitmentState.REPORTED, now=110.0)
    commitment_table.begin_try(connection, key, next_try_at=1.0)
    commitment_table.retry(connection, key, at=1.0)
    commitment_table.finish(connection, key, CommitmentState.GIVEN_UP, now=120.0, reason="late")
    assert _row(connection, key) == (CommitmentState.REPORTED, "[]", None)
    assert _due(connection, 1000.0) == []


def test_a_transaction_uid_stands_for_one_set_of_instances_of_one_sender(connection: Connection) -> None:
    key = _accept(connection, _request())
    with pytest.raises(CommitmentConflictError):
        _accept(connection, _request(references=REFERENCES[:2]))
    assert _accept(connection, _request(references=REFERENCES[:2], calling="OTHER")) != key


def test_requests_that_wait_are_limited_and_finished_ones_are_not_counted(connection: Connection) -> None:
    key = _accept(connection, _request("1.2.1"), maximum_pending=1)
    with pytest.raises(CommitmentLimitError):
        _accept(connection, _request("1.2.2"), maximum_pending=1)
    commitment_table.finish(connection, key, CommitmentState.REPORTED, now=110.0)
    _accept(connection, _request("1.2.2"), maximum_pending=1)


def test_finished_requests_are_forgotten_after_their_time_and_pending_ones_never(connection: Connection) -> None:
    old, new, waiting = (_accept(connection, _request(f"1.2.{number}")) for number in range(3))
    commitment_table.finish(connection, old, CommitmentState.REPORTED, now=110.0)
    commitment_table.finish(connection, new, CommitmentState.REPORTED, now=120.0)
    assert commitment_table.forget_finished(connection, before=115.0) == 1
    keys = set(connection.execute(select(commitment_requests.c.request_key)).scalars())
    assert keys == {new, waiting}


def test_ten_thousand_references_are_kept(connection: Connection) -> None:
    many = tuple(Reference("1.2.840.10008.5.1.4.1.1.2", f"1.2.826.0.1.{'9' * 40}.{n}") for n in range(10_000))
    key = _accept(connection, _request(references=many))
    pending = commitment_table.find_pending(connection, key)
    assert pending is not None
    assert pending.request.references == many


def test_requests_that_name_a_forgotten_instance_are_given_up_without_its_uid(connection: Connection) -> None:
    naming, other = _accept(connection, _request("1.2.1")), _accept(connection, _request("1.2.2", REFERENCES[:1]))
    gone = REFERENCES[2].sop_instance_uid
    assert commitment_table.give_up_naming(connection, lambda uid: uid == gone, now=110.0) == 1
    state_, references, reason = _row(connection, naming)
    assert (state_, references) == (CommitmentState.GIVEN_UP, "[]")
    assert reason is not None
    assert "forgotten" in reason
    assert [pending.key for pending in _due(connection, 200.0)] == [other]
