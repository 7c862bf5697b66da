"""A site whose results go bad: one alert, read with Kafka's own console consumer; and the topics that it needs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qc.detector import encode_detector
from qc.stream.kafka_admin import ensure_topics
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.messages import Message
from qc.stream.topics import metrics_topic
from tests.acceptance.hosts import TRACEBACK, Central, Site
from tests.acceptance.topics import read_topic
from tests.peers.dcmtk import Dcmtk
from tests.peers.kafka import KafkaBroker, console_consume
from tests.unit.qc_central.samples import decline, detector

pytestmark = pytest.mark.slow

RULE = {
    "alerts.window": 6,
    "alerts.window_minimum": 4,
    "alerts.baseline": 12,
    "alerts.baseline_minimum": 8,
    "alerts.tail": 0.02,
}
GOOD_CASES, BAD_CASES = 20, 8


def publish(broker: KafkaBroker, site_id: str, messages: list[Message]) -> None:
    """As a site does it; its topic is made first."""
    connection = KafkaConnection(broker.bootstrap)
    ensure_topics(connection, [metrics_topic(site_id)])
    sink = KafkaSink(connection)
    sink.append(messages)
    sink.close()


def test_a_rise_of_flagged_cases_is_one_alert_about_the_site(
    own_broker: KafkaBroker, make_central: Callable[..., Central], tmp_path: Path
) -> None:
    (tmp_path / "detector.json").write_bytes(encode_detector(detector()))
    central = make_central(
        {
            "stream.kind": "kafka",
            "stream.kafka.bootstrap_servers": own_broker.bootstrap,
            "detector.file": str(tmp_path / "detector.json"),
            **RULE,
        }
    )
    declining = decline("site-a", GOOD_CASES, BAD_CASES)
    publish(own_broker, "site-a", declining)
    # all is well here, but for one case: no alert is ever about a single case
    publish(own_broker, "site-b", [*decline("site-b", GOOD_CASES, 1)])
    central.start()
    central.wait_for_messages(metrics_topic("site-a"), GOOD_CASES + BAD_CASES)
    central.wait_for_messages(metrics_topic("site-b"), GOOD_CASES + 1)

    # a second one is waited for in vain
    alerts = console_consume(own_broker.home, own_broker.bootstrap, "segwatch.alerts.v1", count=2, timeout=10)
    (alert,) = map(json.loads, alerts)
    assert (alert["site_id"], alert["state"]) == ("site-a", "firing")
    assert alert["recent"]["flagged"] > 0
    bad = {message.headers["ce_id"] for message in declining[GOOD_CASES:]}
    assert set(alert["record_ids"]) <= bad
    assert alert["raised_by"] in bad
    assert "site-a" in alert["summary"]
    assert central.query("SELECT site_id, state FROM central_alerts") == [("site-a", "firing")]

    verdicts = [json.loads(event.value) for event in read_topic(own_broker, "segwatch.verdicts.v1")]
    assert len(verdicts) == GOOD_CASES + BAD_CASES + GOOD_CASES + 1
    assert sum(verdict["low_quality"] for verdict in verdicts) == BAD_CASES + 1
    assert central.stop() == 0
    assert TRACEBACK not in central.log()


def test_a_topic_that_nobody_may_make_is_named_by_doctor_and_status(
    *,
    kafka_home: Path,
    tmp_path: Path,
    make_site: Callable[..., Site],
    write_series: Callable[..., list[Path]],
    quick_model: str,
    dcmtk: Dcmtk,
) -> None:
    broker = KafkaBroker(kafka_home, tmp_path / "strict", {"auto.create.topics.enable": "false"})
    try:
        broker.start()
        site = make_site(
            "clinic-t",
            {
                "model.manifest": quick_model,
                "stream.kind": "kafka",
                "stream.kafka.bootstrap_servers": broker.bootstrap,
                "delivery.first_retry_seconds": 1.0,
                "delivery.longest_retry_seconds": 2.0,
            },
        )
        findings = {finding["check"]: finding for finding in doctor(site)}
        assert not findings["stream"]["ok"]
        assert site.topic in findings["stream"]["detail"]
        assert "kafka-topics.sh --create" in findings["stream"]["detail"]

        site.start()
        assert dcmtk.send(*write_series(1), port=site.port).returncode == 0
        site.wait(lambda: bool(site.peek().outbox and site.peek().outbox[0].last_error), "the record cannot be sent")
        (waiting,) = site.status()["outbox"]
        assert waiting["waiting"] == 1
        assert site.topic in waiting["last_error"]

        # the administrator of the broker does what doctor says
        ensure_topics(KafkaConnection(broker.bootstrap), [site.topic])
        site.wait_for_state("done")
        assert len(read_topic(broker, site.topic)) == 1
        assert {finding["check"]: finding for finding in doctor(site)}["stream"]["ok"]
        assert site.stop() == 0
    finally:
        broker.close()


def doctor(site: Site) -> list[dict[str, Any]]:
    """The findings of `segwatch doctor`."""
    done = site.cli("doctor", "-c", site.settings, "--json")
    assert TRACEBACK not in done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
