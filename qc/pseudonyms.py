"""Names that leave a site: hashes keyed with the site's secret, so that nobody else can go back to a study.

Both are HMAC-SHA256 (RFC 2104, FIPS 198-1) over the fields of a name, each preceded by its length, the first of them
the purpose of the name, so that a name for one purpose says nothing about another.

What the secret means:

- Who has it can check whether a known study is behind a record, and nothing more; without it a keyed hash cannot be
  searched for by trying study UIDs, as a plain hash can.
- When it is lost, records already sent stay valid but cannot be recomputed; the site's own table from record to study
  (`segwatch lookup`) still answers.
- When it is replaced, a study that is processed again gets another `study_key` and other event ids: the central host
  counts it as another study. Replace it only when it may have leaked, or to cut the pseudonyms off from the past.
- Two sites never share a secret: their pseudonyms of one study differ, which is wanted.
"""

import hashlib
import hmac
import uuid

from qc.metric_set import MetricSet

SECRET_BYTES = 32
"""Shortest secret that is accepted; `segwatch init site` makes one of this length."""


def study_key(secret: bytes, study_instance_uid: str) -> str:
    """Pseudonym of a study, 64 hexadecimal digits; the same for all its series and all their versions.

    Raises:
        ValueError: the secret is shorter than `SECRET_BYTES`.
    """
    return _keyed_hash(secret, "study", study_instance_uid).hex()


def event_id(
    secret: bytes, *, series_key: str, series_version: int, generation: int, model_sha256: str, metric_set: MetricSet
) -> str:
    """Id of the record of one result: a UUID of version 8 (RFC 9562 5.8) in its usual text form.

    The same result gets the same id however often it is computed after a crash, so that the central host keeps one of
    the copies. A later version of the series, a reprocessing, another model or another metric set is another result.

    Raises:
        ValueError: the secret is shorter than `SECRET_BYTES`.
    """
    digest = _keyed_hash(
        secret,
        "event",
        series_key,
        str(series_version),
        str(generation),
        model_sha256,
        metric_set.name,
        str(metric_set.version),
    )
    number = int.from_bytes(digest[:16])
    number = number & ~(0xF << 76) | 8 << 76  # version 8: vendor-specific
    number = number & ~(0x3 << 62) | 0x2 << 62  # variant of RFC 9562
    return str(uuid.UUID(int=number))


def opt_out_key(secret: bytes, kind: str, identifier: str) -> str:
    """Entry of the opt-out list for a patient or study, 64 hexadecimal digits; it stays at the site.

    Raises:
        ValueError: the secret is shorter than `SECRET_BYTES`.
    """
    return _keyed_hash(secret, "opt-out", kind, identifier).hex()


def secret_check(secret: bytes) -> str:
    """Which secret a list was made with, 16 hexadecimal digits.

    Raises:
        ValueError: the secret is shorter than `SECRET_BYTES`.
    """
    return _keyed_hash(secret, "opt-out check").hex()[:16]


def _keyed_hash(secret: bytes, *fields: str) -> bytes:
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"the site secret has {len(secret)} bytes, at least {SECRET_BYTES} are needed")
    encoded = [field.encode() for field in ("segwatch", *fields)]
    # lengths keep ("a", "bc") and ("ab", "c") apart
    message = b"".join(len(field).to_bytes(4) + field for field in encoded)
    return hmac.new(secret, message, hashlib.sha256).digest()
