"""Run lengths of the alert rule: how many cases between false alarms, and how many until a decline is seen.

    python benchmarks/alert_rule_simulation.py [--sites 1000] [--window 50] [--tail 0.0005] ...

Each simulated site draws its own baseline, so the spread over sites includes what a baseline of few cases costs.
Cases are independent. ARL0 is the mean number of cases between false alarms (exposure over alarms, first alarms only);
a decline replaces the share of flagged cases by a higher one from one case to the next.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from qc.central.alerts import AlertRule, Epoch, SiteWindow, update
from qc.central.baseline import Case

FLAGGED: dict[str, Callable[[float], float]] = {
    "perfect labels": lambda bad: bad,
    "detector of AUC 0.908": lambda bad: 0.85 * bad + 0.20 * (1 - bad),
}
"""Share of flagged cases at a share of bad ones; the second has sensitivity 0.85 and specificity 0.80."""


@dataclass(frozen=True)
class Rates:
    """Share of flagged cases before and after the change."""

    before: float
    after: float


class Sites:
    """The rule over many sites at once, one case of each at a time."""

    def __init__(self, rule: AlertRule, sites: int) -> None:
        self.rule = rule
        self.baseline = np.zeros(sites, dtype=np.int64)
        self.baseline_flagged = np.zeros(sites, dtype=np.int64)
        self.recent = np.zeros((sites, rule.window), dtype=np.bool_)
        self.recent_flagged = np.zeros(sites, dtype=np.int64)
        self.cases = 0
        self._bounds = _bounds(rule)
        self._fires = _critical_shares(rule, rule.tail)
        self._holds = _critical_shares(rule, rule.hold)

    def take(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take one case of every site; gives the sites where the rule fires."""
        rule, number = self.rule, self.cases - self.rule.baseline_minimum
        self.cases += 1
        if number < 0:
            self.baseline += 1
            self.baseline_flagged += flags
            return np.zeros_like(flags)
        place = number % rule.window
        if number >= rule.window:
            leaving = self.recent[:, place].copy()
            joins = (self.baseline < rule.baseline) & ~self._rarer(self._holds, rule.window)
            self.baseline += joins
            self.baseline_flagged += joins & leaving
            self.recent_flagged -= leaving
        self.recent[:, place] = flags
        self.recent_flagged += flags
        recent = min(number + 1, rule.window)
        return self._rarer(self._fires, recent) if recent >= rule.window_minimum else np.zeros_like(flags)

    def _rarer(self, critical: NDArray[np.float64], recent: int) -> NDArray[np.bool_]:
        bound = self._bounds[self.baseline - self.rule.baseline_minimum, self.baseline_flagged]
        rarer: NDArray[np.bool_] = bound <= critical[recent, self.recent_flagged]
        return rarer


def first_alarms(rule: AlertRule, rates: Rates, *, change: int, cases: int, sites: int, seed: int) -> NDArray[np.int64]:
    """Simulate the sites; gives for each the number of the case that raises its first alarm, `cases` if none does."""
    generator = np.random.default_rng(seed)
    watched = Sites(rule, sites)
    found = np.full(sites, cases, dtype=np.int64)
    waiting = np.ones(sites, dtype=np.bool_)
    for number in range(1, cases + 1):
        fires = watched.take(generator.random(sites) < (rates.before if number <= change else rates.after)) & waiting
        found[fires] = number
        waiting &= ~fires
        if not waiting.any():
            break
    return found


def _bounds(rule: AlertRule) -> NDArray[np.float64]:
    """Upper bound of the baseline's share by (cases - minimum, flagged)."""
    cases = np.arange(rule.baseline_minimum, rule.baseline + 1)[:, None]
    flagged = np.arange(rule.baseline + 1)[None, :]
    inside = np.minimum(flagged, cases - 1)
    return np.where(flagged < cases, betaincinv(inside + 1, cases - inside, rule.baseline_confidence), 1.0)


