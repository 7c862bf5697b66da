import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_listener import state
from dicom_listener.errors import RoutingError
from dicom_listener.routing import routes
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing import Reason
from dicom_listener.routing.routing_rules import Choose, RoutingRules
from tests.unit.dicom_listener.routing_desk import (
    LOCALIZER,
    LONGEST,
    QUIET,
    SMALL,
    STUDY_QUIET,
    THICK,
    RoutingDesk,
    key_of,
)

OTHER_STUDY = "1.2.826.0.1.3680043.8.498.8"


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., RoutingDesk]]:
    made: list[RoutingDesk] = []

    def make(*rule_sets: RoutingRules, by_called: dict[str, str] | None = None) -> RoutingDesk:
        made.append(RoutingDesk(tmp_path / str(len(made)), *rule_sets, by_called=by_called))
        return made[-1]

    yield make
    for desk in made:
        desk.engine.dispose()


@pytest.fixture
def desk(make_desk: Callable[..., RoutingDesk]) -> RoutingDesk:
    return make_desk()


def test_the_best_of_a_quiet_study_is_taken_and_the_others_say_why_not(desk: RoutingDesk) -> None:
    best = desk.receive(name="a")
    desk.receive(name="b", **THICK)
    desk.receive(name="l", **LOCALIZER)
    desk.turn(QUIET)
    assert [desk.state(name) for name in "abl"] == [RouteState.WAITING, RouteState.WAITING, RouteState.NOT_TAKEN]
    assert desk.taken == []
    desk.turn(STUDY_QUIET - QUIET)
    assert desk.taken == [(best, 1)]
    assert [desk.state(name) for name in "ab"] == [RouteState.TAKEN, RouteState.PASSED_OVER]
    assert (desk.why("a"), desk.why("b"), desk.why("l")) == (["best_series"], ["better_series"], ["localizer"])
    desk.settle()
    assert desk.taken == [(best, 1)]


def test_a_study_is_not_quiet_while_one_of_its_series_is_received(desk: RoutingDesk) -> None:
    desk.receive(name="b", **THICK)
    desk.turn(QUIET)
    for number in range(1, 9):
        desk.receive(number, name="a")
        desk.turn(QUIET - 1)
        assert desk.taken == []
    desk.settle()
    assert desk.taken == [(key_of("a"), 1)]


def test_a_study_that_never_gets_quiet_is_chosen_from_after_the_longest_wait(desk: RoutingDesk) -> None:
    desk.receive(name="a")
    desk.turn(QUIET)
    for number in range(1, 100):
        desk.receive(number, name="b", **THICK)
        desk.turn(QUIET / 2)
        if desk.taken:
            break
    assert desk.taken == [(key_of("a"), 1)]
    assert LONGEST <= desk.now <= LONGEST + 2 * QUIET
    desk.settle()
    assert desk.state("b") is RouteState.PASSED_OVER


def test_studies_do_not_wait_for_each_other(desk: RoutingDesk) -> None:
    one = desk.receive(name="a")
    desk.turn(QUIET)
    other = desk.receive(name="a", study=OTHER_STUDY)
    desk.turn(STUDY_QUIET - QUIET)
    assert desk.taken == [(one, 1)]
    desk.settle()
    assert desk.taken == [(one, 1), (other, 1)]


def test_a_better_series_that_comes_later_is_taken_besides_and_a_worse_one_is_not(desk: RoutingDesk) -> None:
    desk.receive(name="a", **THICK)
    desk.settle()
    desk.receive(name="b")
    desk.settle()
    desk.receive(name="c", **THICK)
    desk.settle()
    assert desk.taken == [(key_of("a"), 1), (key_of("b"), 1)]
    assert (desk.why("b"), desk.why("c")) == (["later_series"], ["better_series"])


def test_after_a_restart_the_study_waits_anew_and_nothing_is_taken_twice(desk: RoutingDesk) -> None:
    desk.receive(name="a")
    desk.turn(STUDY_QUIET - 1)
    desk.restart()
    desk.turn(STUDY_QUIET - 1)
    assert desk.taken == []
    desk.turn(1)
    assert desk.taken == [(key_of("a"), 1)]
    desk.restart()
    desk.settle()
    assert desk.taken == [(key_of("a"), 1)]


