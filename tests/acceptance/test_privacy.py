"""Nothing that names a patient, a study or an image leaves the site or is logged: everything is searched as bytes."""

import http.client
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from inference.phantom_dicom import PhantomIdentity
from segwatch.status import SeriesState, SeriesStatus
from tests.acceptance.conftest import SLICES
from tests.acceptance.hosts import Central, Site, destination_of
from tests.acceptance.topics import raw_logs, read_topic
from tests.peers.dcmtk import Dcmtk
from tests.peers.kafka import KafkaBroker
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

WriteSeries = Callable[..., list[Path]]
TOPICS = ("segwatch.verdicts.v1", "segwatch.alerts.v1", "segwatch.deadletter.v1")
PERSON = PhantomIdentity(
    patient_id="PID-7734-XQ",
    patient_name="Wintersberger^Apollonia",
    patient_birth_date=date(1931, 7, 19),
    acquired=date(2024, 3, 7),
)
TELLING = ("wintersberger", "apollonia", "7734-xq", "19310719", "1931-07-19", "20240307", "2024-03-07")
"""In lower case: name, id, date of birth, and the day of the examination, of which a record tells the week alone."""
UID_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def needles(files: Iterable[Path]) -> set[bytes]:
    """What must not be found: the person, and every UID of the images."""
    headers = [dcmread(path, stop_before_pixels=True) for path in files]
    uids = {str(header[keyword].value) for header in headers for keyword in UID_KEYWORDS}
    return {text.encode() for text in (*TELLING, *uids)}


def found_in(places: Mapping[str, bytes], wanted: set[bytes]) -> list[tuple[str, bytes]]:
    """Where which needle lies."""
    return [(place, needle) for place, content in places.items() for needle in wanted if needle in content.lower()]


