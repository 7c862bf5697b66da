"""Heads of a chest CT that a test can bend."""

from typing import Any

from dicom_listener.spool.instance_head import InstanceHead

CT = "1.2.840.10008.5.1.4.1.1.2"


def chest_head(number: int = 0, *, spacing: float = 2.0, **changes: Any) -> InstanceHead:
    """The n-th slice of an axial chest; `changes` replaces fields."""
    values: dict[str, Any] = {
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "calling_ae_title": "PACS",
        "called_ae_title": "SEGWATCH",
        "is_whole": True,
        "sop_class_uid": CT,
        "sop_instance_uid": f"1.2.3.{number}",
        "study_instance_uid": "1.2.1",
        "series_instance_uid": "1.2.2",
        "frame_of_reference_uid": "1.2.4",
        "patient_id": "SECRET-ID",
        "issuer_of_patient_id": "",
        "modality": "CT",
        "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "manufacturer": "SIEMENS",
        "body_part": "CHEST",
        "study_description": "CT Thorax",
        "series_description": "Thorax 2.0 B30f",
        "protocol_name": "",
        "kernel": ("B30f",),
        "series_number": 2,
        "acquisition_number": 1,
        "instance_number": number,
        "temporal_position": None,
        "images_in_acquisition": None,
        "series_instances": None,
        "number_of_frames": None,
        "samples_per_pixel": 1,
        "rows": 512,
        "columns": 512,
        "position": (-180.0, -180.0, spacing * number),
        "orientation": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "pixel_spacing": (0.7, 0.7),
        "slice_thickness": spacing,
        "spacing_between_slices": None,
        "is_lossy": False,
        "derivation": "",
    }
    return InstanceHead(**{**values, **changes})


def chest_heads(count: int = 120, *, spacing: float = 2.0, **changes: Any) -> list[InstanceHead]:
    """An axial chest of `count` slices."""
    return [chest_head(number, spacing=spacing, **changes) for number in range(count)]
