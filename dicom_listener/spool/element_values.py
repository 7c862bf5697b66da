"""Element values parsed from their raw bytes.

A decimal string such as `007.812500e-01` or a malformed time must neither stop a reading nor print a source value into
a warning, as pydicom's own conversion may.
"""

import math
import re
from datetime import date

from pydicom import Dataset
from pydicom.charset import python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag


def _raw(dataset: Dataset, keyword: str) -> tuple[bytes, bool]:
    """Value bytes of an element and whether they are little endian; empty bytes where it is missing."""
    tag = Tag(keyword)
    if tag not in dataset:
        return b"", True
    element = dataset.get_item(tag, keep_deferred=True)  # or an empty value of an unknown VR is converted, and raises
    if isinstance(element, RawDataElement):
        return (element.value if isinstance(element.value, bytes) else b""), element.is_little_endian
    return str(element.value if element is not None else "").encode("ascii", "replace"), True


def read_text(dataset: Dataset, keyword: str) -> str:
    """A text or UID without its padding; empty where missing."""
    value, _ = _raw(dataset, keyword)
    return value.decode("ascii", "replace").strip(" \0\n\r\t")


def read_words(dataset: Dataset, keyword: str) -> str:
    """A text that people wrote, decoded by Specific Character Set; what that does not explain becomes U+FFFD."""
    value, _ = _raw(dataset, keyword)
    for term in (
        read_text(dataset, "SpecificCharacterSet").split("\\") if not value.isascii() or b"\x1b" in value else ()
    ):
        try:
            return value.decode(python_encoding[term.strip() or "ISO_IR 6"]).strip(" \0\n\r\t")
        except (KeyError, ValueError):
            continue
    return value.decode("ascii", "replace").strip(" \0\n\r\t")


def read_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a multi-valued text, each without padding; empty values at the end are dropped."""
    values = [part.strip(" \0\n\r\t") for part in read_text(dataset, keyword).split("\\")]
    while values and not values[-1]:
        values.pop()
    return tuple(values)


def read_integer(dataset: Dataset, keyword: str) -> int | None:
    """An unsigned 16-bit element (US, or US/SS before its sign is known)."""
    value, little = _raw(dataset, keyword)
    return int.from_bytes(value[:2], "little" if little else "big") if len(value) >= 2 else None


def read_numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """A decimal or integer string of exactly `count` finite values, else None."""
    parts = read_text(dataset, keyword).split("\\")
    try:
        numbers = tuple(float(part.strip(" \0")) for part in parts)
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def read_number(dataset: Dataset, keyword: str) -> float | None:
    """A decimal string of one finite value, else None."""
    numbers = read_numbers(dataset, keyword, 1)
    return numbers[0] if numbers else None


def read_date(dataset: Dataset, keyword: str) -> date | None:
    """A date (PS3.5 6.2 DA, and the dotted form of ACR-NEMA), else None."""
    match = re.fullmatch(r"(\d{4})\.?(\d{2})\.?(\d{2})", read_text(dataset, keyword))
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None
