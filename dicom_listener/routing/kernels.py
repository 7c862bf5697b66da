"""What a Convolution Kernel (0018,1210) is made for: soft tissue, lung or bone. One table for each vendor's names.

The standard leaves the values to the vendors (PS3.3 C.8.2.1, "a label describing the convolution kernel"). Lung and
bone kernels are both sharp, and several are used for either: the class is a preference among the series of one study,
not a truth. What no table knows is `other`, and never left out for it by default.
"""

import re
from collections.abc import Sequence
from enum import StrEnum


class KernelClass(StrEnum):
    """What a kernel is made for."""

    SOFT = "soft"
    LUNG = "lung"
    BONE = "bone"
    OTHER = "other"
    """A kernel that no table knows."""
    MISSING = "missing"
    """No Convolution Kernel is given."""


_Table = tuple[tuple[str, KernelClass], ...]

GE: _Table = (
    # names of the kernels; Solomon et al., Med Phys 2012;39:6048-6055 place CHEST and DETAIL beside STANDARD by their
    # noise texture, and LUNG, BONE, BONEPLUS and EDGE beside Siemens B75f and B80f
    (r"SOFT|STANDARD|HD ?STND|STND|STD|CHST|CHEST|DETAIL|HD ?DETAIL", KernelClass.SOFT),
    (r"(?:HD ?)?LUNG", KernelClass.LUNG),
    (r"(?:HD ?)?(?:BONE ?(?:PLUS)?|EDGE|ULTRA)", KernelClass.BONE),
)
SIEMENS: _Table = (
    # letter of the organ, two digits of sharpness (10 softest, 98 sharpest), and what belongs to speed and iteration,
    # e.g. B30f, B31s, I44f, Br40d, Bl57, Hr36, Qr59, Ur77. Operating instructions of the SOMATOM Sensation ("Body
    # kernels"): B10 to B41 for body tissue, B50 to B80 for more sharpness, the thorax among it
    (r"(?:BL|IL)\d\d.*", KernelClass.LUNG),
    (r"(?:A?[BIDQ][A-Z]?[1-4]\d)(?:\D.*)?", KernelClass.SOFT),
    (r"(?:A?[BIDQ][A-Z]?[5-6]\d)(?:\D.*)?", KernelClass.LUNG),
    (r"(?:[BID][7-8]\d)(?:\D.*)?", KernelClass.LUNG),
    (r"(?:[BIDQ][A-Z][7-9]\d)(?:\D.*)?", KernelClass.BONE),
    (r"(?:[HJ][A-Z]?[1-4]\d)(?:\D.*)?", KernelClass.SOFT),
    (r"(?:[HJ][A-Z]?[5-9]\d)(?:\D.*)?", KernelClass.BONE),
    (r"(?:U[A-Z]?\d\d)(?:\D.*)?", KernelClass.BONE),
)
PHILIPS: _Table = (
    # filters A (smooth) to E (sharp), with Y for enhanced ones; L, YA to YC for the lung
    (r"A|B|SA|SB|UA|UB|EB|C", KernelClass.SOFT),
    (r"L|YA|YB|YC|YL", KernelClass.LUNG),
    (r"D|E|F|YD|YE|EC|ED", KernelClass.BONE),
)
CANON: _Table = (
    # FC numbers of Toshiba and Canon: 1 to 19 body, 20s and 40s head, 30s bone and inner ear, 50s lung, 80s sharp
    (r"FC(?:0?[1-9]|1\d|2\d|4\d)\D*", KernelClass.SOFT),
    (r"FC(?:5\d|8[2-6])\D*", KernelClass.LUNG),
    (r"FC(?:3\d|80|81)\D*", KernelClass.BONE),
)
ANY_VENDOR: _Table = (
    # words that say it, whoever wrote them
    (r".*(?:LUNG|PULMO).*", KernelClass.LUNG),
    (r".*(?:BONE|OSTEO).*", KernelClass.BONE),
    (r".*(?:SOFT|STANDARD|SMOOTH|BODY|MEDIAST).*", KernelClass.SOFT),
)

TABLES: tuple[tuple[str, _Table], ...] = (
    ("GE", GE),
    ("SIEMENS", SIEMENS),
    ("PHILIPS", PHILIPS),
    ("TOSHIBA", CANON),
    ("CANON", CANON),
)
"""Part of Manufacturer (0008,0070), and its names. Without a known manufacturer all tables are asked in this order."""


def classify_kernel(kernel: Sequence[str], manufacturer: str = "") -> KernelClass:
    """Classify the values of Convolution Kernel; of several, e.g. `Br40d\\3`, the first that a table knows counts."""
    # old Siemens scanners write a number before the name, e.g. "59 .21.B50s"
    values = [re.sub(r"^[\d .]+(?=[A-Z])", "", value.strip().upper()) for value in kernel if value.strip()]
    if not values:
        return KernelClass.MISSING
    maker = manufacturer.upper()
    own = [table for part, table in TABLES if re.search(rf"\b{part}", maker)]
    tables = (*(own or [table for _, table in TABLES]), ANY_VENDOR)
    found = (kind for value in values for table in tables for name, kind in table if re.fullmatch(name, value))
    return next(found, KernelClass.OTHER)
