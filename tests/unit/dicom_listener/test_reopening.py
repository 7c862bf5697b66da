"""Late instances, what a person decided, and other processes: which version an instance belongs to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_listener import state
from dicom_listener.association_report import AssociationEnd
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake_events import CountAnswer, IntakeEventKind
from dicom_listener.ending import Ending
from dicom_listener.series_rows import SeriesState
from tests.unit.dicom_listener.desk import KEY, QUIET, Desk, uids
from tests.unit.dicom_listener.instances import SERIES, uid


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.engine.dispose()


def versions(desk: Desk) -> list[tuple[int, list[str]]]:
    return [(series.version, uids(series)) for series in desk.handed_over]


@pytest.mark.parametrize("forgotten_meanwhile", [False, True])
def test_late_instances_make_a_new_version_of_all_instances(desk: Desk, forgotten_meanwhile: bool) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    if forgotten_meanwhile:
        desk.turn(QUIET)
    desk.receive(2)
    desk.turn(QUIET - 1)
    assert [(row.version, row.state, row.n_late) for row in desk.rows()] == [
        (1, SeriesState.COMPLETE, 0),
        (2, SeriesState.RECEIVING, 0),
    ]
    desk.receive(3)
    desk.turn(QUIET - 1)
    assert versions(desk) == [(1, [uid(1)])], "its quiet time begins anew"
    desk.turn(1)
    assert versions(desk) == [(1, [uid(1)]), (2, [uid(1), uid(2), uid(3)])]
    assert desk.kinds() == [IntakeEventKind.COMPLETE, IntakeEventKind.REOPENED, IntakeEventKind.COMPLETE]


def test_a_repeated_member_reopens_nothing(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    before = desk.rows()
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(1)
    desk.turn(2 * QUIET)
    assert desk.rows() == before
    assert len(desk.handed_over) == 1


@pytest.mark.parametrize("saved", [False, True])
def test_a_crash_while_a_series_is_reopened_loses_nothing(desk: Desk, saved: bool) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(2)
    if saved:
        desk.turn()
    desk.store(3)  # the crash came before the intake heard of it
    desk.restart()
    desk.turn(QUIET)
    assert versions(desk) == [(1, [uid(1)]), (2, [uid(1), uid(2), uid(3)])]


def test_a_late_instance_of_before_a_crash_reopens_the_series_at_the_restart(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.store(2)
    desk.restart()
    desk.turn(QUIET)
    assert versions(desk)[-1] == (2, [uid(1), uid(2)])


def test_what_was_late_before_this_was_automatic_is_taken_in_at_the_first_start(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.store(2)
    with desk.engine.begin() as connection:
        state.count_extra(connection, KEY, 1, n_late=1, n_conflicts=0, last_at=1.0)
    desk.restart()
    desk.turn(QUIET)
    assert [(row.version, row.n_late) for row in desk.rows()] == [(1, 0), (2, 0)]


def test_a_conflict_reopens_nothing_and_is_shown_at_the_newest_version(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(1, pixels=b"other")
    desk.turn(QUIET)
    assert [(row.version, row.n_conflicts) for row in desk.rows()] == [(1, 1)]
    desk.receive(2)
    desk.turn(QUIET)
    assert [(row.version, row.n_conflicts) for row in desk.rows()] == [(1, 0), (2, 1)]


def test_a_rejected_version_is_not_reopened_without_a_person(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.reject()
    desk.receive(2)
    desk.turn(QUIET)
    desk.restart()
    desk.receive(3)
    desk.receive(3)
    desk.turn(3 * QUIET)
    assert len(desk.handed_over) == 1
    assert [(row.version, row.state, row.n_late) for row in desk.rows()] == [(1, SeriesState.REJECTED, 2)]
    assert desk.kinds().count(IntakeEventKind.LATE) == 2

    desk.take_in_as_next_version()
    desk.receive(2)
    desk.receive(3)
    desk.turn(QUIET)
    assert [(row.version, row.n_late) for row in desk.rows()] == [(1, 0), (2, 0)], "duplicates are late on nothing"
    desk.receive(4)
    desk.turn(QUIET)
    assert versions(desk)[-1] == (3, [uid(number) for number in (1, 2, 3, 4)])


@pytest.mark.parametrize("saved", [False, True])
def test_a_rejection_that_comes_while_late_instances_do(desk: Desk, saved: bool) -> None:
    """Before the next version has a row the person took the first one out; after that, the next one."""
    desk.receive(1)
    desk.turn(QUIET)
    desk.receive(2)
    if saved:
        desk.turn()
    desk.reject()
    desk.turn()
    desk.turn(QUIET)
    assert len(desk.handed_over) == 1
    shown = [(row.version, row.state, row.n_late) for row in desk.rows()]
    if saved:
        assert shown == [(1, SeriesState.COMPLETE, 0), (2, SeriesState.REJECTED, 0)]
    else:
        assert shown == [(1, SeriesState.REJECTED, 1)]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_series_rejected_while_it_is_received_can_be_taken_back_whole(desk: Desk, restarts: bool) -> None:
    desk.receive(1)
    desk.turn()
    desk.reject()
    desk.receive(2)
    if restarts:
        desk.restart()
    desk.turn(QUIET)
    row = desk.newest()
    assert (row.state, row.n_instances, row.n_late) == (SeriesState.REJECTED, 2, 0)
    assert desk.handed_over == []
    with desk.engine.begin() as connection:
        state.mark_accepted(connection, KEY, 1)
        series = state.load_series(connection, desk.spool.root, KEY, 1)
    assert uids(series) == [uid(1), uid(2)]


def test_what_comes_after_a_series_was_forgotten_while_it_was_received_is_the_next_version(desk: Desk) -> None:
    desk.receive(1)
    desk.turn()
    with desk.engine.begin() as connection:
        state.mark_forgotten(connection, KEY, 1, by="dr", why="asked to", now=desk.now)
    desk.purge()
    desk.receive(2)
    desk.turn(QUIET)
    desk.turn(QUIET)
    assert versions(desk) == [(2, [uid(2)])]
    assert desk.newest().state is SeriesState.COMPLETE


def test_an_instance_of_the_last_moment_keeps_a_series_from_being_purged(desk: Desk) -> None:
    desk.receive(1)
    desk.turn(QUIET)
    desk.store(2)  # acknowledged, and no row tells of it yet
    with desk.engine.begin() as connection:
        known = state.known_uids(connection, KEY)
    assert not desk.spool.purge(KEY, only=known)
    assert len(desk.spool.load(KEY)) == 2
    desk.restart()
    desk.turn(QUIET)
    assert versions(desk)[-1] == (2, [uid(1), uid(2)])
    with desk.engine.begin() as connection:
        known = state.known_uids(connection, KEY)
    assert desk.spool.purge(KEY, only=known)


def test_several_series_interleaved_and_one_over_several_associations(desk: Desk) -> None:
    other = SERIES + ".7"
    for number in (1, 2, 3):
        desk.receive(number)
        desk.receive(number, series=other)
        desk.end_association()
        desk.turn(QUIET - 1)
    desk.end_association(end=AssociationEnd.ABORTED)
    for number in (2, 3, 4):  # sent again after the abort
        desk.receive(number)
    desk.turn(QUIET)
    assert sorted((series.version, len(series.instances)) for series in desk.handed_over) == [(1, 3), (1, 4)]


def test_a_count_in_the_header_ends_the_wait_and_is_never_a_mixture(tmp_path: Path) -> None:
    desk = Desk(tmp_path, CompletionRule(QUIET, settle_seconds=1.0, count_from_headers=True))
    desk.receive(1, claims=2)
    desk.receive(2)
    desk.turn(1)
    desk.receive(3)  # so the count was wrong
    desk.turn(1)
    assert versions(desk) == [(1, [uid(1), uid(2)])]
    desk.turn(QUIET - 1)
    assert versions(desk)[1:] == [(2, [uid(1), uid(2), uid(3)])]
    assert [(row.ended_by, row.expected) for row in desk.rows()] == [(Ending.COUNT, 2), (Ending.QUIET, 2)]
    desk.engine.dispose()


def test_a_series_that_is_short_of_its_count_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path, CompletionRule(QUIET, settle_seconds=1.0, count_from_headers=True))
    desk.receive(1, claims=5)
    desk.turn(QUIET)
    report = desk.events[-1].series
    assert report is not None
    assert (report.is_short, report.expected, report.ended_by) == (True, 5, Ending.QUIET)
    assert "short of its count" in caplog.text
    assert (desk.newest().expected, desk.newest().n_instances) == (5, 1)
    desk.engine.dispose()


def test_a_sender_is_asked_once_it_pauses_and_its_answer_ends_the_wait(tmp_path: Path) -> None:
    desk = Desk(tmp_path, CompletionRule(QUIET, settle_seconds=1.0))
    desk.askable = ("PACS",)
    desk.receive(1)
    desk.receive(2)
    assert desk.books.questions(now=desk.now + 0.5) == []
    (question,) = desk.books.questions(now=desk.now + 1)
    assert (question.series_key, question.version, question.ae_title) == (KEY, 1, "PACS")
    assert question.series_instance_uid == SERIES
    desk.books.take_answer(CountAnswer(KEY, 1, 2))
    desk.turn(1)
    assert desk.newest().ended_by is Ending.COUNT
    desk.books.take_answer(CountAnswer(KEY, 1, 7))  # too late: harmless
    desk.engine.dispose()


@pytest.mark.parametrize(
    ("end", "gap", "expected"),
    [
        (AssociationEnd.RELEASED, False, Ending.CLOSED_GEOMETRY),
        (AssociationEnd.ABORTED, False, None),
        (AssociationEnd.RELEASED, True, None),
    ],
)
def test_the_release_of_an_association_ends_the_wait_for_a_closed_geometry(
    tmp_path: Path, end: AssociationEnd, gap: bool, expected: Ending | None
) -> None:
    desk = Desk(tmp_path, CompletionRule(QUIET, settle_seconds=1.0, closed_minimum_slices=4))
    for number in (1, 2, 4, 5) if gap else (1, 2, 3, 4):
        desk.receive(number, z=1.5 * number)
    desk.end_association(end=end)
    desk.turn(1)
    assert desk.newest().ended_by is expected
    desk.engine.dispose()


def test_half_a_chest_is_closed_and_the_other_half_makes_a_new_version(tmp_path: Path) -> None:
    desk = Desk(tmp_path, CompletionRule(QUIET, settle_seconds=1.0, closed_minimum_slices=4))
    for first in (1, 5):
        for number in range(first, first + 4):
            desk.receive(number, z=1.5 * number)
        desk.end_association()
        desk.turn(1)
    assert [(version, len(members)) for version, members in versions(desk)] == [(1, 4), (2, 8)]
    desk.engine.dispose()
