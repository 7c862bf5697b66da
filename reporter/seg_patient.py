"""Carries patient and study from the source header into a result, byte for byte, and drops what is malformed.

Identity (name, id, UIDs) is copied as it is: the archive must file the result beside its source. Dates, times and
codes that the standard does not allow are left empty, because `dciodvfy` and many archives refuse the whole instance.
"""

import logging
import re
from collections.abc import Callable
from datetime import datetime

from pydicom.charset import convert_encodings, python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from reporter.raw_elements import PADDING, raw_bytes, raw_element

_log = logging.getLogger(__name__)

# Type 2 of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1): present even when empty.
_IDENTITY = ("PatientName", "PatientID")
_REQUIRED = ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "StudyID", "AccessionNumber", "StudyDate",
             "StudyTime")  # fmt: skip
# Type 3: copied when present and well formed. The issuer tells apart equal patient ids of two hospitals.
_OPTIONAL = ("IssuerOfPatientID", "StudyDescription", "PatientAge", "PatientSize", "PatientWeight")

_MAX_LENGTH = {"StudyID": 16, "AccessionNumber": 16, "IssuerOfPatientID": 64, "StudyDescription": 64}
_MALFORMED_CHARSET = re.compile(r"ISO[ _-]?IR[ _-]?(\d+)", re.IGNORECASE)


def copy_patient_and_study(header: Dataset, result: Dataset) -> None:
    """Put the patient's and the study's elements of `header` into `result`, replacing those that are there.

    Args:
        header: undecoded header of a source instance.
        result: data set read from explicit VR little endian whose own text is ASCII; changed in place.
    """
    charset = source_character_set(header)
    if charset is not None:
        result[charset.tag] = charset
        # or pydicom would take the bytes for ASCII and encode them once more
        result.set_original_encoding(False, True, convert_encodings(_terms(charset.value)))
    for keyword in (*_IDENTITY, *_REQUIRED, *_OPTIONAL):
        value = raw_bytes(header, keyword)
        if keyword not in _IDENTITY and value and not well_formed(keyword, value):
            _log.warning("%s of the source is malformed and left out of the result", keyword)
            value = b""
        if value.strip(PADDING) or keyword not in _OPTIONAL:
            element = raw_element(keyword, value)
            result[element.tag] = element


def source_character_set(header: Dataset) -> RawDataElement | None:
    """Specific Character Set (0008,0005) of the source, common misspellings mended; None where it has no known one."""
    terms = [_mended(term) for term in _terms(raw_bytes(header, "SpecificCharacterSet"))]
    if not any(terms):
        return None
    if not all(term in python_encoding for term in terms):
        _log.warning("the Specific Character Set of the source is unknown and left out of the result")
        return None
    return raw_element("SpecificCharacterSet", "\\".join(terms).encode())


def _terms(value: bytes | None) -> list[str]:
    return [term.strip(" \0") for term in (value or b"").decode("ascii", errors="replace").split("\\")]


def _mended(term: str) -> str:
    if term in python_encoding:
        return term
    if term.upper().replace("-", "").replace("_", "") == "UTF8":
        return "ISO_IR 192"
    match = _MALFORMED_CHARSET.fullmatch(term)
    return f"ISO_IR {match[1]}" if match else term


def well_formed(keyword: str, value: bytes) -> bool:
    """Whether a value keeps the rules of its VR (PS3.5 6.2), and of its enumeration where it has one."""
    text = value.strip(PADDING)
    if keyword in _MAX_LENGTH:
        # one character of a multi-byte set takes up to 4 bytes; escape sequences come on top
        return len(text) <= 4 * _MAX_LENGTH[keyword] and b"\\" not in text
    check = _CHECKS.get(keyword)
    return check is None or check(text)


def _is_date(text: bytes) -> bool:
    try:
        # the pattern of strptime takes shorter fields too
        return len(text) == 8 and bool(datetime.strptime(text.decode("ascii"), "%Y%m%d"))
    except ValueError:
        return False


_TIME = re.compile(rb"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_AGE = re.compile(rb"\d{3}[DWMY]")
_DECIMAL = re.compile(rb"(?=.{1,16}$)\d+(\.\d*)?([eE][+-]?\d+)?")

_CHECKS: dict[str, Callable[[bytes], bool]] = {
    "PatientBirthDate": _is_date,
    "StudyDate": _is_date,
    "StudyTime": lambda text: _TIME.fullmatch(text) is not None,
    "PatientSex": lambda text: text in (b"M", b"F", b"O"),
    "PatientAge": lambda text: _AGE.fullmatch(text) is not None,
    "PatientSize": lambda text: _DECIMAL.fullmatch(text) is not None,
    "PatientWeight": lambda text: _DECIMAL.fullmatch(text) is not None,
}
