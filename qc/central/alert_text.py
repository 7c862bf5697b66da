"""An alert in sentences."""

from qc.central.alerts import Alert
from qc.central.shares import Share

UNTRUSTED_SHARE = 0.5
"""From this share of cases outside the fitted range on, the detector itself is in doubt."""


def summarise(alert: Alert) -> str:
    """What is the matter, where, since when, and on how many cases that rests."""
    epoch = alert.epoch
    model = f"model {epoch.model_name} {epoch.model_version}"
    if alert.state == "resolved":
        return (
            f"Site {epoch.site_id}, {model}: back to the baseline. Of the last {alert.recent.cases} cases "
            f"{_share(alert.recent)} were flagged as low quality; baseline {_share(alert.baseline)}."
        )
    moved = ", ".join(f"{m.metric} {m.before:.3g} -> {m.after:.3g}" for m in alert.moved) or "none measurably"
    since = "" if alert.since_period == "unknown" else f" since {alert.since_period}"
    return (
        f"Site {epoch.site_id}, {model}: more segmentations flagged as low quality{since}. "
        f"Last {alert.recent.cases} cases {_share(alert.recent)}; "
        f"baseline of {alert.baseline.cases} cases {_share(alert.baseline)}. Metrics that moved most: {moved}."
    )


def what_to_do(alert: Alert) -> str:
    """The next steps of the person who reads it."""
    if alert.state == "resolved":
        return "Nothing; note the cause with the alert while it is known."
    steps = (
        "At the site, find the studies of the listed records with `segwatch lookup RECORD_ID` and look at their "
        "segmentations. Ask what changed: scanner, protocol, reconstruction kernel, contrast, patients. Until that is "
        "clear, do not rely on this model's results there without review."
    )
    if alert.out_of_range >= UNTRUSTED_SHARE * alert.recent.cases:
        steps = (
            f"{alert.out_of_range} of {alert.recent.cases} recent cases lie outside the range that the detector was "
            f"fitted on, so the verdicts themselves are in doubt: check them on a few cases first. {steps}"
        )
    return steps


def _share(share: Share) -> str:
    return f"{share.flagged} ({share.share:.0%}, 95% interval {share.low:.0%} to {share.high:.0%})"
