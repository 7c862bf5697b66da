"""A real Orthanc on loopback: the PACS of the tests."""

import json
import shutil
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.peers.missing import missing_peer
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import ServerProcess


@dataclass(frozen=True)
class Stored:
    """One resource in Orthanc: its Orthanc id, its parent's, and its main DICOM tags by keyword."""

    id: str
    parent: str
    tags: Mapping[str, str]


class Orthanc:
    """One Orthanc over one storage folder; stopped and started again it is the same PACS on the same ports."""

    def __init__(self, folder: Path, *, environment: Mapping[str, str] | None = None, **settings: Any) -> None:
        """Write the configuration; `settings` override Orthanc's own keys, e.g. `OverwriteInstances=True`.

        `environment` replaces that of the test.
        """
        self.ae_title = "ORTHANC"
        self.dicom_port = free_ports()
        self.http_port = free_ports()
        self.http_url = f"http://{LOOPBACK}:{self.http_port}"
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "orthanc.json"
        configuration.write_text(json.dumps({**self._configuration(folder), **settings}, indent=2))
        self._server = ServerProcess(
            [find_orthanc(), configuration], log=folder / "orthanc.log", environment=environment
        )

    def _configuration(self, folder: Path) -> dict[str, Any]:
        return {
            "Name": "segwatch-tests",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "TemporaryDirectory": str(folder),
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": True,
            "AcceptedTransferSyntaxes": ["1.2.840.10008.1.*"],
            "SaveJobs": False,
        }

    def start(self) -> None:
        """Start and return when both ports answer."""
        self._server.start_and_wait_for_port(self.http_port)
        self._server.wait_for_port(self.dicom_port)

    def stop(self) -> None:
        """Stop: from now on connections to either port are refused; what is stored stays."""
        self._server.stop()

    def kill(self) -> None:
        """End without a chance to finish anything (SIGKILL)."""
        self._server.kill()

    def suspend(self) -> None:
        """Let it hang: connections are taken, nothing is answered until `resume`."""
        self._server.suspend()

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        self._server.resume()

    def close(self) -> None:
        """End if still running; nobody reads the storage afterwards, so the quick way."""
        if self._server.is_running:
            self._server.kill()

    @property
    def is_running(self) -> bool:
        """Whether the server runs now."""
        return self._server.is_running

    @property
    def process(self) -> ServerProcess:
        """The server process, for benchmarks that look at what it costs."""
        return self._server

    def log(self) -> str:
        """What Orthanc printed."""
        return self._server.output()

    def studies(self) -> list[Stored]:
        """Every study; the parent is the patient."""
        return self._resources("studies", "ParentPatient")

    def series(self, modality: str | None = None) -> list[Stored]:
        """Every series, or those of one modality (`"SEG"`); the parent is the study."""
        found = self._resources("series", "ParentStudy")
        return [one for one in found if modality is None or one.tags.get("Modality") == modality]

    def instances(self, series: Stored | None = None) -> list[Stored]:
        """Every instance, or those of one series; the parent is the series."""
        found = self._resources("instances", "ParentSeries")
        return [one for one in found if series is None or one.parent == series.id]

    def file(self, instance: str | Stored) -> bytes:
        """The DICOM file of one instance, as it was received."""
        identifier = instance.id if isinstance(instance, Stored) else instance
        return self._request(f"/instances/{identifier}/file")

    def upload(self, path: Path) -> str:
        """Store a file by REST; returns the id of the instance."""
        answer = json.loads(self._request("/instances", method="POST", body=path.read_bytes()))
        return str(answer["ID"])

    def send(self, resource: Stored, *, called: str, port: int) -> None:
        """Let Orthanc itself C-STORE a study, series or instance to loopback (HTTPError when that fails)."""
        peer = json.dumps({"AET": called, "Host": LOOPBACK, "Port": port}).encode()
        self._request("/modalities/peer", method="PUT", body=peer)
        job = json.dumps({"Resources": [resource.id], "Synchronous": True}).encode()
        self._request("/modalities/peer/store", method="POST", body=job)

    def push(self, resource: Stored, *, server: str) -> None:
        """Let the DICOMweb plug-in push a study, series or instance by STOW-RS (HTTPError when that fails).

        `server` is a key of the setting `DicomWeb.Servers`.
        """
        job = json.dumps({"Resources": [resource.id], "Synchronous": True}).encode()
        self._request(f"/dicom-web/servers/{server}/stow", method="POST", body=job)

    def request_commitment(self, instances: Sequence[tuple[str, str]], *, called: str, port: int) -> str:
        """Let Orthanc ask loopback to commit instances (SOP Class and Instance UIDs); returns its answer's path."""
        peer = json.dumps({"AET": called, "Host": LOOPBACK, "Port": port}).encode()
        self._request("/modalities/peer", method="PUT", body=peer)
        names = [{"SOPClassUID": sop_class, "SOPInstanceUID": uid} for sop_class, uid in instances]
        body = json.dumps({"DicomInstances": names, "Timeout": 10}).encode()
        answer = json.loads(self._request("/modalities/peer/storage-commitment", method="POST", body=body))
        return str(answer["Path"])

    def commitment(self, path: str) -> dict[str, Any]:
        """What Orthanc knows of a request; its `Status` is Pending, Success or Failure."""
        return dict(json.loads(self._request(path)))

    def clear(self) -> None:
        """Delete everything."""
        for patient in json.loads(self._request("/patients")):
            self._request(f"/patients/{patient}", method="DELETE")

    def _resources(self, level: str, parent: str) -> list[Stored]:
        found = json.loads(self._request(f"/{level}?expand"))
        return [Stored(id=one["ID"], parent=one[parent], tags=one["MainDicomTags"]) for one in found]

    def _request(self, path: str, *, method: str = "GET", body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.http_url + path, data=body, method=method)  # noqa: S310 (loopback http)
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 (loopback http)
            return bytes(answer.read())


def find_orthanc() -> Path:
    """Find the server program (Debian calls it Orthanc, with a capital), or end the test."""
    found = shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin:/usr/local/bin") or shutil.which("Orthanc")
    if found is None:
        missing_peer("Orthanc", "not installed (Debian package orthanc)")
    return Path(found)


def find_dicomweb_plugin() -> Path:
    """Find Orthanc's DICOMweb plug-in, or end the test."""
    found = next(iter(sorted(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so*"))), None)
    if found is None:
        missing_peer("Orthanc's DICOMweb plug-in", "not installed (Debian package orthanc-dicomweb)")
    return found
