"""Decodes the pixels of one instance to Hounsfield units, and bounds what a decoder may allocate.

Decoders of permissive licence only, found by pydicom: GDCM (JPEG), OpenJPEG (JPEG 2000, HTJ2K), CharLS (JPEG-LS),
pylibjpeg-rle. pylibjpeg-libjpeg is GPL and must not be installed.
"""

import struct
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGExtended12Bit

from inference.errors import RejectionReason, SeriesRejectedError
from inference.read_headers import InstanceHeader

AIR_HU = -1024.0
"""Hounsfield units of padding; nothing in a patient lies below, so lower values are padding too."""
TISSUE_HU = -900.0
"""A padding value above this would blank tissue, and is not believed."""

RETIRED_JPEG = ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")
"""JPEG spectral selection (processes 6 and 8) and full progression (processes 10 and 12)."""

Stored = NDArray[np.integer[Any]]

_TAGS = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
)  # fmt: skip


def decode_into(out: NDArray[np.float32], header: InstanceHeader) -> None:
    """Decode one slice and write its Hounsfield units.

    Stored values become HU by Rescale Slope and Intercept of this very slice. Padding (`padding_range`) and anything
    below `AIR_HU` become `AIR_HU`.

    Args:
        out: (rows, columns), written in place.
        header: of the instance; geometry and rescale were checked before.

    Raises:
        SeriesRejectedError: (`UNDECODABLE_PIXELS`) the pixels are missing, truncated, of another size than the header
            says, or in a transfer syntax that no installed decoder reads.
    """
    try:
        dataset = dcmread(header.path, specific_tags=list(_TAGS))
        _check_codestream_size(dataset, header)
        decode = _decode_by_gdcm if _only_gdcm_decodes(dataset) else _decode_by_pydicom
        stored = decode(dataset)
    except SeriesRejectedError:
        raise
    except Exception as error:  # last resort: four decoder libraries raise anything at malformed pixels
        name = UID(header.transfer_syntax_uid).name if header.transfer_syntax_uid else "no transfer syntax"
        raise _undecodable(f"the pixels ({name}) cannot be decoded ({type(error).__name__})") from error
    if stored.shape != out.shape:
        raise _undecodable(f"decoded {stored.shape} pixels where the header says {out.shape}")
    slope, intercept = np.float32(header.rescale_slope or 1.0), np.float32(header.rescale_intercept or 0.0)
    np.multiply(stored, slope, out=out, casting="unsafe", dtype=np.float32)
    out += intercept
    padding = padding_range(header)
    if padding is not None:
        out[(stored >= padding[0]) & (stored <= padding[1])] = AIR_HU
    np.maximum(out, np.float32(AIR_HU), out=out)


def _decode_by_pydicom(dataset: Dataset) -> Stored:
    return pixel_array(dataset, raw=True)


def _only_gdcm_decodes(dataset: Dataset) -> bool:
    """Whether the frame is a JPEG of 12 bits with loss, or of a retired process, which pydicom offers no decoder."""
    syntax = dataset.file_meta.TransferSyntaxUID
    return syntax in RETIRED_JPEG or (syntax == JPEGExtended12Bit and dataset.get("BitsStored", 0) > 8)


def _decode_by_gdcm(dataset: Dataset) -> Stored:
    """Stored values, (rows, columns), of a single-frame file.

    Raises:
        ValueError: GDCM does not read the file, or not as one 16-bit frame.
    """
    reader = gdcm.ImageReader()
    reader.SetFileName(str(dataset.filename))
    if not reader.Read():
        raise ValueError("GDCM does not read the file")
    image = reader.GetImage()
    pixel_format = image.GetPixelFormat()
    if pixel_format.GetBitsAllocated() != 16 or pixel_format.GetSamplesPerPixel() != 1:
        raise ValueError("not one 16-bit sample per pixel")
    # GDCM hands bytes over as a str with surrogates
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    signed = pixel_format.GetPixelRepresentation() == 1
    columns, rows = image.GetDimensions()[:2]
    return np.frombuffer(data, np.int16 if signed else np.uint16).reshape(rows, columns)


def padding_range(header: InstanceHeader) -> tuple[int, int] | None:
    """Stored values that mean "no pixel here" (PS3.3 C.7.5.1.1.2), both ends included.

    Pixel Padding Value is often written unsigned though the pixels are signed, so its 16 bits are read by Pixel
    Representation, whatever the element's own VR says. A range that would blank tissue is not believed.

    Returns:
        None where there is no padding value, or none that is believed.
    """
    if header.padding_value is None:
        return None
    limit = header.padding_value if header.padding_limit is None else header.padding_limit
    low, high = sorted(_as_stored(value, header.pixel_representation) for value in (header.padding_value, limit))
    slope, intercept = header.rescale_slope or 1.0, header.rescale_intercept or 0.0
    return (low, high) if max(low * slope, high * slope) + intercept < TISSUE_HU else None


def _as_stored(value: int, pixel_representation: int) -> int:
    return value - 0x10000 if pixel_representation == 1 and value >= 0x8000 else value


def _undecodable(detail: str) -> SeriesRejectedError:
    return SeriesRejectedError(RejectionReason.UNDECODABLE_PIXELS, f"{detail}; send the series again uncompressed")


def _check_codestream_size(dataset: Dataset, header: InstanceHeader) -> None:
    """Refuse a compressed frame whose own header announces another size: decoders allocate what it says."""
    if not UID(header.transfer_syntax_uid).is_compressed or "PixelData" not in dataset:
        return
    if header.transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    size = codestream_size(frame)
    if size is not None and size != (header.rows, header.columns):
        raise _undecodable(f"the compressed frame is {size[0]} x {size[1]} where the header says another size")


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 codestream announces; None for anything else."""
    if frame[:4] == b"\xff\x4f\xff\x51" and len(frame) >= 24:  # SOC, SIZ (ISO 15444-1 A.5.1)
        width, height, left, top = struct.unpack_from(">4I", frame, 8)
        return height - top, width - left
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        # SOF0..SOF15 without DHT, JPG and DAC (ISO 10918-1 B.2.2), and SOF55 of JPEG-LS (ISO 14495-1 C.2.2)
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = struct.unpack_from(">HH", frame, at + 5)
            return height, width
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None
