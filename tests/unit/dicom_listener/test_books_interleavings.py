"""Random arrivals on real files and a real database, with crashes, acts of people, purges and restarts in between."""

import tempfile
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dicom_listener import state
from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.intake_events import CountAnswer
from dicom_listener.ending import Ending
from dicom_listener.series import ReceivedSeries, series_key
from dicom_listener.series_rows import SeriesState
from tests.unit.dicom_listener.desk import KEY, QUIET, Desk, uids
from tests.unit.dicom_listener.instances import SERIES, STUDY, uid

LONGEST, SETTLE = 35.0, 2.0
SERIES_UIDS = (SERIES, SERIES + ".7")
KEYS = {series: series_key(STUDY, series) for series in SERIES_UIDS}
MANY = 5

numbers = st.integers(1, MANY)
some_series = st.sampled_from(SERIES_UIDS)


class Interleavings(RuleBasedStateMachine):
    """What is acknowledged is in the newest version of its series, sooner or later, and no version ever changes."""

    @initialize(claims=st.none() | st.integers(1, MANY), askable=st.booleans())
    def open(self, claims: int | None, askable: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        rule = CompletionRule(
            QUIET, LONGEST, settle_seconds=SETTLE, count_from_headers=True, closed_minimum_slices=MANY
        )
        self.desk = Desk(Path(self.folder.name), rule)
        self.desk.askable = ("PACS",) if askable else ()
        self.claims = claims
        self.acknowledged: dict[str, set[str]] = defaultdict(set)
        self.last_at: dict[str, float] = {}
        self.first_at: dict[str, float] = {}
        self.seen = 0
        self.rejected: set[str] = set()
        self.members: dict[tuple[str, int], frozenset[str]] = {}

    def _note(self, number: int, series: str) -> None:
        key = KEYS[series]
        self.acknowledged[key].add(uid(number, series))
        self.last_at[key] = self.desk.now
        self.first_at.setdefault(key, self.desk.now)

    def _note_restart(self) -> None:
        for key in self.acknowledged:
            self.last_at[key] = self.first_at[key] = self.desk.now

    @rule(number=numbers, series=some_series)
    def receive(self, number: int, series: str) -> None:
        self.desk.receive(number, series=series, claims=self.claims, z=2.0 * number)
        self._note(number, series)

    @rule(several=st.lists(st.tuples(numbers, some_series), max_size=6), without_a_word=st.none() | numbers)
    def receive_together(self, several: list[tuple[int, str]], without_a_word: int | None) -> None:
        """Several come within one turn; one more is durable, and its receiver died before it could tell of it."""
        stored = [
            self.desk.store(number, series=series, claims=self.claims, z=2.0 * number) for number, series in several
        ]
        if several and without_a_word is not None and self.acknowledged[KEYS[several[0][1]]] == set():
            series = several[0][1]
            self.desk.store(without_a_word, series=series, claims=self.claims, z=2.0 * without_a_word)
            self._note(without_a_word, series)
        self.desk.receive_together(*stored)
        for number, series in several:
            self._note(number, series)

    @rule(number=numbers, series=some_series)
    def receive_another_content(self, number: int, series: str) -> None:
        if uid(number, series) in self.acknowledged[KEYS[series]]:
            self.desk.receive(number, series=series, pixels=b"another", claims=self.claims, z=2.0 * number)
            self.last_at[KEYS[series]] = self.desk.now

    @rule(number=numbers, series=some_series)
    def receive_and_crash(self, number: int, series: str) -> None:
        self.desk.store(number, series=series, claims=self.claims, z=2.0 * number)
        self._note(number, series)
        self.desk.restart()
        self._note_restart()

    @rule(halves=st.integers(0, 30))  # of a second: sums are exact
    def turn(self, halves: int) -> None:
        self.desk.turn(halves / 2)

    @rule()
    def let_everything_complete(self) -> None:
        self.desk.turn(QUIET)

    @rule(several=st.lists(numbers, min_size=1, max_size=3), series=some_series, decides=st.booleans())
    def receive_late_ones(self, several: list[int], series: str, decides: bool) -> None:
        """The way to a reopened series, which chance alone takes too seldom."""
        self.receive(several[0], series)
        self.let_everything_complete()
        self.each_hand_over_is_due_and_whole()
        if decides:
            self.a_person_rejects(series)
        for number in several[1:]:
            self.receive(number, series)

    @rule(series=some_series)
    def end_an_association(self, series: str) -> None:
        self.desk.end_association(KEYS[series])

    @rule(count=st.integers(0, MANY))
    def ask(self, count: int) -> None:
        for question in self.desk.books.questions(now=self.desk.now):
            self.desk.books.take_answer(CountAnswer(question.series_key, question.version, count))

    @rule()
    def fail_to_hand_over(self) -> None:
        self.desk.fails = True
        for key in self.desk.books.completion.due(self.desk.now):
            with suppress(RuntimeError):  # raised unless there is nothing to hand over
                self.desk.books.complete(key, now=self.desk.now)
        self.desk.fails = False

    @rule(series=some_series)
    def a_person_rejects(self, series: str) -> None:
        if self.desk.newest_or_none(KEYS[series]) is not None:
            self.desk.reject(KEYS[series])
            self.rejected.add(KEYS[series])

    @rule(series=some_series)
    def a_person_takes_a_rejection_back(self, series: str) -> None:
        key = KEYS[series]
        if self.desk.newest_or_none(key) is not SeriesState.REJECTED:
            return
        row = self.desk.newest(key)
        if row.completed_at is None or row.purged_at is not None:
            return  # the command refuses it
        self.rejected.discard(key)
        if row.n_late:
            self._hand_over(self.desk.take_in_as_next_version(key))
        else:
            with self.desk.engine.begin() as connection:
                state.mark_accepted(connection, key, row.version)

    @rule(series=some_series)
    def housekeeping_purges(self, series: str) -> None:
        key = KEYS[series]
        if self.desk.newest_or_none(key) is not SeriesState.COMPLETE:
            return
        with self.desk.engine.begin() as connection:
            known = state.known_uids(connection, key)
        if self.desk.spool.purge(key, only=known):
            with self.desk.engine.begin() as connection:
                state.mark_purged(connection, key, now=self.desk.now)
            assert self.acknowledged[key] <= known, "an instance was purged that was in no version"
            self.acknowledged.pop(key)
            self.first_at.pop(key, None)

    @rule()
    def restart(self) -> None:
        self.desk.books.save(now=self.desk.now)
        before = self._what_is_open()
        self.desk.restart()
        assert self._what_is_open() == before, "a restart makes no difference but for the times"
        self._note_restart()

    def _what_is_open(self) -> dict[str, tuple[int, list[str]]]:
        completion = self.desk.books.completion
        return {
            key: (completion.version(key), [one.sop_instance_uid for one in completion.instances(key)])
            for key in KEYS.values()
            if completion.is_receiving(key)
        }

    def _hand_over(self, series: ReceivedSeries) -> None:
        assert (series.key, series.version) not in self.members, "a version was handed over twice"
        self.members[series.key, series.version] = frozenset(uids(series))

    @invariant()
    def each_hand_over_is_due_and_whole(self) -> None:
        if not hasattr(self, "desk"):
            return
        new, self.seen = self.desk.handed_over[self.seen :], len(self.desk.handed_over)
        for series in new:
            assert series.key not in self.rejected, "late instances undid what a person decided"
            self._hand_over(series)
            self._check_due(series)
            assert frozenset(uids(series)) == self.acknowledged[series.key], "an instance was left out"
            self.first_at.pop(series.key, None)

    def _check_due(self, series: ReceivedSeries) -> None:
        row = next(r for r in self.desk.rows() if (r.series_key, r.version) == (series.key, series.version))
        quiet_for = self.desk.now - self.last_at[series.key]
        if row.ended_by is Ending.QUIET:
            assert quiet_for >= QUIET
        elif row.ended_by is Ending.MAXIMUM_WAIT:
            assert self.desk.now >= self.first_at[series.key] + LONGEST
        else:
            assert quiet_for >= SETTLE
            assert row.ended_by is not Ending.COUNT or row.expected == row.n_instances
            assert row.ended_by is not Ending.CLOSED_GEOMETRY or row.n_instances == MANY

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        if hasattr(self, "desk"):
            for key, acknowledged in self.acknowledged.items():
                assert {one.instance.sop_instance_uid for one in self.desk.spool.load(key)} == acknowledged

    @invariant()
    def versions_are_contiguous_and_never_change(self) -> None:
        if not hasattr(self, "desk"):
            return
        by_key: dict[str, list[int]] = defaultdict(list)
        for row in sorted(self.desk.rows(), key=lambda row: row.version):
            by_key[row.series_key].append(row.version)
        for found in by_key.values():
            assert found == list(range(1, len(found) + 1))
        with self.desk.engine.begin() as connection:
            for (key, version), members in self.members.items():
                assert state.member_uids(connection, key, version) == members

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        try:
            self._finish()
        finally:
            self.desk.engine.dispose()
            self.folder.cleanup()

    def _finish(self) -> None:
        self.desk.restart()
        self._note_restart()
        self.desk.turn(QUIET)
        self.each_hand_over_is_due_and_whole()
        for key, acknowledged in self.acknowledged.items():
            if not acknowledged:
                continue
            row = self.desk.newest(key)
            with self.desk.engine.begin() as connection:
                members = state.member_uids(connection, key, row.version)
            assert row.completed_at is not None, "every series is complete at last"
            assert members <= acknowledged
            late = len(acknowledged - members)
            assert late == (row.n_late if row.state is SeriesState.REJECTED else 0), "it is in the newest version"


TestBooksInterleavings = Interleavings.TestCase
TestBooksInterleavings.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_the_machine_notices_an_instance_that_is_left_out(tmp_path: Path) -> None:
    """The checks of the machine are worth something only if they fail when they should."""
    desk = Desk(tmp_path)
    desk.receive(1)
    machine = Interleavings()
    machine.open(None, False)
    machine.acknowledged[KEY] = {uid(1), uid(2)}
    machine.desk.engine.dispose()
    machine.desk = desk
    with pytest.raises(AssertionError):
        machine.nothing_acknowledged_is_lost()
    desk.engine.dispose()
    machine.folder.cleanup()
    del machine.desk
