import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qc.central.alert_text import summarise, what_to_do
from qc.central.alerts import Alert, AlertRule, Epoch, SiteWindow, update
from qc.central.baseline import Case, Moments
from qc.central.shares import rise_began_at, share_of, tail_probability, upper_bound
from qc.central.window_codec import decode_window, encode_window
from qc.errors import AlertRuleError

RULE = AlertRule(window=10, window_minimum=5, baseline=40, baseline_minimum=20, tail=0.01)
EPOCH = Epoch("site-a", "phantom", "1.0", "ab" * 32, "sample", "1.0", "cd" * 32)


def case(number: int, flagged: bool, *, out_of_range: bool = False, smoothness: float | None = None) -> Case:
    return Case(
        event_id=f"{number:08d}-0000-8000-8000-000000000000",
        period=f"2026-{1 + number // 28 % 12:02d}-{1 + number % 28:02d}",
        flagged=flagged,
        probability=0.9 - number % 5 / 100 if flagged else 0.1,
        out_of_range=out_of_range,
        metrics={"smoothness": smoothness if smoothness is not None else (0.2 if flagged else 0.9) + number % 3 / 100},
    )


def run(flags: list[bool], rule: AlertRule = RULE) -> tuple[SiteWindow, list[Alert]]:
    window, alerts = SiteWindow(), []
    for number, flagged in enumerate(flags):
        window, alert = update(window, case(number, flagged), EPOCH, rule)
        if alert is not None:
            alerts.append(alert)
    return window, alerts


def test_nothing_fires_while_learning() -> None:
    window, alerts = run([True] * 19)
    assert alerts == []
    assert window.phase(RULE) == "learning"


def test_nothing_fires_below_the_minimum_of_recent_cases() -> None:
    assert run([False] * 20 + [True] * 4)[1] == []
    assert len(run([False] * 20 + [True] * 5)[1]) == 1


def test_a_site_that_was_always_bad_is_no_rise() -> None:
    assert run([True] * 200)[1] == []


def test_an_alert_says_what_where_since_when_and_on_what_it_rests() -> None:
    _, (alert,) = run([False] * 50 + [True] * 6)
    assert (alert.state, alert.epoch, alert.rule) == ("firing", EPOCH, RULE)
    # 40 cases without a flag: 1 - 0.1 ** (1 / 40) is the exact upper bound at 90%
    assert alert.baseline_bound == pytest.approx(1 - 0.1 ** (1 / 40))
    assert (alert.recent.cases, alert.baseline.flagged, alert.baseline.cases) == (10, 0, 40)
    first_bad = case(50, True)
    assert alert.since_period == first_bad.period
    assert alert.raised_by == case(49 + alert.recent.flagged, True).event_id
    assert alert.record_ids[0] == first_bad.event_id
    assert len(alert.record_ids) == alert.recent.flagged
    assert [moved.metric for moved in alert.moved] == ["smoothness"]
    assert alert.moved[0].after < alert.moved[0].before
    assert alert.moved[0].shift < 0
    text = summarise(alert)
    assert "site-a" in text
    assert first_bad.period in text
    assert "baseline of 40 cases 0 (0%" in text
    assert "segwatch lookup" in what_to_do(alert)


def test_at_most_six_records_are_named() -> None:
    rule = AlertRule(window=30, window_minimum=30, baseline=40, baseline_minimum=20, tail=0.01)
    _, (alert,) = run([False] * 20 + [True] * 30, rule)
    assert len(alert.record_ids) == 6
    assert alert.recent.flagged == 30


def test_one_alert_per_episode_and_its_end() -> None:
    flags = [False] * 40 + [True] * 30 + [False] * 30
    window, alerts = run(flags)
    assert [alert.state for alert in alerts] == ["firing", "resolved"]
    assert alerts[0].alert_id == alerts[1].alert_id
    assert alerts[1].record_ids == ()
    assert window.episode is None
    assert "back to the baseline" in summarise(alerts[1])
    # what was flagged during the episode is no part of the baseline
    assert window.baseline.flagged == 0


def test_a_dip_does_not_end_an_episode() -> None:
    flags = [False] * 40 + [True] * 10 + [False] * 5 + [True] * 10
    assert [alert.state for alert in run(flags)[1]] == ["firing"]


def test_a_rise_that_does_not_fire_stays_out_of_the_baseline() -> None:
    # every fourth case is flagged: too rare for an alert, too many to be the norm of a site without any
    flags = [False] * 30 + [number % 4 == 0 for number in range(40)]
    window, alerts = run(flags, AlertRule(window=10, window_minimum=5, baseline=60, baseline_minimum=20, tail=0.0001))
    assert alerts == []
    assert window.cases == 70
    assert window.baseline.flagged <= 1
    assert window.baseline.cases < 60


