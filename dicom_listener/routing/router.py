"""The router: decides about complete series, and chooses from a study when it is quiet. For the intake's one thread.

Nothing is kept in memory alone. The transaction that completes a version writes that it is undecided; a decision, and
the job that may follow from it, are one transaction too. After a crash the rows say what is left to decide, and a study
waits its quiet time again, as its sender may come back.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.errors import UnknownSeriesError, in_short
from dicom_listener.routing import routes
from dicom_listener.routing.best_series import Choice, choose, merits_of
from dicom_listener.routing.route_log import log_route
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing import Reason, decide
from dicom_listener.routing.routing_rules import Choose, RoutingRules, RuleBook
from dicom_listener.routing.series_traits import traits_of
from dicom_listener.routing.study_quiet import StudyQuiet
from dicom_listener.series import ReceivedSeries, study_hash
from dicom_listener.spool.heads import read_heads
from dicom_listener.spool.instance_head import InstanceHead
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""When something that could not be decided is tried again."""

EVERY_SERIES = Reason("every_series", "every eligible series is taken")

Take = Callable[[Connection, str, int], None]
"""Queues a version of a series (its key, its version) in the transaction that takes it; twice must do no harm."""


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """What the router goes by; seconds."""

    book: RuleBook
    study_quiet_seconds: float
    """A study is chosen from when nothing of it came for this long."""
    study_maximum_wait_seconds: float
    """... or at the latest this long after its first series was eligible."""
    opt_out: Callable[[Sequence[InstanceHead]], Reason | None] = lambda _heads: None
    """Says why a series must not be segmented. Raises `RoutingError` when it cannot tell: the series waits then."""


