"""What follows from a decision: states, a person's wish, the worker, and the housekeeping."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_listener import state
from dicom_listener.routing import routes
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing import Reason
from dicom_listener.routing.routing_rules import DEFAULT_RULES
from dicom_listener.series import study_hash
from inference.errors import RejectionReason, SeriesRejectedError
from inference.jobs import JobState
from segwatch.errors import UsageError
from segwatch.status import SeriesState, SeriesStatus, series_status
from tests.unit.segwatch.site_room import RETENTION_S, SiteRoom, small_ct

TOO_SHORT = Reason("too_short", "60 mm long")


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_ct(tmp_path_factory.mktemp("ct"))


@pytest.fixture
def room(tmp_path: Path) -> SiteRoom:
    return SiteRoom(tmp_path)


def routed(room: SiteRoom, ct: list[Path], becomes: RouteState, *reasons: Reason, place: int | None = None) -> str:
    """A series about which something was decided; it has a job when it is taken."""
    key = room.receive(ct, queued=becomes is RouteState.TAKEN)
    with room.engine.begin() as connection:
        study = study_hash(state.find_by_prefix(connection, key).study_instance_uid)
        routes.begin(connection, key, 1, study, now=room.now)
        route = routes.find(connection, key, 1)
        assert route is not None
        decided = replace(route, state=becomes, reasons=reasons, rules=DEFAULT_RULES.name, place=place)
        routes.save(connection, decided)
    return key


def beside(room: SiteRoom, key: str, becomes: RouteState, place: int) -> str:
    """Another series of the same study, as far as rows go."""
    other = f"{place}" * 32
    with room.engine.begin() as connection:
        row = state.find_by_prefix(connection, key)
        progress = state.SeriesProgress(
            other, 1, row.study_instance_uid, f"{row.series_instance_uid}.{place}", "PACS", 1, 0, 1, room.now, room.now
        )
        series = state.load_series(connection, room.spool.root, key, 1)
        state.complete(connection, replace(series, key=other), progress)
        routes.begin(connection, other, 1, study_hash(row.study_instance_uid), now=room.now)
        route = routes.find(connection, other, 1)
        assert route is not None
        routes.save(connection, replace(route, state=becomes, rules=DEFAULT_RULES.name, place=place))
    return other


def shown(room: SiteRoom, key: str) -> SeriesStatus:
    with room.engine.begin() as connection:
        row = state.find_by_prefix(connection, key)
        job = next(iter(room.queue.find(connection, key)), None)
        return series_status(row, job, [], routes.find(connection, key, row.version))


def route_of(room: SiteRoom, key: str) -> Route | None:
    with room.engine.begin() as connection:
        return routes.find(connection, key, 1)


def jobs(room: SiteRoom) -> list[tuple[str, JobState]]:
    with room.engine.begin() as connection:
        return [(job.series_key, job.state) for job in room.queue.all(connection)]


@pytest.mark.parametrize(
    ("becomes", "wanted"),
    [
        (RouteState.UNDECIDED, SeriesState.WAITING),
        (RouteState.WAITING, SeriesState.WAITING),
        (RouteState.NOT_TAKEN, SeriesState.NOT_TAKEN),
        (RouteState.PASSED_OVER, SeriesState.PASSED_OVER),
        (RouteState.OPTED_OUT, SeriesState.OPTED_OUT),
        (RouteState.TAKEN, SeriesState.QUEUED),
    ],
)
def test_status_shows_what_was_decided(
    room: SiteRoom, ct: list[Path], becomes: RouteState, wanted: SeriesState
) -> None:
    key = routed(room, ct, becomes, TOO_SHORT, Reason("kernel", "no kernel is given"))
    status = shown(room, key)
    both = ("too_short, kernel", "too_short: 60 mm long; kernel: no kernel is given")
    assert status.state is wanted
    assert (status.reason, status.detail) == ((None, None) if becomes is RouteState.TAKEN else both)
    assert status.taken_because == (": ".join(both) if becomes is RouteState.TAKEN else None)


@pytest.mark.parametrize("becomes", [RouteState.NOT_TAKEN, RouteState.PASSED_OVER, RouteState.WAITING])
def test_a_person_has_a_series_segmented_that_rules_left_out(
    room: SiteRoom, ct: list[Path], becomes: RouteState
) -> None:
    key = routed(room, ct, becomes, TOO_SHORT)
    said = room.acts().reprocess(key, by="Dr Who", reason="wanted", now=room.now)
    assert said == "queued again as version 1"
    assert jobs(room) == [(key, JobState.QUEUED)]
    status = shown(room, key)
    assert (status.state, status.reason) == (SeriesState.QUEUED, None)
    assert status.taken_because == "by_person: Dr Who had it segmented"
    assert room.worker().work_once()
    assert jobs(room) == [(key, JobState.DONE)]


def test_nobody_can_have_a_series_segmented_that_opted_out(room: SiteRoom, ct: list[Path]) -> None:
    key = routed(room, ct, RouteState.OPTED_OUT, Reason("opted_out", "its patient is on the opt-out list"))
    with pytest.raises(UsageError, match="opt-out list; remove the entry"):
        room.acts().reprocess(key, by="x", reason="y", now=room.now)
    assert jobs(room) == []


def test_the_next_of_the_study_is_queued_when_the_chosen_one_is_rejected(room: SiteRoom, ct: list[Path]) -> None:
    key = routed(room, ct, RouteState.TAKEN, Reason("best_series", "it has more slices"), place=1)
    third = beside(room, key, RouteState.PASSED_OVER, 3)
    second = beside(room, key, RouteState.PASSED_OVER, 2)
    room.segmenter.error = SeriesRejectedError(RejectionReason.NO_LUNGS, "no lungs")
    assert room.worker().work_once()
    assert jobs(room) == [(key, JobState.REJECTED), (second, JobState.QUEUED)]
    assert [route.state for one in (key, second, third) if (route := route_of(room, one))] == [
        RouteState.GIVEN_UP,
        RouteState.TAKEN,
        RouteState.PASSED_OVER,
    ]


def test_a_worker_asks_the_opt_out_list_again(room: SiteRoom, ct: list[Path]) -> None:
    key = routed(room, ct, RouteState.TAKEN, place=1)
    on_the_list = Reason("opted_out", "its patient is on the opt-out list")
    assert room.worker(opt_out=lambda heads: on_the_list if heads[0].patient_id else None).work_once()
    assert room.segmenter.calls == 0
    assert shown(room, key).state is SeriesState.OPTED_OUT
    assert room.housekeeping().purge_due(room.now) == [key]
    assert list(room.spool.root.rglob("*.dcm")) == []
    with room.engine.begin() as connection:
        row = state.find_by_prefix(connection, key)
        assert state.member_uids(connection, key, 1) == frozenset()
    assert (row.study_instance_uid, row.series_instance_uid, row.purged_at) == ("", "", room.now)
    assert shown(room, key).state is SeriesState.OPTED_OUT


def test_what_opted_out_is_purged_at_once_and_its_identifiers_are_erased(room: SiteRoom, ct: list[Path]) -> None:
    key = routed(room, ct, RouteState.OPTED_OUT, Reason("opted_out", "its study is on the opt-out list"))
    with room.engine.begin() as connection:
        uid = state.find_by_prefix(connection, key).study_instance_uid
    room.receive_late(key, [])
    assert room.housekeeping().purge_due(room.now) == [key]
    assert room.housekeeping().purge_due(room.now) == []
    room.engine.dispose()
    assert uid.encode() not in b"".join(path.read_bytes() for path in room.folder.rglob("state.sqlite*"))


@pytest.mark.parametrize("becomes", [RouteState.NOT_TAKEN, RouteState.PASSED_OVER])
def test_what_is_not_taken_is_purged_after_the_retention(room: SiteRoom, ct: list[Path], becomes: RouteState) -> None:
    key = routed(room, ct, becomes, TOO_SHORT)
    assert room.housekeeping().purge_due(room.now + RETENTION_S - 1) == []
    assert room.housekeeping().purge_due(room.now + RETENTION_S) == [key]


@pytest.mark.parametrize("becomes", [RouteState.UNDECIDED, RouteState.WAITING])
def test_what_is_not_decided_is_kept(room: SiteRoom, ct: list[Path], becomes: RouteState) -> None:
    routed(room, ct, becomes)
    assert room.housekeeping().purge_due(room.now + 1000 * RETENTION_S) == []


def test_a_series_in_reserve_is_kept_until_the_chosen_one_is_segmented(room: SiteRoom, ct: list[Path]) -> None:
    key = routed(room, ct, RouteState.TAKEN, place=1)
    other = beside(room, key, RouteState.PASSED_OVER, 2)
    later = room.now + 10 * RETENTION_S
    assert room.housekeeping().purge_due(later) == []
    assert room.worker().work_once()
    assert room.housekeeping().purge_due(later) == [other]


@pytest.mark.parametrize("becomes", [RouteState.TAKEN, RouteState.WAITING])
def test_what_a_person_rejects_is_no_rival_of_others_any_more(
    room: SiteRoom, ct: list[Path], becomes: RouteState
) -> None:
    key = routed(room, ct, becomes, place=1)
    room.acts().reject(key, by="x", reason="y", now=room.now)
    assert route_of(room, key) is None
    assert shown(room, key).state is SeriesState.REJECTED
    room.acts().reprocess(key, by="Dr Who", reason="after all", now=room.now)
    assert shown(room, key).taken_because == "by_person: Dr Who had it segmented"


def test_forgetting_removes_what_was_decided(room: SiteRoom, ct: list[Path]) -> None:
    key = routed(room, ct, RouteState.NOT_TAKEN, TOO_SHORT)
    room.acts().forget(key, by="x", reason="y", now=room.now)
    assert route_of(room, key) is None
    assert shown(room, key).state is SeriesState.FORGOTTEN
