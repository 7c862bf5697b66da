"""The files of deploy/ for Prometheus and Grafana name metrics, labels and values that the listener really has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dicom_listener.spool.spool import Spool
from segwatch.settings import SiteSettings
from segwatch.settings_metrics import MetricsSection
from tests.tools.idle_metrics import idle_metrics

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "segwatch-listener.json"
PAGE = ROOT / "docs" / "reference" / "logs-and-metrics.md"
Known = dict[str, dict[str, set[str]]]

WORDS = {"and", "or", "sum", "rate", "increase", "time", "min_over_time", "histogram_quantile"}
"""Of PromQL, as far as the files use it."""
OF_PROMETHEUS = {"up": {"job": set[str](), "instance": set[str]()}}
LABELS_OF_PROMETHEUS = {"job", "instance", "site"}
SELECTOR = re.compile(r'(\w+)\s*(?:=~|!=|!~|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    """Every sample that a scrape shows from the start, with its labels and their values."""
    metrics = idle_metrics(Spool(tmp_path_factory.mktemp("spool")))
    found: Known = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue  # switched off where they are served
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def rules() -> list[dict[str, Any]]:
    content = yaml.safe_load((PROMETHEUS / "segwatch-alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    dashboard = json.loads(DASHBOARD.read_text())
    yield from (target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            (query,) = re.findall(r"label_values\((.*), \w+\)", variable["query"]["query"])
            yield query


def metrics_in(expression: str) -> list[tuple[str, str]]:
    """Name and selector of each metric of an expression; a word that is neither metric nor PromQL counts as metric."""
    bare = GROUPING.sub(" ", re.sub(r"\[[^\]]*\]", "", expression))
    found = re.finditer(r"\b([a-zA-Z_]\w*)(?:\{([^}]*)\})?", bare)
    return [(one[1], one[2] or "") for one in found if one[1] not in WORDS]


def test_an_unknown_name_is_found() -> None:
    assert metrics_in('sum by (peer) (rate(some_total{peer="A b", c=~"x|y"}[5m])) / other > 12 * 3600') == [
        ("some_total", 'peer="A b", c=~"x|y"'),
        ("other", ""),
    ]


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_what_an_expression_names_is_there(expression: str, known: Known) -> None:
    everything = known | OF_PROMETHEUS
    found = metrics_in(expression)
    assert found
    for name, selector in found:
        assert name in everything
        for label, value in SELECTOR.findall(selector):
            assert label in everything[name] or label in LABELS_OF_PROMETHEUS, f"{name} has no label {label}"
            is_literal = label in known.get(name, {}) and not value.startswith("$")
            assert not is_literal or value in known[name][label], f"{name} has no {label}={value!r}"
    for group in GROUPING.findall(expression):
        labels = {label.strip() for label in group.split(",")}
        assert labels <= LABELS_OF_PROMETHEUS | {label for name, _ in found for label in everything[name]}


def test_rules_say_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules())
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert used <= LABELS_OF_PROMETHEUS | {"status", "reason"}


def test_the_sample_scrapes_the_port_that_the_settings_suggest() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "segwatch"
    (target,) = job["static_configs"][0]["targets"]
    port = target.rpartition(":")[2]
    assert f"e.g. {port};" in str(MetricsSection.model_fields["port"].description)
    assert SiteSettings.model_validate({"site": {"id": "x"}, "metrics": {"port": int(port)}}).metrics.port == int(port)
    assert [(PROMETHEUS / name).exists() for name in config["rule_files"]] == [True]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {"${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_reference_lists_every_metric_and_alert(known: Known) -> None:
    page = PAGE.read_text()
    cells = {name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)", line)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    assert {name for name in families if not name.startswith("process_")} <= cells
    assert {name for name in cells if name.startswith("segwatch_")} <= families
    assert {rule["alert"] for rule in rules()} <= cells
