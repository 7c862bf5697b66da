"""The errors of the inference room, drawn once.

InferenceError
├── SeriesRejectedError     the series cannot be segmented; `reason` is one of `RejectionReason`
├── NoInstancesError        a folder or series holds no DICOM at all
├── ModelPackageError       the model's file or manifest is missing, malformed or altered
│   └── ModelHashError          the ONNX file is not the one that its manifest names
├── ProviderError           an execution provider that the settings ask for did not start
├── JobLostError            the lease of a job ran out and another worker holds it
└── UnknownJobError         a command names a job that the state does not hold
"""

from enum import StrEnum


class RejectionReason(StrEnum):
    """Why a series cannot be segmented; the value is what `status`, exit messages and reports show."""

    NOT_CT = "not_ct"
    SEGMENTATION_AS_CT = "segmentation_as_ct"
    MULTI_FRAME = "multi_frame_not_supported"
    INVALID_SOP_CLASS = "invalid_sop_class"
    SECONDARY_CAPTURE = "secondary_capture_as_ct"
    MIXED_SERIES = "mixed_series"
    MISSING_GEOMETRY = "missing_geometry"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_SIZE = "mixed_size"
    DUPLICATE_POSITIONS = "duplicate_positions"
    MISSING_SLICES = "missing_slices"
    IRREGULAR_SPACING = "irregular_spacing"
    GANTRY_TILT = "gantry_tilt"
    TILT_AND_MISSING_SLICES = "gantry_tilt_and_missing_slices"
    MISSING_RESCALE = "missing_rescale"
    NOT_HOUNSFIELD = "not_hounsfield_units"
    TOO_FEW_SLICES = "too_few_slices"
    UNDECODABLE_PIXELS = "undecodable_pixels"
    UNREADABLE_FILE = "unreadable_file"
    TOO_LARGE = "too_large"
    NO_LUNGS = "no_lungs"


class InferenceError(Exception):
    """Base of every error that inference raises on purpose; its text is fit for a user and names no patient."""


class SeriesRejectedError(InferenceError):
    """The series cannot be segmented, for a reason that has a name."""

    def __init__(self, reason: RejectionReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class NoInstancesError(InferenceError):
    """A folder or series holds no DICOM instance."""


class ModelPackageError(InferenceError):
    """The model's file or manifest is missing, malformed or altered."""


class ModelHashError(ModelPackageError):
    """The ONNX file is not the one whose SHA-256 the manifest names."""


class ProviderError(InferenceError):
    """An execution provider that the settings ask for did not start."""


class JobLostError(InferenceError):
    """The lease of a job ran out and another worker may hold it."""


class UnknownJobError(InferenceError):
    """A command names a job that the state does not hold."""
