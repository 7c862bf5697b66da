"""When a site's share of flagged cases has risen above its own baseline: one alert per episode. Pure.

The baseline is itself an estimate. Taken at its face value, a site whose first cases went well by chance would be
alerted about for ever. So the recent cases are tested against an upper confidence bound of the baseline: for the stated
share of all baselines the chance of a false alarm at each look is then no higher than `tail` (in the spirit of
guaranteed conditional performance, Gandy and Kvaloy, Scand. J. Statist. 2013). Looks overlap, so run lengths are
simulated: `benchmarks/alert_rule_simulation.py`.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from qc.central.baseline import Baseline, Case, MovedMetric, moved_metrics
from qc.central.shares import Share, rise_began_at, share_of, tail_probability, upper_bound
from qc.errors import AlertRuleError

SHOWN_RECORDS = 6
NAMESPACE = uuid.UUID("6c7b1f3e-6a55-5f0e-9c53-7c5f0a8a52c1")
"""Of the ids that are derived from what an event is about, so that a replay gives the same ones."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """The parameters of the rule; `docs/explanation/alerts.md` gives their consequences."""

    window: int = 50
    """Recent cases that are looked at."""
    window_minimum: int = 20
    """Fewer recent cases never raise an alert."""
    baseline: int = 1000
    """Cases after which the baseline is complete."""
    baseline_minimum: int = 100
    """Until then the site is learning and nothing fires."""
    baseline_confidence: float = 0.9
    """Of the one-sided upper bound of the baseline's share."""
    tail: float = 0.002
    """An alert is raised when so many flagged cases would be rarer than this at the upper bound."""
    hold: float = 0.1
    """While they would be rarer than this, no case joins the baseline: a slow decline must not become the norm."""

    def __post_init__(self) -> None:
        """Refuse parameters that contradict each other. Raises `AlertRuleError`."""
        if not 1 <= self.window_minimum <= self.window or not 1 <= self.baseline_minimum <= self.baseline:
            raise AlertRuleError("alert rule: a minimum is 1 or more, and no larger than the window or the baseline")
        if not 0.0 < self.baseline_confidence < 1.0 or not 0.0 < self.tail <= self.hold < 1.0:
            raise AlertRuleError("alert rule: baseline_confidence, tail and hold lie between 0 and 1, tail <= hold")


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one baseline belongs to; another model or detector begins a new one."""

    site_id: str
    model_name: str
    model_version: str
    model_sha256: str
    detector_name: str
    detector_version: str
    detector_sha256: str


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert that is firing."""

    alert_id: str
    raised_by: str
    """Event id of the record with which the rule fired."""
    since_period: str
    cases: int = 0
    """Seen since it was raised."""


@dataclass(frozen=True, slots=True)
class SiteWindow:
    """What the rule remembers of one epoch."""

    cases: int = 0
    baseline: Baseline = field(default_factory=Baseline)
    recent: tuple[Case, ...] = ()
    """Oldest first."""
    episode: Episode | None = None

    def phase(self, rule: AlertRule) -> Literal["learning", "provisional", "established"]:
        """How far the baseline is known."""
        if self.baseline.cases < rule.baseline_minimum:
            return "learning"
        return "provisional" if self.baseline.cases < rule.baseline else "established"


@dataclass(frozen=True, slots=True)
class Alert:
    """What central says about a site; never about a single case."""

    alert_id: str
    state: Literal["firing", "resolved"]
    epoch: Epoch
    since_period: str
    """Acquisition period of the case with which the rise probably began; `unknown` where the site sends none."""
    raised_by: str
    recent: Share
    baseline: Share
    baseline_bound: float
    """The share against which the recent cases are tested."""
    out_of_range: int
    """Recent cases with a metric outside the range that the detector was fitted on."""
    moved: tuple[MovedMetric, ...]
    record_ids: tuple[str, ...]
    """Flagged cases since the rise, the most probable first; none when resolved."""
    rule: AlertRule


