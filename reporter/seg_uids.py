"""UIDs of a result: the same inputs name the same result, so that a second delivery replaces the first.

A UID is 2.25.<integer of a UUID> (PS3.5 B.2); the UUID is a hash of what determines the pixels (RFC 9562, version 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from inference.segmentation import ModelIdentity

NAMESPACE = UUID("6f1ab2a5-7c5b-5c59-9b0a-5a36a8a6e0d1")
"""Segwatch's own; it never changes, or every result would get new UIDs."""


@dataclass(frozen=True, slots=True)
class SegUids:
    """The UIDs of one result."""

    series_instance_uid: str
    sop_instance_uid: str
    dimension_organization_uid: str
    frame_of_reference_uid: str
    """Only for a source that has none."""


@dataclass(frozen=True, slots=True)
class ResultInputs:
    """What determines the pixels of a result."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: Sequence[str]
    """In any order."""
    model: ModelIdentity
    pixel_settings: str
    software_version: str
    kind: str = ""
    """Names results of other kinds from the same inputs."""
    series_version: int = 1
    """Another version is another result, also of the same instances: an archive must not take it for the first."""


def seg_uids(inputs: ResultInputs) -> SegUids:
    """Derive the UIDs of a result."""
    parts = (
        inputs.study_instance_uid,
        inputs.series_instance_uid,
        *sorted(inputs.sop_instance_uids),
        inputs.model.sha256,
        inputs.pixel_settings,
        inputs.software_version,
        inputs.kind,
        # results of before versions counted keep their names
        *([f"version {inputs.series_version}"] if inputs.series_version > 1 else []),
    )
    return SegUids(
        series_instance_uid=derived_uid("seg series", *parts),
        sop_instance_uid=derived_uid("seg instance", *parts),
        dimension_organization_uid=derived_uid("seg dimensions", *parts),
        frame_of_reference_uid=derived_uid("frame of reference", inputs.study_instance_uid, inputs.series_instance_uid),
    )


def tracking_uid(study_instance_uid: str, series_instance_uid: str, model_name: str, segment_number: int) -> str:
    """Tracking UID of a segment: all versions of a result of one series and one model share it (PS3.3 C.8.20.2)."""
    return derived_uid("tracking", study_instance_uid, series_instance_uid, model_name, str(segment_number))


def derived_uid(*parts: str) -> str:
    """Hash the parts, order and boundaries included, to a UID."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return f"2.25.{uuid5(NAMESPACE, text).int}"