def test_a_second_episode_is_another_alert() -> None:
    flags = [False] * 40 + [True] * 10 + [False] * 20 + [True] * 10
    alerts = run(flags)[1]
    assert [alert.state for alert in alerts] == ["firing", "resolved", "firing"]
    assert len({alert.alert_id for alert in alerts}) == 2


def test_cases_outside_the_fitted_range_put_the_verdicts_in_doubt() -> None:
    window = SiteWindow()
    alert = None
    for number in range(40):
        flagged = number >= 30
        window, alert = update(window, case(number, flagged, out_of_range=flagged), EPOCH, RULE)
        if alert is not None:
            break
    assert alert is not None
    assert alert.out_of_range == alert.recent.flagged
    assert ("in doubt" in what_to_do(alert)) == (2 * alert.out_of_range >= alert.recent.cases)


def test_metrics_without_any_spread_are_left_out() -> None:
    window, alert = SiteWindow(), None
    for number in range(26):
        window, alert = update(window, case(number, number >= 20, smoothness=0.5), EPOCH, RULE)
        if alert is not None:
            break
    assert alert is not None
    assert alert.moved == ()
    assert "none measurably" in summarise(alert)


@given(st.lists(st.booleans(), max_size=120), st.integers(0, 119))
def test_state_survives_the_store_at_any_point(flags: list[bool], cut: int) -> None:
    """A restart after any case changes no later decision."""
    window, expected = run(flags)
    resumed, alerts = run(flags[:cut])
    resumed = decode_window(json.loads(json.dumps(encode_window(resumed))))
    for number, flagged in itertools.islice(enumerate(flags), min(cut, len(flags)), None):
        resumed, alert = update(resumed, case(number, flagged), EPOCH, RULE)
        if alert is not None:
            alerts.append(alert)
    assert alerts == expected
    assert resumed == window


@given(st.lists(st.booleans(), max_size=200))
def test_firing_and_resolved_alternate_and_the_counts_add_up(flags: list[bool]) -> None:
    window, alerts = run(flags)
    assert [alert.state for alert in alerts] == ["firing", "resolved"] * (len(alerts) // 2) + ["firing"] * (
        len(alerts) % 2
    )
    assert (window.episode is not None) == (len(alerts) % 2 == 1)
    assert window.cases == len(flags)
    assert len(window.recent) <= RULE.window
    assert window.baseline.cases <= RULE.baseline
    assert len({alert.alert_id for alert in alerts}) == (len(alerts) + 1) // 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 5, "window_minimum": 6},
        {"window_minimum": 0},
        {"baseline": 10},
        {"baseline_minimum": 0},
        {"tail": 0.0},
        {"tail": 1.0},
        {"tail": 0.2, "hold": 0.1},
        {"baseline_confidence": 1.0},
    ],
)
def test_parameters_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(AlertRuleError, match="alert rule"):
        AlertRule(**wrong)  # type: ignore[arg-type] # the point of the test


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.99))
def test_bounds_and_tails_are_those_of_scipy(counts: tuple[int, int], share: float) -> None:
    flagged, cases = counts
    interval = stats.binomtest(flagged, cases).proportion_ci(0.95, method="exact")
    ours = share_of(flagged, cases)
    assert ours.low == pytest.approx(interval.low, abs=1e-9)
    assert ours.high == pytest.approx(interval.high, abs=1e-9)
    assert ours.low <= ours.share <= ours.high
    assert tail_probability(flagged, cases, share) == pytest.approx(stats.binom.sf(flagged - 1, cases, share), abs=1e-9)
    one_sided = stats.binomtest(flagged, cases, alternative="less").proportion_ci(0.9, method="exact")
    assert upper_bound(flagged, cases, 0.9) == pytest.approx(one_sided.high, abs=1e-9)


def test_a_share_without_cases_says_nothing() -> None:
    empty = share_of(0, 0)
    assert (empty.share, empty.low, empty.high) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(("before", "rise"), [(10, 10), (0, 8), (5, 1)])
def test_the_beginning_of_a_clean_rise_is_found(before: int, rise: int) -> None:
    assert rise_began_at([False] * before + [True] * rise, 0.05) == before


def test_without_a_rise_the_window_begins_at_its_start() -> None:
    assert rise_began_at([True, False, False, False], 0.9) == 0
    assert rise_began_at([], 0.1) == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_moments_are_mean_and_variance(values: list[float]) -> None:
    moments = Moments()
    for value in values:
        moments = moments.with_value(value)
    mean = sum(values) / len(values)
    assert moments.mean == pytest.approx(mean, abs=1e-3)
    assert moments.squares == pytest.approx(sum((value - mean) ** 2 for value in values), rel=1e-6, abs=1e-2)
