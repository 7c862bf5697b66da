"""A PACS sends a chest to `segwatch listen` and asks what of it is safe; also after a kill of either side."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.acceptance.conftest import SLICES
from tests.acceptance.hosts import START_TIMEOUT_S, TRACEBACK, Host, Site
from tests.peers.cli import SegwatchCli
from tests.peers.orthanc import Orthanc
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_pacs_is_told_what_is_durable_before_and_after_a_kill(
    segwatch_cli: SegwatchCli,
    make_site: Callable[..., Site],
    write_series: Callable[..., list[Path]],
    orthanc: Orthanc,
) -> None:
    site = make_site("clinic", {"listener.commitment.enabled": True})
    with site.settings.open("a", encoding="utf-8") as settings:
        print("[[listener.peers]]", 'ae_title = "ORTHANC"', f'host = "{LOOPBACK}"', sep="\n", file=settings)
        print(f"port = {orthanc.dicom_port}", file=settings)
    paths = write_series(1)
    for path in paths:
        orthanc.upload(path)
    heads = [dcmread(path, stop_before_pixels=True) for path in paths]
    instances = [(str(head.SOPClassUID), str(head.SOPInstanceUID)) for head in heads]
    listener = Host(segwatch_cli, site.settings, "listen")
    listener.launch().wait_for_port(site.port, timeout=START_TIMEOUT_S)
    orthanc.send(orthanc.series()[0], called="SEGWATCH", port=site.port)
    for _ in range(2):
        answer = _answer(orthanc, orthanc.request_commitment(instances, called="SEGWATCH", port=site.port))
        assert (answer["Status"], len(answer["Success"])) == ("Success", SLICES)
        listener.wait_for_log("storage commitment report confirmed")
        listener.kill()
        listener.launch().wait_for_port(site.port, timeout=START_TIMEOUT_S)
    assert listener.stop() == 0
    assert TRACEBACK not in listener.log()
    assert not any(uid in listener.log() for _, uid in instances)
    done = segwatch_cli("doctor", "-c", site.settings)
    assert "commitment: WARNING: on, for 24 h" in done.stdout
    assert "1 of 1 peers can be called back" in done.stdout


def _answer(orthanc: Orthanc, path: str) -> dict[str, Any]:
    wait_until(lambda: orthanc.commitment(path)["Status"] != "Pending", "the report came")
    return orthanc.commitment(path)
