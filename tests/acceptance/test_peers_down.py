"""Peers that are away at first or for a while: `status` says what waits and why, and nothing is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.hosts import TRACEBACK, Central, Site, destination_of, is_one_sentence
from tests.acceptance.topics import read_topic
from tests.peers.dcmtk import Dcmtk
from tests.peers.kafka import KafkaBroker
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

WriteSeries = Callable[..., list[Path]]
RETRIES = {"delivery.first_retry_seconds": 0.5, "delivery.longest_retry_seconds": 2.0}
TRIED_AGAIN = "SELECT count(*) FROM outbox WHERE kind = ? AND attempts >= 2"


def outbox_of(status: dict[str, Any], kind: str) -> dict[str, Any]:
    """The line of `segwatch status --json` about one kind of results."""
    (row,) = [row for row in status["outbox"] if row["kind"] == kind]
    return dict(row)


def doctor_says(site: Site, check: str) -> dict[str, Any]:
    """One finding of `segwatch doctor --json`."""
    findings = json.loads(site.cli("doctor", "-c", site.settings, "--json").stdout)
    (found,) = [finding for finding in findings if finding["check"] == check]
    return dict(found)


def test_a_pacs_that_is_down_gets_everything_when_it_comes(
    *,
    make_site: Callable[..., Site],
    write_series: WriteSeries,
    quick_model: str,
    dcmtk: Dcmtk,
    orthanc: Orthanc,
) -> None:
    site = make_site("clinic", {"model.manifest": quick_model, **RETRIES}, [destination_of(orthanc)])
    orthanc.stop()
    try:
        site.start()
        for seed in (1, 2):
            assert dcmtk.send(*write_series(seed), port=site.port).returncode == 0
        site.wait_for_state("delivering", count=2)
        site.wait(lambda: site.query(TRIED_AGAIN, "dicom")[0][0] >= 1, "the PACS was tried twice")

        status = site.status()
        why = f"ORTHANC@127.0.0.1:{orthanc.dicom_port} is unreachable"
        assert status["counts"] == {"delivering": 2}
        pacs, stream = outbox_of(status, "dicom"), outbox_of(status, "record")
        assert (pacs["destination"], pacs["waiting"], pacs["done"]) == ("pacs", 2, 0)
        assert why in pacs["last_error"]
        assert pacs["next_attempt_at"] is not None
        # the one that is away delays nothing else
        assert (stream["waiting"], stream["done"]) == (0, 2)
        assert any(why in reason for series in status["series"] for reason in series["waiting_for"])
        shown = site.cli("status", "-c", site.settings).stdout
        assert "waits for pacs" in shown
        assert why in shown
        assert not doctor_says(site, "destination pacs")["ok"]
    finally:
        orthanc.start()
    site.wait_for_state("done", count=2)
    assert len(orthanc.instances()) == len(orthanc.series("SEG")) == 2
    assert len(orthanc.studies()) == 2
    pacs = outbox_of(site.status(), "dicom")
    assert (pacs["waiting"], pacs["blocked"], pacs["done"], pacs["last_error"]) == (0, 0, 2, None)
    assert doctor_says(site, "destination pacs")["ok"]
    assert site.stop() == 0
    assert TRACEBACK not in site.log()


def test_a_pacs_that_refuses_gets_it_when_a_person_has_put_it_right(
    *,
    make_site: Callable[..., Site],
    write_series: WriteSeries,
    quick_model: str,
    dcmtk: Dcmtk,
    orthanc_factory: Callable[..., Orthanc],
) -> None:
    pacs = orthanc_factory(DicomCheckCalledAet=True)
    pacs.start()
    destination = {**destination_of(pacs), "ae_title": "ANOTHER"}
    site = make_site("clinic", {"model.manifest": quick_model, **RETRIES}, [destination])
    site.start()
    assert dcmtk.send(*write_series(1), port=site.port).returncode == 0
    site.wait(lambda: bool(site.query("SELECT 1 FROM outbox WHERE state = 'blocked'")), "the PACS refuses")
    refused = outbox_of(site.status(), "dicom")
    assert (refused["waiting"], refused["blocked"], refused["done"]) == (0, 1, 0)
    assert f"ANOTHER@127.0.0.1:{pacs.dicom_port} rejected the association" in refused["last_error"]
    assert "Called AE title not recognised" in refused["last_error"]
    assert site.stop() == 0
    assert pacs.series("SEG") == []

    site.settings.write_text(site.settings.read_text().replace("ANOTHER", pacs.ae_title))
    site.start()
    site.wait_for_state("done")
    assert len(pacs.series("SEG")) == 1
    assert site.stop() == 0


def test_a_broker_that_is_down_at_first_and_dies_later_gets_every_record(
    *,
    make_site: Callable[..., Site],
    make_central: Callable[..., Central],
    write_series: WriteSeries,
    quick_model: str,
    dcmtk: Dcmtk,
    kafka_broker: Callable[[], KafkaBroker],
) -> None:
    broker = kafka_broker()
    stream = {"stream.kind": "kafka", "stream.kafka.bootstrap_servers": broker.bootstrap}
    site = make_site("clinic", {"model.manifest": quick_model, **RETRIES, **stream})
    central = make_central(stream)
    early = central.cli("central", "-c", central.settings)
    assert early.returncode == 1
    assert is_one_sentence(early.stderr), early.stderr
    assert "no Kafka broker answers" in early.stderr

    site.start()
    assert dcmtk.send(*write_series(1), port=site.port).returncode == 0
    site.wait(lambda: site.query("SELECT count(last_error) FROM outbox") == [(1,)], "the broker was tried")
    status = site.status()
    waiting = outbox_of(status, "record")
    assert (waiting["destination"], waiting["waiting"], waiting["done"]) == ("stream", 1, 0)
    assert f"no Kafka broker answers at {broker.bootstrap}" in waiting["last_error"]
    assert status["series"][0]["state"] == "delivering"
    assert "waits for stream" in site.cli("status", "-c", site.settings).stdout
    assert not doctor_says(site, "stream")["ok"]

    broker.start()
    site.wait_for_state("done")
    central.start()
    central.wait_for_messages(site.topic, 1)

    broker.kill()
    assert dcmtk.send(*write_series(2), port=site.port).returncode == 0
    site.wait_for_state("delivering")
    broker.start()
    site.wait_for_state("done", count=2)
    central.wait_for_messages(site.topic, 2)
    records = read_topic(broker, site.topic)
    assert len({event.id for event in records}) == 2
    known = central.query("SELECT event_id FROM central_records JOIN central_verdicts USING (event_id)")
    assert {event_id for (event_id,) in known} == {event.id for event in records}
    for host in (site, central):
        assert host.stop() == 0
        assert TRACEBACK not in host.log()