def _critical_shares(rule: AlertRule, tail: float) -> NDArray[np.float64]:
    """Highest share at which (flagged of cases) or more have no more than the chance `tail`."""
    cases = np.arange(rule.window + 1)[:, None]
    flagged = np.arange(rule.window + 1)[None, :]
    possible = (flagged >= 1) & (flagged <= cases)
    safe_flagged, safe_cases = np.where(possible, flagged, 1), np.where(possible, cases, 1)
    return np.where(possible, betaincinv(safe_flagged, safe_cases - safe_flagged + 1, tail), -1.0)


def check_against_the_rule(rule: AlertRule, seed: int) -> None:
    """The simulated rule must decide as `qc.central.alerts.update` does."""
    rates = Rates(0.2, 0.5)
    change, cases = rule.baseline_minimum + 2 * rule.window, rule.baseline_minimum + 6 * rule.window
    expected = int(first_alarms(rule, rates, change=change, cases=cases, sites=1, seed=seed)[0])
    generator = np.random.default_rng(seed)
    window, epoch = SiteWindow(), Epoch("s", "m", "1", "0", "d", "1", "0")
    for number in range(1, cases + 1):
        flagged = bool(generator.random(1)[0] < (rates.before if number <= change else rates.after))
        window, alert = update(window, Case(str(number), "unknown", flagged, 0.5, False, {}), epoch, rule)
        if alert is not None:
            assert number == expected, f"the simulation fires at case {expected}, the rule at case {number}"
            return
    assert expected == cases, f"the simulation fires at case {expected}, the rule never"


def report_false_alarms(rule: AlertRule, sites: int, horizon: int, seed: int) -> None:
    """Print the run lengths without any change."""
    first_look = rule.baseline_minimum + rule.window_minimum
    print(f"\nFalse alarms, {sites} sites watched for {horizon} cases each:")
    print(f"  {'flagged share':>14}  {'ARL0':>9}  {'sites with one within 1000 cases':>33}")
    for share in (0.02, 0.05, 0.10, 0.27):
        alarms = first_alarms(rule, Rates(share, share), change=0, cases=horizon, sites=sites, seed=seed)
        exposure, count = np.sum(alarms - first_look + 1), int(np.sum(alarms < horizon))
        arl = f"{exposure / count:9.0f}" if count else f">{exposure:8.0f}"
        print(f"  {share:>14.0%}  {arl}  {np.mean(alarms < first_look + 1000):>33.1%}")


def report_delays(rule: AlertRule, sites: int, seed: int) -> None:
    """Print how many cases pass after a decline until the alert."""
    print("\nCases from a decline to its alert (median, 90th percentile; share seen within 1000 cases):")
    print(f"  {'':>22}  {'baseline':>9}  {'bad 10 -> 30%':>22}  {'bad 10 -> 50%':>22}")
    for name, flagged in FLAGGED.items():
        for baseline in sorted({rule.baseline_minimum, 300, rule.baseline} & set(range(rule.baseline + 1))):
            change = baseline + rule.window
            cells = []
            for after in (0.3, 0.5):
                rates = Rates(flagged(0.1), flagged(after))
                alarms = first_alarms(rule, rates, change=change, cases=change + 1000, sites=sites, seed=seed)
                delays = alarms[alarms > change] - change
                seen = np.mean(delays < 1000)
                cells.append(f"{np.median(delays):.0f}, {np.percentile(delays, 90):.0f}; {seen:.0%}")
            print(f"  {name:>22}  {baseline:>9}  {cells[0]:>22}  {cells[1]:>22}")


def main() -> None:
    """Read the rule from the command line and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--horizon", type=int, default=10_000, help="cases per site for the false alarms")
    parser.add_argument("--seed", type=int, default=20261123)
    standard = AlertRule()
    for name in ("window", "window_minimum", "baseline", "baseline_minimum", "baseline_confidence", "tail", "hold"):
        value = getattr(standard, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    sites, horizon, seed = options.pop("sites"), options.pop("horizon"), options.pop("seed")
    rule = AlertRule(**options)
    print(rule)
    for offset in range(5):
        check_against_the_rule(rule, seed + offset)
    report_false_alarms(rule, sites, horizon, seed)
    report_delays(rule, sites, seed)


if __name__ == "__main__":
    main()
