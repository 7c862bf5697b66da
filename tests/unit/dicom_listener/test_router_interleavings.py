import logging
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dicom_listener import state
from dicom_listener.routing import routes
from dicom_listener.routing.routes import RouteState
from tests.unit.dicom_listener.routing_desk import LOCALIZER, QUIET, STUDY_QUIET, THICK, RoutingDesk, key_of


class _Routing(RuleBasedStateMachine):
    """Any interleaving of instances of three series of a study, pauses, restarts and failures of the queue."""

    @initialize()
    def set_up(self) -> None:
        logging.disable(logging.CRITICAL)  # thousands of lines about a queue that is down
        self.folder = tempfile.TemporaryDirectory()
        self.desk = RoutingDesk(Path(self.folder.name))
        self.received: dict[str, set[int]] = {}

    @rule(name=st.sampled_from("abl"), number=st.integers(1, 4))
    def arrive(self, name: str, number: int) -> None:
        elements: dict[str, dict[str, Any]] = {"a": {}, "b": THICK, "l": LOCALIZER}
        self.desk.receive(number, name=name, **elements[name])
        self.received.setdefault(name, set()).add(number)

    @rule(seconds=st.sampled_from([1.0, QUIET, STUDY_QUIET]))
    def wait(self, seconds: float) -> None:
        self.desk.turn(seconds)

    @rule()
    def kill(self) -> None:
        self.desk.restart()

    @rule(fails=st.booleans())
    def queue(self, fails: bool) -> None:
        self.desk.fails = fails

    @invariant()
    def nothing_is_taken_twice(self) -> None:
        if hasattr(self, "desk"):
            assert len(set(self.desk.taken)) == len(self.desk.taken)

    def teardown(self) -> None:
        logging.disable(logging.NOTSET)
        if not hasattr(self, "desk"):
            return
        self.desk.fails = False
        self.desk.settle()
        with self.desk.engine.begin() as connection:
            decided = routes.all_routes(connection)
            rows = state.list_series(connection)
        # every complete version was decided about, finally, and what is taken was queued
        complete = {(row.series_key, row.version) for row in rows if row.completed_at is not None}
        assert complete == set(decided)
        assert {key_of(name) for name in self.received} == {key for key, _ in complete}
        assert not {r.state for r in decided.values()} & {RouteState.UNDECIDED, RouteState.WAITING}
        assert {k for k, r in decided.items() if r.state is RouteState.TAKEN} == set(self.desk.taken)
        eligible = [k for k, r in decided.items() if r.merits is not None]
        assert bool(self.desk.taken) == bool(eligible)
        assert key_of("l") not in {key for key, _ in self.desk.taken}
        self.desk.engine.dispose()
        self.folder.cleanup()


_Routing.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestRouting = _Routing.TestCase
