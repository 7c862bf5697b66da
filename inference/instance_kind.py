"""Refuses by name what is no single-frame CT image of one series."""

from collections.abc import Callable, Sequence

from pydicom.uid import UID

from inference.errors import RejectionReason, SeriesRejectedError
from inference.read_headers import InstanceHeader

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Enhanced CT, Legacy Converted Enhanced CT."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7."
"""Secondary Capture with a dot at the end; its multi-frame classes extend it."""

_Kind = tuple[Callable[[InstanceHeader], bool], RejectionReason, str]

_WRONG_KINDS: tuple[_Kind, ...] = (
    (
        lambda h: UID(h.sop_class_uid).name == h.sop_class_uid,  # pydicom names every standard UID
        RejectionReason.INVALID_SOP_CLASS,
        "SOP Class UID (0008,0016) is missing or no standard one",
    ),
    (
        lambda h: h.sop_class_uid in ENHANCED_CT_CLASSES,
        RejectionReason.MULTI_FRAME,
        "enhanced multi-frame CT is not supported; send single-frame CT Image Storage",
    ),
    (
        lambda h: f"{h.sop_class_uid}.".startswith(SECONDARY_CAPTURE) and h.modality == "CT",
        RejectionReason.SECONDARY_CAPTURE,
        "a secondary capture that is labelled CT holds no Hounsfield units",
    ),
    (lambda h: h.sop_class_uid != CT_IMAGE_STORAGE, RejectionReason.NOT_CT, "the SOP class is not CT Image Storage"),
    (
        lambda h: h.modality == "SEG",
        RejectionReason.SEGMENTATION_AS_CT,
        "Modality (0008,0060) is SEG under the SOP class of a CT",
    ),
    (lambda h: h.modality not in ("CT", ""), RejectionReason.NOT_CT, "Modality (0008,0060) is not CT"),
    (
        lambda h: h.number_of_frames > 1,
        RejectionReason.MULTI_FRAME,
        "several frames in one CT image; send single frames",
    ),
    (
        lambda h: h.samples_per_pixel != 1,
        RejectionReason.NOT_CT,
        "colour pixels, as screenshots and dose reports have",
    ),
)
"""What is no single-frame CT image: the first row that applies names it."""


def check_kind(headers: Sequence[InstanceHeader]) -> None:
    """Refuse other objects than single-frame CT images, and files of several series.

    Where all instances are of one wrong kind that kind is the reason, even when they belong to several series.
    """
    wrong = [problem for header in headers if (problem := _wrong_kind(header))]
    one_kind = len(wrong) == len(headers) and len({reason for reason, _ in wrong}) == 1
    series = len({(header.study_instance_uid, header.series_instance_uid) for header in headers})
    if series > 1 and not one_kind:
        detail = f"{len(headers)} files of {series} series; give the files of one series"
        raise SeriesRejectedError(RejectionReason.MIXED_SERIES, detail)
    if wrong:
        reason, detail = wrong[0]
        raise SeriesRejectedError(reason, f"{len(wrong)} of {len(headers)} instances: {detail}")
    if not all(header.sop_instance_uid for header in headers):
        detail = "instances without SOP Instance UID (0008,0018) cannot be referenced by a result"
        raise SeriesRejectedError(RejectionReason.UNREADABLE_FILE, detail)


def _wrong_kind(header: InstanceHeader) -> tuple[RejectionReason, str] | None:
    return next(((reason, detail) for applies, reason, detail in _WRONG_KINDS if applies(header)), None)
