"""Orthanc sends over TLS with the settings of docs/how-to/encrypt-dicom.md."""

import queue
import urllib.request
from pathlib import Path

import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from dicom_listener.network.scp import ScpSettings, StorageScp
from dicom_listener.network.tls import TlsSettings
from dicom_listener.spool.spool import Spool
from dicom_listener.stored import StoredInstance
from tests.peers.certificates import Authority
from tests.peers.orthanc import Orthanc
from tests.peers.ports import LOOPBACK
from tests.unit.dicom_listener.instances import EXPLICIT_LITTLE, data_set

PATIENCE = 60.0


@pytest.mark.parametrize("fast_intake", [True, False], ids=["fast", "pynetdicom"])
def test_orthanc_pushes_over_tls(tmp_path: Path, fast_intake: bool) -> None:
    authority = Authority(tmp_path / "authority")
    own, pacs = authority.issue(), authority.issue()
    stored: queue.Queue[StoredInstance] = queue.Queue()
    tls = TlsSettings(own.certificate, own.key, authority.certificate)
    scp = StorageScp(
        Spool(tmp_path / "spool", high_watermark=1.1),
        ae_title="SEGWATCH",
        host=LOOPBACK,
        port=0,
        on_stored=stored.put,
        settings=ScpSettings(tls=tls, tls_port=0, serve_without_tls=False, fast_intake=fast_intake),
    )
    scp.start()
    segwatch = {"AET": "SEGWATCH", "Host": LOOPBACK, "Port": scp.port, "UseDicomTls": True}
    orthanc = Orthanc(
        tmp_path / "orthanc",
        DicomTlsCertificate=str(pacs.certificate),
        DicomTlsPrivateKey=str(pacs.key),
        DicomTlsTrustedCertificates=str(authority.certificate),
        DicomModalities={"segwatch": segwatch},
    )
    try:
        orthanc.start()
        file = tmp_path / "one.dcm"
        dataset = data_set()
        dataset.PatientID = "x"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE)
        dataset.save_as(file, enforce_file_format=True)
        identifier = orthanc.upload(file)
        _post(f"{orthanc.http_url}/modalities/segwatch/store", identifier.encode())
        assert stored.get(timeout=PATIENCE).instance.sop_instance_uid == dataset.SOPInstanceUID
    finally:
        orthanc.close()
        scp.stop()


def _post(url: str, body: bytes) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=PATIENCE) as answer:  # noqa: S310 (our own server)
        content: bytes = answer.read()
    return content
