"""Segments and equipment of a result in DICOM's words; beside `seg.py` the only use of highdicom."""

from datetime import datetime

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
from highdicom.sr import CodedConcept as HighdicomConcept
from pydicom.sr.codedict import codes

from inference.segmentation import CodedConcept, ModelIdentity, Segmentation, SegmentLabel
from reporter.errors import SegBuildError
from reporter.seg_identity import SegIdentity
from reporter.seg_source import SourceSeries
from reporter.seg_text import SHORT_STRING, ascii_text
from reporter.seg_uids import tracking_uid

MANUFACTURER = "Segwatch"
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")


def segment_descriptions(segmentation: Segmentation, source: SourceSeries) -> list[SegmentDescription]:
    """Describe every label of the model, found or not (PS3.3 C.8.20.2).

    Raises:
        SegBuildError: the labels are not numbered 1, 2, 3, ...
    """
    labels = sorted(segmentation.labels, key=lambda label: label.number)
    if [label.number for label in labels] != list(range(1, len(labels) + 1)) or not labels:
        raise SegBuildError("the model's labels are not numbered 1, 2, 3, ...; a DICOM SEG needs that")
    return [_describe(label, segmentation.model, source) for label in labels]


def _describe(label: SegmentLabel, model: ModelIdentity, source: SourceSeries) -> SegmentDescription:
    return SegmentDescription(
        segment_number=label.number,
        segment_label=ascii_text(label.name),
        segmented_property_category=_concept(label.category),
        segmented_property_type=_concept(label.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=ascii_text(model.name),
            family=_concept(ARTIFICIAL_INTELLIGENCE),
            version=ascii_text(model.version),
            source=MANUFACTURER,
        ),
        tracking_uid=tracking_uid(source.study_instance_uid, source.series_instance_uid, model.name, label.number),
        tracking_id=ascii_text(f"{model.name} {label.name}"),
        display_color=CIELabColor.from_rgb(*label.rgb),
    )


def contributing_equipment(model: ModelIdentity, identity: SegIdentity) -> ContributingEquipment:
    """Name the algorithm that made the result (IHE Radiology, AI Results, 6.5.3)."""
    return ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=ascii_text(model.name),
        software_versions=[ascii_text(model.version), f"Segwatch {ascii_text(identity.software_version, 40)}"],
        device_serial_number=serial_number(model, identity),
        contribution_datetime=local_time(identity),
        contribution_description="Segmentation by an AI model; not reviewed by a person",
    )


def serial_number(model: ModelIdentity, identity: SegIdentity) -> str:
    """Device Serial Number, required by Enhanced General Equipment (PS3.3 C.7.5.2)."""
    return ascii_text(identity.device_serial_number or model.sha256[:16])


def local_time(identity: SegIdentity) -> datetime:
    """The instant of creation as the archive's clock shows it; DICOM times without an offset are local (PS3.5 6.2)."""
    if identity.created_at is None:
        raise ValueError("the build sets created_at before it needs the time")
    return datetime.fromtimestamp(identity.created_at).replace(microsecond=0)


def _concept(concept: CodedConcept) -> HighdicomConcept:
    return HighdicomConcept(
        ascii_text(concept.value, SHORT_STRING), ascii_text(concept.scheme, SHORT_STRING), ascii_text(concept.meaning)
    )
