"""Tables that people read: the metrics of a case, and why the detector says what it says."""

import re

from rich.markup import escape
from rich.table import Table

from qc.quality_metrics import QualityMetrics
from qc.verdict import Verdict


def metrics_table(metrics: QualityMetrics) -> Table:
    """One row a metric, with its unit and meaning."""
    table = Table(
        title=f"Quality metrics ({metrics.metric_set.name} {metrics.metric_set.version})", title_justify="left"
    )
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("meaning")
    for definition in metrics.metric_set.metrics:
        value = metrics.values[definition.name]
        # the whole definition stands in docs/reference/metrics.md
        meaning = re.split(r"[;(]", definition.meaning)[0].strip()
        table.add_row(definition.name, f"{value:.4g}", escape(definition.unit), escape(meaning))
    return table


def verdict_table(verdict: Verdict) -> Table:
    """One row a metric: how far it lies from the usual, and how much it speaks for low quality."""
    table = Table(title=verdict_line(verdict), title_justify="left")
    table.add_column("metric")
    table.add_column("standard deviations from usual", justify="right")
    table.add_column("towards low quality (log-odds)", justify="right")
    table.add_column("")
    for part in sorted(verdict.contributions, key=lambda part: -abs(part.contribution)):
        note = "outside the fitted range" if part.metric in verdict.out_of_range else ""
        table.add_row(part.metric, f"{part.standardised:+.2f}", f"{part.contribution:+.2f}", note)
    return table


def verdict_line(verdict: Verdict) -> str:
    """The verdict in one line."""
    word = (
        "[bold red]LOW QUALITY[/bold red]" if verdict.low_quality else "[bold green]no sign of low quality[/bold green]"
    )
    return (
        f"Verdict: {word} - probability {verdict.probability:.2f}, threshold {verdict.threshold:.2f} "
        f"({verdict.detector_name} {verdict.detector_version})"
    )


def verdict_json(verdict: Verdict) -> dict[str, object]:
    """The verdict for programs."""
    return {
        "detector": {"name": verdict.detector_name, "version": verdict.detector_version},
        "probability": verdict.probability,
        "threshold": verdict.threshold,
        "low_quality": verdict.low_quality,
        "contributions": {part.metric: part.contribution for part in verdict.contributions},
        "out_of_range": list(verdict.out_of_range),
    }
