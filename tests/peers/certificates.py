"""Self-made certificates: an authority, and what it issues, as good or as bad as a test wants them."""

import datetime as dt
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.peers.missing import missing_peer

DAY = dt.timedelta(days=1)
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    """Files (PEM) of one who was issued a certificate."""

    certificate: Path
    key: Path


def find_openssl() -> str:
    """The program of OpenSSL, or the end of the test."""
    found = shutil.which("openssl")
    if found is None:
        missing_peer("openssl", "not installed (Debian package openssl)")
    return found


def make_key(kind: str) -> PrivateKey:
    """A key named like rsa2048, ec256 or ec224."""
    bits = int(kind.lstrip("rsaec"))
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, bits)
    return ec.generate_private_key({224: ec.SECP224R1(), 256: ec.SECP256R1(), 384: ec.SECP384R1()}[bits])


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "Test authority", kind: str = "ec256") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = make_key(kind)
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._count = 0
        self.certificate = folder / "authority.pem"
        """What others trust."""
        self.key = folder / "authority.key"
        self._write_key(self.key, self._key)
        builder = self._builder(self._subject, self._key, 0 * DAY, 3650 * DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._write(self.certificate, builder.sign(self._key, hashes.SHA256()))

    def issue(self, kind: str = "ec256", *, begins: dt.timedelta = 0 * DAY, ends: dt.timedelta = 365 * DAY) -> Identity:
        """A certificate for a key of that kind, valid from `begins` to `ends` after now."""
        self._count += 1
        key = make_key(kind)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Nobody Test {self._count}")])
        builder = self._builder(subject, key, begins, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        identity = Identity(self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key")
        self._write(identity.certificate, builder.sign(self._key, hashes.SHA256()))
        self._write_key(identity.key, key)
        return identity

    def issue_by_sha1(self) -> Identity:
        """A certificate signed as they were until 2016; cryptography refuses to make such, openssl does not."""
        good = self.issue("rsa2048")
        old = Identity(good.certificate.with_suffix(".sha1.pem"), good.key)
        openssl = find_openssl()
        request = subprocess.run(
            [openssl, "req", "-new", "-key", good.key, "-subj", "/CN=Nobody Test"], capture_output=True, check=True
        )
        sign: list[str | Path] = [
            "openssl",
            "x509",
            "-req",
            "-sha1",
            "-CA",
            self.certificate,
            "-CAkey",
            self.key,
            "-set_serial",
            "1",
        ]
        subprocess.run([*sign, "-out", old.certificate], input=request.stdout, capture_output=True, check=True)
        return old

    def _builder(
        self, subject: x509.Name, key: PrivateKey, begins: dt.timedelta, ends: dt.timedelta
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(self._subject)
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins - dt.timedelta(hours=1))
            .not_valid_after(now + ends)
        )

    @staticmethod
    def _write_key(path: Path, key: PrivateKey) -> None:
        path.touch(mode=0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