class SeriesRouter:
    """Follows complete series until they are taken or not."""

    def __init__(
        self,
        spool: Spool,
        engine: Engine,
        policy: RoutingPolicy,
        take: Take,
        *,
        has_result: Callable[[Connection, str], bool] = lambda _connection, _key: False,
        observe: Callable[[Route], None] = lambda _route: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Make a router that does nothing before `recover`.

        Args:
            spool: where the instances are.
            engine: of the state; its tables exist.
            policy: what it goes by.
            take: queues a series.
            has_result: says whether some version of a series was segmented.
            observe: told of each decision after its commit.
            clock: Unix time for the rows.
        """
        self._spool_root = spool.root
        self._engine = engine
        self._policy = policy
        self._take = take
        self._has_result = has_result
        self._observe = observe
        self._clock = clock
        self._quiet = StudyQuiet(policy.study_quiet_seconds, policy.study_maximum_wait_seconds)
        self._undecided: deque[tuple[str, int]] = deque()
        self._retry_at = 0.0

    def recover(self, *, now: float) -> None:
        """Take up what the rows say.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the state cannot be read.
        """
        with self._engine.begin() as connection:
            undecided = routes.in_states(connection, [RouteState.UNDECIDED])
            waiting = routes.in_states(connection, [RouteState.WAITING])
            receiving = state.list_series(connection, [state.SeriesState.RECEIVING])
        self._undecided.extend((route.series_key, route.version) for route in undecided)
        for row in receiving:
            self._quiet.note(study_hash(row.study_instance_uid), row.series_key, now=now)
        for route in waiting:
            self._quiet.note(route.study_hash, route.series_key, now=now)
            self._quiet.wait(route.study_hash, route.series_key, now=now)

    def on_stored(self, stored: StoredInstance, *, now: float) -> None:
        """Note that something came for a study."""
        self._quiet.note(study_hash(stored.instance.study_instance_uid), stored.series_key, now=now)

    def on_complete(self, connection: Connection, series: ReceivedSeries) -> None:
        """Note in the transaction that completes a series that it is to be decided about."""
        name = study_hash(series.study_instance_uid)
        routes.begin(connection, series.key, series.version, name, now=self._clock())
        self._undecided.append((series.key, series.version))  # without a row, should the transaction fail: no harm

    def next_deadline(self, is_receiving: Callable[[str], bool]) -> float | None:
        """When `run_due` has something to do if nothing more comes; None when nothing is open."""
        deadline = 0.0 if self._undecided else self._quiet.next_deadline(is_receiving)
        return None if deadline is None else max(deadline, self._retry_at)

    def run_due(self, now: float, is_receiving: Callable[[str], bool]) -> None:
        """Decide what is undecided and choose from studies that are quiet; what fails is tried again later."""
        if now < self._retry_at:
            return
        for key, version in [self._undecided.popleft() for _ in range(len(self._undecided))]:
            try:
                self._decide(key, version, now)
            except Exception as error:  # noqa: BLE001 (one series must not keep the others from being decided)
                self._undecided.append((key, version))
                self._pause(f"series {key} version {version}", error, now)
        for study in self._quiet.due(now, is_receiving):
            try:
                self._choose(study)
                self._quiet.chosen(study)
            except Exception as error:  # noqa: BLE001 (likewise for studies)
                self._pause("a study", error, now)
        self._quiet.forget_idle(now, is_receiving)

    def _pause(self, what: str, error: Exception, now: float) -> None:
        LOGGER.error("%s is decided about again in %g s: %s", what, RETRY_SECONDS, in_short(error))
        self._retry_at = now + RETRY_SECONDS

    def _decide(self, key: str, version: int, now: float) -> None:
        with self._engine.begin() as connection:
            route = routes.find(connection, key, version)
            if route is None or route.state is not RouteState.UNDECIDED:
                return  # a person decided, or it was purged
            try:
                series = state.load_series(connection, self._spool_root, key, version)
            except UnknownSeriesError:
                routes.drop(connection, key, version)
                return
        heads = read_heads(instance.path for instance in series.instances)
        opted_out = self._policy.opt_out(heads)
        traits = traits_of(heads)
        rules = self._policy.book.for_called(traits.called_ae_title)
        decision = decide(traits, rules)
        with self._engine.begin() as connection:
            is_ready = routes.is_ready(connection, route)
            route = routes.find(connection, key, version, lock=True)
            if route is None or route.state is not RouteState.UNDECIDED:
                return
            if not is_ready:
                routes.drop(connection, key, version)
                return
            route = replace(route, rules=rules.name)
            if opted_out is not None:
                reached = self._settle(connection, route, RouteState.OPTED_OUT, opted_out)
            elif not decision.taken:
                reached = self._settle(connection, route, RouteState.NOT_TAKEN, *decision.reasons)
                self._take_another(connection, reached)
            else:
                route = replace(route, merits=merits_of(traits))
                reached = self._settle(connection, route, *_eligible(rules))
        if reached.state is RouteState.WAITING:
            self._quiet.wait(reached.study_hash, key, now=now)
        self._tell([reached])

    def _take_another(self, connection: Connection, route: Route) -> None:
        """A new version is left out, and the one that was taken before has no result and gets none: take the next."""
        if route.version == 1 or self._has_result(connection, route.series_key):
            return
        mine = [r for r in routes.of_study(connection, route.study_hash) if r.series_key == route.series_key]
        for before in [r for r in mine if r.state is RouteState.TAKEN]:
            following = routes.give_up(connection, before.series_key, before.version, now=self._clock())
            if following is not None:
                self._take(connection, following.series_key, following.version)

    def _choose(self, study: str) -> None:
        reached: list[Route] = []
        with self._engine.begin() as connection:
            gone = {
                (route.series_key, route.version)
                for route in routes.of_study(connection, study)
                if route.state is RouteState.WAITING and not routes.is_ready(connection, route)
            }
            for key, version in gone:
                routes.drop(connection, key, version)  # a person decided, or it was purged
            rows = routes.of_study(connection, study, lock=True)
            waiting = [route for route in rows if route.state is RouteState.WAITING]
            for name in sorted({route.rules for route in waiting}):
                taken = [r for r in rows if r.rules == name and r.state is RouteState.TAKEN]
                mine = {(r.series_key, r.version): r for r in waiting if r.rules == name}
                for choice in self._choices(list(mine.values()), taken, self._policy.book.named(name)):
                    route = mine[choice.candidate.key, choice.candidate.version]
                    becomes = RouteState.TAKEN if choice.taken else RouteState.PASSED_OVER
                    reached.append(self._settle(connection, replace(route, place=choice.place), becomes, choice.reason))
        self._tell(reached)

    @staticmethod
    def _choices(waiting: Sequence[Route], taken: Sequence[Route], rules: RoutingRules) -> Sequence[Choice]:
        candidates = [candidate for route in waiting if (candidate := route.candidate) is not None]
        before = [candidate for route in taken if (candidate := route.candidate) is not None]
        if rules.choose is Choose.ALL:  # the setting was changed while they waited
            return [Choice(candidate, True, EVERY_SERIES, place) for place, candidate in enumerate(candidates, start=1)]
        return choose(candidates, before, rules)

    def _settle(self, connection: Connection, route: Route, becomes: RouteState, *reasons: Reason) -> Route:
        reached = replace(route, state=becomes, reasons=reasons, decided_at=self._clock())
        routes.save(connection, reached)
        if becomes is RouteState.TAKEN:
            self._take(connection, route.series_key, route.version)
        return reached

    def _tell(self, reached: Sequence[Route]) -> None:
        for route in reached:
            log_route(route)
            try:
                self._observe(route)
            except Exception as error:  # noqa: BLE001 (an observer may fail, the router may not)
                LOGGER.error("the observer of the router failed: %s", type(error).__name__)


def _eligible(rules: RoutingRules) -> tuple[RouteState, Reason]:
    if rules.choose is Choose.ALL:
        return RouteState.TAKEN, EVERY_SERIES
    return RouteState.WAITING, Reason("study_not_quiet", "eligible; the best of its study is chosen when it is quiet")
