"""Reads the files of TLS before OpenSSL does, for OpenSSL says of all that can be wrong with them little or nothing."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from dicom_listener.errors import TlsError

MINIMUM_RSA_BITS = 2048
MINIMUM_EC_BITS = 256
"""PS3.15 annex B.13."""
WARN_BEFORE = dt.timedelta(days=30)
"""A certificate that expires sooner is worth a warning."""
_READABLE_BY_OTHERS = 0o004


def check_files(certificate: Path, key: Path, trusted: Path | None) -> None:
    """See that a server can use the files.

    Raises:
        TlsError: one cannot be read, is none of its kind, is too weak, or the key is not that of the certificate.
    """
    own = _public_key(certificate, _certificates(certificate)[0])
    _check_strength(certificate, own)
    if _encoded(_private_key(key)) != _encoded(own):
        raise TlsError(f"{key}: not the key of the certificate in {certificate}; one of the two is the wrong file")
    if trusted is not None:
        for one in _certificates(trusted):
            _check_strength(trusted, _public_key(trusted, one))


@dataclass(frozen=True, slots=True)
class Validity:
    """How it stands with our certificate and key at one moment."""

    text: str
    is_bad: bool = False
    """Peers that check it refuse it."""
    is_worrying: bool = False
    """Somebody should do something about it."""


def validity(certificate: Path, key: Path, now: dt.datetime) -> Validity:
    """See how long the certificate of a file is valid, and who may read the key.

    Raises:
        TlsError: a file cannot be read.
    """
    own = _certificates(certificate)[0]
    begin, end = own.not_valid_before_utc, own.not_valid_after_utc
    if now > end:
        return Validity(
            f"{certificate}: the certificate has expired on {end:%Y-%m-%d}; have it renewed, then restart the listener",
            is_bad=True,
        )
    if now < begin:
        return Validity(
            f"{certificate}: the certificate is valid from {begin:%Y-%m-%d} on; set the clock right, or wait",
            is_bad=True,
        )
    if end - now < WARN_BEFORE:
        return Validity(
            f"{certificate}: the certificate expires on {end:%Y-%m-%d}; have it renewed, then restart the listener",
            is_worrying=True,
        )
    if _is_open_to_others(key):
        return Validity(f"{key}: every user of this machine can read the key; chmod o= it", is_worrying=True)
    return Validity(f"the certificate is valid until {end:%Y-%m-%d}")


def own_certificate(certificate: Path) -> bytes:
    """The first certificate of a file, in DER. Raises `TlsError` when it cannot be read."""
    return _certificates(certificate)[0].public_bytes(Encoding.DER)


def _is_open_to_others(key: Path) -> bool:
    try:
        return bool(key.stat().st_mode & _READABLE_BY_OTHERS)
    except OSError as error:
        raise _unreadable(key, error) from error


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise TlsError(f"{path}: no certificate in PEM format") from error


def _public_key(path: Path, certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{path}: a certificate's key is of a kind that is not supported") from error


def _private_key(path: Path) -> object:
    """The public half of a private key."""
    try:
        return load_pem_private_key(_read(path), password=None).public_key()
    except TypeError as error:
        raise TlsError(
            f"{path}: the key is protected by a passphrase; write it without one, readable by Segwatch alone"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{path}: no private key in PEM format") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> TlsError:
    return TlsError(
        f"{path}: {error.strerror or type(error).__name__}; see certificate, key and trusted of the TLS settings"
    )


def _encoded(public_key: object) -> bytes:
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]  # every kind of public key has it


def _check_strength(path: Path, key: object) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        bits, minimum, kind = key.key_size, MINIMUM_RSA_BITS, "RSA"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        bits, minimum, kind = key.key_size, MINIMUM_EC_BITS, "elliptic curve"
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return
    else:
        raise TlsError(f"{path}: a certificate's key must be RSA or on an elliptic curve")
    if bits < minimum:
        raise TlsError(f"{path}: a certificate's {kind} key has {bits} bits, at least {minimum} are needed")
