"""Real DICOMweb clients push: dicomweb-client and Orthanc's plug-in; with the right token, a wrong one and none."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import requests
from dicomweb_client.api import DICOMwebClient

from tests.integration.stow_listener import StowListener, encoded, slices
from tests.peers.cli import SegwatchCli
from tests.peers.orthanc import Orthanc, find_dicomweb_plugin
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.instances import STUDY, uid

WRONG = "wrong-token"


@pytest.fixture
def token(segwatch_cli: SegwatchCli, tmp_path: Path) -> str:
    """As the command makes it."""
    done = segwatch_cli("init", "token", "GATEWAY", tmp_path / "tokens")
    assert done.returncode == 0, done.stderr
    (token,) = [line for line in done.stdout.splitlines() if line and " " not in line]
    assert token not in (tmp_path / "tokens").read_text()
    return token


@pytest.fixture
def listener(segwatch_cli: SegwatchCli, tmp_path: Path, token: str) -> StowListener:
    assert token
    listener = StowListener(segwatch_cli, tmp_path / "site", tokens_file=str(tmp_path / "tokens"))
    listener.start()
    return listener


@pytest.fixture
def client(listener: StowListener) -> Iterator[Callable[[str | None], DICOMwebClient]]:
    sessions: list[requests.Session] = []

    def make(token: str | None) -> DICOMwebClient:
        sessions.append(requests.Session())
        if token is not None:
            sessions[-1].headers["Authorization"] = f"Bearer {token}"
        return DICOMwebClient(f"http://{LOOPBACK}:{listener.port}", session=sessions[-1])

    yield make
    for session in sessions:
        session.close()


def test_dicomweb_client_stores_a_series(
    listener: StowListener, client: Callable[[str | None], DICOMwebClient], token: str
) -> None:
    datasets = slices(range(1, 11))
    answer = client(token).store_instances(list(datasets.values()), study_instance_uid=STUDY)

    assert [str(item.ReferencedSOPInstanceUID) for item in answer.ReferencedSOPSequence] == [
        uid(number) for number in datasets
    ]
    assert "FailedSOPSequence" not in answer
    assert listener.instances() == encoded(datasets)
    assert '"text": "listening on' in listener.log()
    assert f"STOW-RS on http://{LOOPBACK}:{listener.port}/studies" in listener.log()
    wait_until(lambda: "stow request 200: calling=GATEWAY" in listener.log(), "the log has it, after the answer")


def test_dicomweb_client_is_told_what_failed(
    listener: StowListener, client: Callable[[str | None], DICOMwebClient], token: str
) -> None:
    answer = client(token).store_instances(list(slices([1]).values()) * 2)
    assert len(answer.ReferencedSOPSequence) == 2
    with pytest.raises(requests.HTTPError, match="409"):
        client(token).store_instances(list(slices([1]).values()), study_instance_uid="1.2.3")
    assert list(listener.instances()) == [uid(1)]


@pytest.mark.parametrize("presented", [None, WRONG])
def test_dicomweb_client_without_the_token_is_refused(
    listener: StowListener, client: Callable[[str | None], DICOMwebClient], presented: str | None
) -> None:
    with pytest.raises(requests.HTTPError, match="401"):
        client(presented).store_instances(list(slices(range(1, 11)).values()))
    assert listener.instances() == {}
    assert WRONG not in listener.log()


@pytest.fixture
def pushing_orthanc(orthanc_factory: Callable[..., Orthanc], listener: StowListener, token: str) -> Orthanc:
    """An Orthanc that knows the listener as `segwatch`, and as `stranger` with a wrong token."""
    url = f"http://{LOOPBACK}:{listener.port}/"

    def server(presented: str) -> dict[str, Any]:
        return {"Url": url, "HttpHeaders": {"Authorization": f"Bearer {presented}"}}

    servers = {"segwatch": server(token), "stranger": server(WRONG)}
    orthanc = orthanc_factory(
        Plugins=[str(find_dicomweb_plugin())], DicomWeb={"Enable": True, "Root": "/dicom-web/", "Servers": servers}
    )
    orthanc.start()
    return orthanc


def test_orthanc_pushes_a_series(pushing_orthanc: Orthanc, listener: StowListener, tmp_path: Path) -> None:
    datasets = slices(range(1, 11))
    for number, dataset in datasets.items():
        file = tmp_path / f"{number}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        pushing_orthanc.upload(file)
    (series,) = pushing_orthanc.series()

    pushing_orthanc.push(series, server="segwatch")
    assert listener.instances() == encoded(datasets)
    pushing_orthanc.push(series, server="segwatch")
    assert listener.instances() == encoded(datasets)
    assert "duplicate=" in listener.log()
    assert "Traceback" not in listener.log()


def test_orthanc_with_a_wrong_token_is_refused(
    pushing_orthanc: Orthanc, listener: StowListener, tmp_path: Path
) -> None:
    (dataset,) = slices([1]).values()
    dataset.save_as(tmp_path / "1.dcm", enforce_file_format=True)
    pushing_orthanc.upload(tmp_path / "1.dcm")
    (series,) = pushing_orthanc.series()
    with pytest.raises(HTTPError):
        pushing_orthanc.push(series, server="stranger")
    assert listener.instances() == {}
    assert "stow request 401" in listener.log()


def test_without_authentication_only_loopback_is_served(segwatch_cli: SegwatchCli, tmp_path: Path) -> None:
    listener = StowListener(segwatch_cli, tmp_path / "site", host="0.0.0.0")  # noqa: S104 (what is refused)
    done: subprocess.CompletedProcess[str] = segwatch_cli("listen", "-c", tmp_path / "site" / "segwatch.toml")
    assert done.returncode == 1
    assert "tokens_file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not listener.spool_root.exists() or listener.instances() == {}
