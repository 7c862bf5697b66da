"""Every transfer syntax in which an image can be stored (PS3.5 section 10, PS3.6 table A-1), retired ones included.

Data sets are kept as received, so whatever a sender holds is accepted. The order is our preference where a sender
offers several for one presentation context and would convert: first what needs no decoder, then lossless, then what
may lose information, last those whose pixels are not in the data set at all.
"""

_ROOT = "1.2.840.10008.1.2"

UNCOMPRESSED = (
    f"{_ROOT}.1",  # Explicit VR Little Endian
    _ROOT,  # Implicit VR Little Endian
    f"{_ROOT}.1.99",  # Deflated Explicit VR Little Endian
    f"{_ROOT}.1.98",  # Encapsulated Uncompressed Explicit VR Little Endian
    f"{_ROOT}.2",  # Explicit VR Big Endian
)
LOSSLESS = (
    *(f"{_ROOT}.4.{number}" for number in (70, 57, 58, 65, 66)),  # JPEG lossless processes
    f"{_ROOT}.4.80",  # JPEG-LS Lossless
    *(f"{_ROOT}.4.{number}" for number in (90, 92)),  # JPEG 2000 Lossless, and its multi-component part
    *(f"{_ROOT}.4.{number}" for number in (201, 202)),  # HTJ2K Lossless, with RPCL
    f"{_ROOT}.4.110",  # JPEG XL Lossless
    f"{_ROOT}.5",  # RLE Lossless
    f"{_ROOT}.8.1",  # Deflated Image Frame Compression
)
MAYBE_LOSSY = (
    *(f"{_ROOT}.4.{number}" for number in range(50, 57)),  # JPEG baseline, extended, spectral, progressive
    *(f"{_ROOT}.4.{number}" for number in range(59, 65)),  # JPEG hierarchical
    f"{_ROOT}.4.81",  # JPEG-LS Near-lossless
    *(f"{_ROOT}.4.{number}" for number in (91, 93)),  # JPEG 2000, and its multi-component part
    f"{_ROOT}.4.203",  # HTJ2K
    *(f"{_ROOT}.4.{number}" for number in (111, 112)),  # JPEG XL
    *(f"{_ROOT}.4.{number}{part}" for number in range(100, 107) for part in ("", ".1")),  # MPEG-2, MPEG-4
    *(f"{_ROOT}.4.{number}" for number in (107, 108)),  # HEVC
)
REFERENCED = tuple(f"{_ROOT}.4.{number}" for number in (94, 95, 204, 205))  # JPIP

STORAGE_TRANSFER_SYNTAXES = UNCOMPRESSED + LOSSLESS + MAYBE_LOSSY + REFERENCED
