"""Reading header elements as the bytes that they are.

Source headers are often malformed, and pydicom's conversion answers a malformed value with a warning that quotes it
or with an exception. A result must neither fail on such a header nor quote a patient, so the few elements that a
result needs are taken from the undecoded value.
"""

import math

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

PADDING = b" \0"


def tag_of(keyword: str) -> BaseTag:
    """Tag of a keyword of the standard's dictionary (PS3.6)."""
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return Tag(number)


def raw_bytes(dataset: Dataset, keyword: str) -> bytes:
    """Undecoded value of an element; empty when it is missing or empty."""
    tag = tag_of(keyword)
    if tag not in dataset:
        return b""
    element = dataset.get_item(tag, keep_deferred=True)  # or an empty value of an unknown VR is converted, and raises
    value = element.value
    if isinstance(value, bytes):
        return value
    if value is None:
        return b""
    if not isinstance(element, RawDataElement) and element.VM > 1:
        return "\\".join(str(item) for item in value).encode()
    return str(value).encode()


def raw_text(dataset: Dataset, keyword: str) -> str:
    """Value of an element of ASCII text without its padding; bytes beyond ASCII become question marks."""
    return raw_bytes(dataset, keyword).strip(PADDING).decode("ascii", errors="replace").replace("�", "?")


def raw_numbers(dataset: Dataset, keyword: str) -> tuple[float, ...] | None:
    """Values of a DS or IS element (PS3.5 6.2), whatever their length; None when one is no finite number."""
    text = raw_text(dataset, keyword)
    if not text:
        return None
    try:
        numbers = tuple(float(part) for part in text.split("\\"))
    except ValueError:
        return None
    return numbers if all(math.isfinite(number) for number in numbers) else None


def raw_unsigned(dataset: Dataset, keyword: str) -> int | None:
    """Value of a US element in the data set's byte order (PS3.5 6.2); None when it is missing or of another length."""
    element = dataset.get_item(tag_of(keyword), keep_deferred=True) if tag_of(keyword) in dataset else None
    if element is None:
        return None
    if not isinstance(element, RawDataElement):
        return int(element.value) if isinstance(element.value, int) else None
    if element.value is None or len(element.value) != 2:
        return None
    return int.from_bytes(element.value, "little" if element.is_little_endian else "big")


def raw_element(keyword: str, value: bytes) -> RawDataElement:
    """An element of explicit VR little endian that carries exactly these bytes, padded to even length."""
    tag = tag_of(keyword)
    padded = value + b" " * (len(value) % 2)
    return RawDataElement(tag, dictionary_VR(tag), len(padded), padded, 0, False, True)