def update(window: SiteWindow, case: Case, epoch: Epoch, rule: AlertRule) -> tuple[SiteWindow, Alert | None]:
    """Take one judged case; gives the alert that begins or ends with it, if any. Order matters, time does not."""
    window = _remember(window, case, rule)
    if window.episode is not None:
        window = replace(window, episode=replace(window.episode, cases=window.episode.cases + 1))
        if not _is_over(window, rule):
            return window, None
        return replace(window, episode=None), _describe(window, epoch, rule, "resolved")
    if not _fires(window, rule):
        return window, None
    window = replace(window, episode=_begin(window, case, epoch))
    return window, _describe(window, epoch, rule, "firing")


def baseline_bound(baseline: Baseline, rule: AlertRule) -> float:
    """The share against which recent cases are tested."""
    return upper_bound(baseline.flagged, baseline.cases, rule.baseline_confidence)


def _remember(window: SiteWindow, case: Case, rule: AlertRule) -> SiteWindow:
    baseline, recent = window.baseline, window.recent
    if baseline.cases < rule.baseline_minimum and not recent:
        return replace(window, cases=window.cases + 1, baseline=baseline.with_case(case))
    # neither the cases of an episode nor those that look like its beginning are an example of how things ought to be
    joins = window.episode is None and not _rarer_than(rule.hold, window, rule)
    recent = (*recent, case)
    while len(recent) > rule.window:
        if joins and baseline.cases < rule.baseline:
            baseline = baseline.with_case(recent[0])
        recent = recent[1:]
    return replace(window, cases=window.cases + 1, baseline=baseline, recent=recent)


def _fires(window: SiteWindow, rule: AlertRule) -> bool:
    if window.phase(rule) == "learning" or len(window.recent) < rule.window_minimum:
        return False
    return _rarer_than(rule.tail, window, rule)


def _rarer_than(chance: float, window: SiteWindow, rule: AlertRule) -> bool:
    """Whether as many flagged recent cases have at most this chance at the bound of the baseline."""
    bound = baseline_bound(window.baseline, rule)
    return tail_probability(_flagged(window.recent), len(window.recent), bound) <= chance


def _is_over(window: SiteWindow, rule: AlertRule) -> bool:
    """A whole window of new cases that is flagged no more often than the baseline: clearly below where it fires."""
    if window.episode is None or window.episode.cases < rule.window:
        return False
    return _flagged(window.recent) * window.baseline.cases <= window.baseline.flagged * len(window.recent)


def _begin(window: SiteWindow, case: Case, epoch: Epoch) -> Episode:
    name = "/".join((epoch.site_id, epoch.model_sha256, epoch.detector_sha256, case.event_id))
    first = window.recent[_rise(window)]
    return Episode(str(uuid.uuid5(NAMESPACE, name)), case.event_id, first.period)


def _rise(window: SiteWindow) -> int:
    before = (window.baseline.flagged + 0.5) / (window.baseline.cases + 1.0)
    return rise_began_at([case.flagged for case in window.recent], before)


def _describe(window: SiteWindow, epoch: Epoch, rule: AlertRule, state: Literal["firing", "resolved"]) -> Alert:
    episode, recent = window.episode, window.recent
    if episode is None:
        raise ValueError("an alert is about an episode")
    flagged = [case for case in recent[_rise(window) :] if case.flagged] if state == "firing" else []
    worst = sorted(flagged, key=lambda case: (-case.probability, case.event_id))
    return Alert(
        alert_id=episode.alert_id,
        state=state,
        epoch=epoch,
        since_period=episode.since_period,
        raised_by=episode.raised_by,
        recent=share_of(_flagged(recent), len(recent)),
        baseline=share_of(window.baseline.flagged, window.baseline.cases),
        baseline_bound=baseline_bound(window.baseline, rule),
        out_of_range=sum(case.out_of_range for case in recent),
        moved=moved_metrics(window.baseline, recent),
        record_ids=tuple(case.event_id for case in worst[:SHOWN_RECORDS]),
        rule=rule,
    )


def _flagged(cases: Sequence[Case]) -> int:
    return sum(case.flagged for case in cases)
