"""A PACS sends a real chest CT; a SEG comes back into its study, a record reaches central, a verdict comes out."""

import json
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from tests.acceptance.hosts import TRACEBACK, Central, Site, destination_of
from tests.acceptance.topics import read_topic
from tests.peers.dcmtk import Dciodvfy, Dcmtk
from tests.peers.kafka import KafkaBroker, console_consume
from tests.peers.orthanc import Orthanc

pytestmark = pytest.mark.slow

REAL_CT_TIMEOUT_S = 1500.0
"""133 slices of 512x512 on a busy machine of two cores."""
STOP_S = 15.0


def test_a_real_ct_from_the_pacs_to_the_verdict(
    *,
    own_broker: KafkaBroker,
    orthanc: Orthanc,
    dcmtk: Dcmtk,
    dciodvfy: Dciodvfy,
    test_data: Path,
    make_site: Callable[..., Site],
    make_central: Callable[..., Central],
) -> None:
    stream = {"stream.kind": "kafka", "stream.kafka.bootstrap_servers": own_broker.bootstrap}
    site = make_site("clinic-a", stream, [destination_of(orthanc)])
    central = make_central(stream)
    site.start()
    central.start()

    ct = test_data / "chest_lidc0001"
    # the PACS has the study, and sends a copy to the site
    for port, called in ((orthanc.dicom_port, orthanc.ae_title), (site.port, "SEGWATCH")):
        sent = dcmtk.send(ct, port=port, called=called)
        assert sent.returncode == 0, sent.stderr
        assert sent.stderr.count("Received Store Response (Success)") in (0, 133)
    site.wait_for_state("done", timeout=REAL_CT_TIMEOUT_S)
    central.wait_for_messages(site.topic, 1)

    check_seg(orthanc, sorted(ct.glob("*.dcm")), dciodvfy, site.folder)
    event_id = check_topics(own_broker, site)
    check_status_and_lookup(site, event_id, dcmread(ct / "000000.dcm", stop_before_pixels=True))

    for host in (site, central):
        children = host.members()
        began = time.monotonic()
        assert host.stop() == 0, host.log()
        assert time.monotonic() - began < STOP_S
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert TRACEBACK not in host.log()


def check_seg(orthanc: Orthanc, ct_files: Sequence[Path], dciodvfy: Dciodvfy, folder: Path) -> None:
    """One SEG, in the study of the CT, its frames on the source slices and its references to them."""
    sources = [dcmread(path, stop_before_pixels=True) for path in ct_files]
    positions = {source.SOPInstanceUID: tuple(source.ImagePositionPatient) for source in sources}
    assert len(orthanc.studies()) == 1
    (series,) = orthanc.series("SEG")
    assert series.parent == orthanc.studies()[0].id
    (instance,) = orthanc.instances(series)
    content = orthanc.file(instance)
    (folder / "from-pacs.dcm").write_bytes(content)
    assert dciodvfy.errors(folder / "from-pacs.dcm") == []

    seg = dcmread(BytesIO(content))
    assert seg.StudyInstanceUID == sources[0].StudyInstanceUID
    assert (seg.PatientID, seg.PatientName) == (sources[0].PatientID, sources[0].PatientName)
    assert (seg.Rows, seg.Columns) == (sources[0].Rows, sources[0].Columns)
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == sources[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence} == set(positions)
    assert seg.pixel_array.any()
    for frame in seg.PerFrameFunctionalGroupsSequence:
        check_frame(frame, positions)


def check_frame(frame: Dataset, positions: dict[str, tuple[float, ...]]) -> None:
    (plane,) = frame.PlanePositionSequence
    (derivation,) = frame.DerivationImageSequence
    (source,) = derivation.SourceImageSequence
    assert tuple(plane.ImagePositionPatient) == positions[source.ReferencedSOPInstanceUID]
    assert source.SpatialLocationsPreserved == "YES"


def check_topics(broker: KafkaBroker, site: Site) -> str:
    """One record and one verdict about it, no alert and no dead letter; gives the record's id."""
    (line,) = console_consume(broker.home, broker.bootstrap, site.topic, count=1)
    record = json.loads(line)
    assert record["site_id"] == site.site_id
    assert record["metrics"]
    (line,) = console_consume(broker.home, broker.bootstrap, "segwatch.verdicts.v1", count=1)
    verdict = json.loads(line)
    assert verdict["event_id"] == record["event_id"]
    assert {part["metric"] for part in verdict["contributions"]} <= set(record["metrics"])
    assert [event.id for event in read_topic(broker, site.topic)] == [record["event_id"]]
    # a single case is never an alert
    for empty in ("segwatch.alerts.v1", "segwatch.deadletter.v1"):
        assert read_topic(broker, empty) == []
    return str(record["event_id"])


def check_status_and_lookup(site: Site, event_id: str, source: Dataset) -> None:
    (series,) = site.status()["series"]
    assert series["state"] == "done"
    assert series["instances"] == 133
    assert series["turnaround_s"] > 0
    for_people = site.cli("status", "-c", site.settings)
    assert "done" in for_people.stdout
    assert "Turnaround: median" in for_people.stdout

    found = site.cli("lookup", event_id, "-c", site.settings, "--json")
    assert json.loads(found.stdout)["study_instance_uid"] == source.StudyInstanceUID
    assert json.loads(found.stdout)["series_instance_uid"] == source.SeriesInstanceUID
    assert json.loads(found.stdout)["sent_by"] == "PACS"
    unknown = site.cli("lookup", "0" * 36, "-c", site.settings)
    assert unknown.returncode == 1
    assert TRACEBACK not in unknown.stderr
