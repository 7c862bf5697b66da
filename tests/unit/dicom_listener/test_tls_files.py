"""Certificates and keys that cannot be used are told by a sentence that names the file."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from dicom_listener.errors import TlsError
from dicom_listener.network.tls import TlsSettings, make_context
from tests.peers.certificates import Authority, Identity, make_key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Identity:
    return authority.issue()


BAD_FILES = {
    "missing": "No such file or directory",
    "folder": "Is a directory",
    "no PEM": "no (certificate|private key) in PEM format",
    "another key": "not the key of the certificate",
    "encrypted": "protected by a passphrase",
    "rsa1024": "RSA key has 1024 bits, at least 2048",
    "ec224": "elliptic curve key has 224 bits, at least 256",
}
ANY_FILE = ("missing", "folder", "no PEM")


@pytest.mark.parametrize(
    ("which", "fault"),
    [
        *(("certificate", fault) for fault in (*ANY_FILE, "another key", "rsa1024", "ec224")),
        *(("key", fault) for fault in (*ANY_FILE, "another key", "encrypted")),
        *(("trusted", fault) for fault in (*ANY_FILE, "rsa1024", "ec224")),
    ],
)
def test_files_that_cannot_be_used_are_named(authority: Authority, which: str, fault: str, tmp_path: Path) -> None:
    good = authority.issue()
    files = {"certificate": good.certificate, "key": good.key, "trusted": authority.certificate}
    files[which] = bad = tmp_path / "bad.pem"
    other = authority.issue(fault if fault.startswith(("rsa", "ec2")) else "ec256")
    if fault == "folder":
        bad.mkdir()
    elif fault == "no PEM":
        bad.write_text("Nobody^Test")
    elif fault == "encrypted":
        encryption = BestAvailableEncryption(b"word")
        bad.write_bytes(make_key("ec256").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    elif fault != "missing":
        bad.write_bytes((other.key if which == "key" else other.certificate).read_bytes())
    with pytest.raises(TlsError, match=BAD_FILES[fault]) as caught:
        make_context(TlsSettings(files["certificate"], files["key"], files["trusted"]))
    assert str(bad) in str(caught.value)
    assert "Nobody" not in str(caught.value)


def test_who_requires_certificates_must_trust_some(own: Identity) -> None:
    with pytest.raises(TlsError, match="no trusted ones are named"):
        make_context(TlsSettings(own.certificate, own.key))