def test_a_kill_between_completion_and_decision_leaves_an_undecided_row(desk: RoutingDesk) -> None:
    desk.receive(name="a")
    desk.now += QUIET
    for key in desk.books.completion.due(desk.now):
        desk.books.complete(key, now=desk.now)
    assert desk.state("a") is RouteState.UNDECIDED
    desk.restart()
    assert desk.router.next_deadline(desk.books.completion.is_receiving) == 0.0
    desk.settle()
    assert desk.taken == [(key_of("a"), 1)]


def test_when_the_queue_is_down_nothing_is_written_and_it_is_tried_again(
    desk: RoutingDesk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    desk.receive(name="a")
    desk.fails = True
    desk.settle()
    assert (desk.taken, desk.state("a")) == ([], RouteState.WAITING)
    desk.fails = False
    desk.turn(5)
    assert (desk.taken, desk.state("a")) == ([(key_of("a"), 1)], RouteState.TAKEN)


def test_all_series_are_taken_at_once_where_rules_say_so(make_desk: Callable[..., RoutingDesk]) -> None:
    desk = make_desk(replace(SMALL, choose=Choose.ALL))
    desk.receive(name="a")
    desk.receive(name="b", **THICK)
    desk.receive(name="l", **LOCALIZER)
    desk.turn(QUIET)
    assert sorted(desk.taken) == sorted([(key_of("a"), 1), (key_of("b"), 1)])
    assert desk.why("a") == ["every_series"]


def test_the_called_ae_title_selects_the_rules(make_desk: Callable[..., RoutingDesk]) -> None:
    research = replace(SMALL, name="research", choose=Choose.ALL, localizers=True)
    desk = make_desk(SMALL, research, by_called={"RESEARCH": "research", "GONE": "no such rules"})
    desk.receive(name="a", called="RESEARCH", **LOCALIZER)
    desk.receive(name="b", called="OTHER", **LOCALIZER)
    desk.receive(name="c", called="GONE", **LOCALIZER)
    desk.turn(QUIET)
    assert desk.taken == [(key_of("a"), 1)]
    assert [(route.rules, route.state) for name in "abc" if (route := desk.route(name))] == [
        ("research", RouteState.TAKEN),
        ("default", RouteState.NOT_TAKEN),
        ("default", RouteState.NOT_TAKEN),
    ]


def test_opted_out_goes_before_rules(desk: RoutingDesk) -> None:
    desk.opted_out = Reason("opted_out", "its patient is on the opt-out list")
    desk.receive(name="a")
    desk.receive(name="l", **LOCALIZER)
    desk.settle()
    assert desk.taken == []
    assert (desk.state("a"), desk.state("l")) == (RouteState.OPTED_OUT, RouteState.OPTED_OUT)


def test_while_the_opt_out_list_cannot_be_read_nothing_is_decided(
    desk: RoutingDesk, caplog: pytest.LogCaptureFixture
) -> None:
    def unreadable(_heads: object) -> None:
        raise RoutingError("the list is gone")

    desk.policy = replace(desk.policy, opt_out=unreadable)
    desk.restart()
    desk.receive(name="a")
    desk.settle()
    assert (desk.state("a"), desk.taken) == (RouteState.UNDECIDED, [])
    assert "the list is gone" in caplog.text


def test_what_a_person_rejected_meanwhile_is_not_taken(desk: RoutingDesk) -> None:
    key = desk.receive(name="a")
    desk.receive(name="b", **THICK)
    desk.turn(QUIET)
    with desk.engine.begin() as connection:
        state.mark_rejected(connection, key, 1, by="x", why="y", now=1.0)
    desk.settle()
    assert desk.taken == [(key_of("b"), 1)]
    assert desk.state("a") is None


def test_what_was_purged_meanwhile_is_not_decided(desk: RoutingDesk) -> None:
    key = desk.receive(name="a")
    desk.now += QUIET
    desk.books.complete(key, now=desk.now)
    desk.spool.purge(key)
    with desk.engine.begin() as connection:
        state.mark_purged(connection, key, now=1.0)
    desk.settle()
    assert (desk.state("a"), desk.taken) == (None, [])


def test_a_damaged_file_of_the_spool_is_a_reason(desk: RoutingDesk) -> None:
    key = desk.receive(name="a")
    next(iter((desk.spool.root / key).glob("*.dcm"))).write_bytes(b"damaged")
    desk.settle()
    assert desk.state("a") is RouteState.NOT_TAKEN
    assert "unreadable" in desk.why("a")


def test_the_next_series_is_taken_when_the_chosen_one_cannot_be_segmented(desk: RoutingDesk) -> None:
    for name, thickness in (("a", 2), ("b", 4), ("c", 6)):
        desk.receive(name=name, SliceThickness=thickness)
    desk.settle()
    with desk.engine.begin() as connection:
        second = routes.give_up(connection, key_of("a"), 1, now=1.0)
        assert second is not None
        third = routes.give_up(connection, second.series_key, 1, now=2.0)
        assert third is not None
        assert routes.give_up(connection, third.series_key, 1, now=3.0) is None
    assert (second.series_key, third.series_key) == (key_of("b"), key_of("c"))
    assert desk.why("b") == desk.why("c") == ["next_in_line"]
    assert desk.state("a") is RouteState.GIVEN_UP
    # a series that was given up is no rival of what comes later
    desk.receive(name="d", SliceThickness=8)
    desk.settle()
    assert desk.state("d") is RouteState.TAKEN


def test_late_slices_of_the_series_that_was_taken_are_taken_too_though_another_is_better_now(desk: RoutingDesk) -> None:
    desk.receive(1, 2, 3, name="a")
    desk.settle()
    desk.receive(1, 2, 3, 4, 5, name="b")
    desk.receive(4, name="a")
    desk.settle()
    assert desk.taken[0] == (key_of("a"), 1)
    assert sorted(desk.taken[1:]) == sorted([(key_of("a"), 2), (key_of("b"), 1)])
    assert (desk.why("a", 2), desk.why("b")) == (["new_version"], ["later_series"])


def test_late_slices_while_the_study_is_waited_for_make_one_job_of_the_newer_version(desk: RoutingDesk) -> None:
    desk.receive(1, 2, 3, name="a")
    desk.turn(QUIET)
    assert desk.state("a") is RouteState.WAITING
    desk.receive(4, name="a")
    desk.settle()
    assert desk.taken == [(key_of("a"), 2)]
    assert (desk.state("a"), desk.why("a")) == (RouteState.PASSED_OVER, ["superseded"])


def test_late_slices_may_make_a_series_eligible_or_better(desk: RoutingDesk) -> None:
    desk.receive(1, name="a")
    desk.receive(1, 2, 3, name="b")
    desk.settle()
    assert desk.taken == [(key_of("b"), 1)]
    assert "too_few_slices" in desk.why("a")
    desk.receive(2, 3, 4, name="a")
    desk.settle()
    assert desk.taken == [(key_of("b"), 1), (key_of("a"), 2)]


@pytest.mark.parametrize("has_result", [False, True])
def test_the_next_series_is_taken_when_a_new_version_of_the_chosen_one_is_left_out(
    desk: RoutingDesk, has_result: bool
) -> None:
    desk.receive(name="a")
    desk.receive(name="b", **THICK)
    desk.settle()
    desk.segmented = {key_of("a")} if has_result else set()
    desk.purge("a")
    desk.receive(name="a", **LOCALIZER)
    desk.settle()
    assert desk.state("a", 2) is RouteState.NOT_TAKEN
    assert desk.taken == [(key_of("a"), 1), *([] if has_result else [(key_of("b"), 1)])]


def test_rows_hold_no_identifier_and_no_text_of_a_file(desk: RoutingDesk) -> None:
    desk.receive(name="a", BodyPartExamined="JOHNDOE", SeriesDescription="scout JOHNDOE", StudyDescription="JOHNDOE")
    desk.settle()
    route = desk.route("a")
    assert route is not None
    assert route.reasons
    assert not any(secret in repr(route) for secret in ("JOHNDOE", "SECRET-ID", "1.2.826"))