def files_below(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """The content of every file of a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob(pattern) if path.is_file()}


def trouble(write_series: WriteSeries, folder: Path) -> list[list[Path]]:
    """Series of the same person that make the site say something: left out, pixels cut off, a second content, late."""
    cut = write_series(12, PERSON)
    for path in cut:
        image = dcmread(path)
        image.PixelData = image.PixelData[:100]
        image.save_as(path)
    again = dcmread(write_series(10, PERSON)[0])
    again.InstanceNumber = 77
    again.save_as(folder / "again.dcm")
    return [write_series(11, PERSON)[:5], cut, [folder / "again.dcm"]]


def run_through(site: Site, dcmtk: Dcmtk, write_series: WriteSeries) -> list[Path]:
    """One good series with a late slice, then those that make trouble; gives all that was sent."""
    *punctual, late = write_series(10, PERSON)
    sent = [*punctual, late]
    assert dcmtk.send(*punctual, port=site.port).returncode == 0
    site.wait(lambda: site.query("SELECT count(*) FROM outbox WHERE state = 'done'")[0][0] >= 1, "a result is out")
    assert dcmtk.send(late, port=site.port).returncode == 0
    for files in trouble(write_series, site.folder):
        dcmtk.send(*files, port=site.port)
        sent += files
    site.wait_for_state("rejected")
    site.wait_for_state("not_taken")
    site.wait(lambda: grown(site) != [], "the late slice made a second version, the second content is kept apart")
    done = site.cli("series", "reprocess", grown(site)[0].key, "--why", "a late slice", "-c", site.settings)
    assert done.returncode == 0, done.stderr
    return sent


def grown(site: Site) -> list[SeriesStatus]:
    """The series that got its late slice, once its second result is made."""
    made = {SeriesState.DELIVERING, SeriesState.DONE}
    whole = (2, SLICES, 1)
    series = [one for one in site.peek().series if one.state in made]
    return [one for one in series if (one.version, one.instances, one.conflicting_instances) == whole]


def shown_to_people(site: Site) -> dict[str, bytes]:
    """What the commands print that people copy into mails: no `lookup`, whose purpose is to name the study."""
    commands = (("status",), ("status", "--json"), ("doctor",), ("series", "history"))
    done = {" ".join(command): site.cli(*command, "-c", site.settings) for command in commands}
    return {name: (one.stdout + one.stderr).encode() for name, one in done.items()}


def scraped(port: int) -> dict[str, bytes]:
    """What the site serves by HTTP."""
    places = {}
    for path in ("/metrics", "/healthz", "/1.2.3?patient=x"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        places[path] = connection.getresponse().read()
        connection.close()
    return places


def test_kafka_central_and_every_log(
    *,
    own_broker: KafkaBroker,
    orthanc: Orthanc,
    dcmtk: Dcmtk,
    make_site: Callable[..., Site],
    make_central: Callable[..., Central],
    write_series: WriteSeries,
    quick_model: str,
    free_port: Callable[[], int],
) -> None:
    loud: dict[str, Any] = {"log.level": "DEBUG", "log.format": "json"}
    stream = {"stream.kind": "kafka", "stream.kafka.bootstrap_servers": own_broker.bootstrap}
    away = {"name": "away", "ae_title": "AWAY", "host": "127.0.0.1", "port": free_port()}
    watched = {"model.manifest": quick_model, "metrics.port": free_port(), **stream, **loud}
    site = make_site("clinic-p", watched, [destination_of(orthanc), away])
    central = make_central({**stream, **loud})
    site.start()
    central.start()
    sent = run_through(site, dcmtk, write_series)
    central.wait_for_messages(site.topic, 3)
    people = shown_to_people(site)
    metrics = scraped(watched["metrics.port"])
    for host in (site, central):
        assert host.stop() == 0

    seg_uids = {item["SOPInstanceUID"] for item in (one.tags for one in orthanc.instances())}
    assert seg_uids
    wanted = needles(sent) | {uid.encode() for uid in seg_uids}
    places = {
        "log of the site": site.log().encode(),
        "log of central": central.log().encode(),
        **people,
        **metrics,
        **{f"broker: {path}": content for path, content in raw_logs(own_broker).items()},
        **files_below(central.store_file.parent),
    }
    for topic in (site.topic, *TOPICS):
        for event in read_topic(own_broker, topic):
            places[f"{topic} {event.id}"] = repr(event).encode()
    assert sum(place.startswith(site.topic) for place in places) == 3
    assert b"series complete" in places["log of the site"]
    for kind in (b"association", b"series_complete", b"series_reopened", b"instance_conflict"):
        assert b'"event": "' + kind + b'"' in places["log of the site"]
    assert b'outcome="conflict",peer="other"} 1.0' in metrics["/metrics"]
    assert b"DEBUG" in places["log of the site"]
    assert found_in(places, wanted) == []
    # the search finds them where they belong: in the spool and in the site's own state
    kept = found_in(files_below(site.folder / "segwatch-data"), wanted)
    assert wanted - {needle for _, needle in kept} <= {b"1931-07-19", b"2024-03-07"}


def test_the_journal_and_the_record_of_process(
    *,
    dcmtk: Dcmtk,
    make_site: Callable[..., Site],
    make_central: Callable[..., Central],
    write_series: WriteSeries,
    quick_model: str,
) -> None:
    site = make_site("clinic-j", {"model.manifest": quick_model, "log.level": "DEBUG"})
    journal = site.folder / "journal"
    central = make_central({"stream.journal_dir": str(journal), "log.level": "DEBUG"})
    site.start()
    central.start()
    sent = run_through(site, dcmtk, write_series)
    central.wait_for_messages(site.topic, 3)
    for host in (site, central):
        assert host.stop() == 0
    processed = site.cli("process", sent[0].parent, "--out", "out", "-c", site.settings)
    assert processed.returncode == 0, processed.stderr

    out = site.cli.folder / "out"
    places = {
        "log of the site": site.log().encode(),
        "log of central": central.log().encode(),
        "process": (processed.stdout + processed.stderr).encode(),
        "record.json": (out / "record.json").read_bytes(),
        **files_below(journal),
        **files_below(central.store_file.parent),
    }
    assert any(site.topic in place for place in places)
    assert found_in(places, needles(sent)) == []
    # a result belongs to the patient, and says so
    assert b"Wintersberger" in (out / "seg.dcm").read_bytes()
