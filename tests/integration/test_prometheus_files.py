"""Prometheus itself reads the files of deploy/, fires each alert when it should, and likes the metrics' names."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from dicom_listener.spool.spool import Spool
from tests.peers.promtool import Promtool
from tests.tools.idle_metrics import idle_metrics

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "prometheus" / "segwatch-alerts.yml"
CASES = ROOT / "tests" / "fixtures" / "prometheus" / "alerts_test.yml"


@pytest.fixture(scope="module")
def promtool() -> Promtool:
    return Promtool()


def test_the_sample_is_a_configuration(promtool: Promtool) -> None:
    done = promtool("check", "config", ROOT / "deploy" / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should_and_a_site_at_work_is_left_in_peace(promtool: Promtool) -> None:
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_never_fires_would_be_noticed(promtool: Promtool, tmp_path: Path) -> None:
    never = tmp_path / "never.yml"
    never.write_text(ALERTS.read_text().replace("spool_refusing == 1", "spool_refusing == 2"))
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.read_text().replace("../../../deploy/prometheus/segwatch-alerts.yml", str(never)))
    assert promtool("test", "rules", cases).returncode != 0


def test_names_follow_prometheus_conventions(promtool: Promtool, tmp_path: Path) -> None:
    metrics = idle_metrics(Spool(tmp_path / "spool"))
    done = promtool("check", "metrics", given=generate_latest(metrics.registry).decode())
    lint = [line for line in (done.stdout + done.stderr).splitlines() if "segwatch_listener" in line]
    assert lint == []
    assert "error" not in done.stderr
