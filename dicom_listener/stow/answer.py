"""The Store Instances Response (PS3.18 section 10.5.3 and annex I.2): from the results of a request to its answer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from xml.etree import ElementTree as ET  # (only written here, never parsed)

from dicom_listener.store_service import SUCCESS
from dicom_listener.stow.media_types import AnswerType

OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110
SOP_CLASS_NOT_SUPPORTED = 0x0122
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
_OURS = {OUT_OF_RESOURCES, PROCESSING_FAILURE}
"""Failures that are not the client's: it may send the same again."""

_KEYWORDS = {
    "00081150": "ReferencedSOPClassUID",
    "00081155": "ReferencedSOPInstanceUID",
    "00081190": "RetrieveURL",
    "00081197": "FailureReason",
    "00081198": "FailedSOPSequence",
    "00081199": "ReferencedSOPSequence",
    "0008119A": "OtherFailuresSequence",
}
_NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


@dataclass(frozen=True, slots=True)
class InstanceResult:
    """What became of one part."""

    sop_class_uid: str
    """Empty when unknown, like the next."""
    sop_instance_uid: str
    status: int
    """Success, or the Failure Reason (0008,1197)."""


def http_status(results: Sequence[InstanceResult]) -> HTTPStatus:
    """The status of a request whose body was well formed (PS3.18 table 10.5.3-1).

    503 when nothing was stored for reasons of ours alone, so that a client tries again.
    """
    failures = {result.status for result in results if result.status != SUCCESS}
    if not failures:
        return HTTPStatus.OK
    if any(result.status == SUCCESS for result in results):
        return HTTPStatus.ACCEPTED
    return HTTPStatus.SERVICE_UNAVAILABLE if failures <= _OURS else HTTPStatus.CONFLICT


def encode_answer(results: Sequence[InstanceResult], kind: AnswerType) -> bytes:
    """Encode the Store Instances Response Module (PS3.18 table I.2-1)."""
    module = _module(results)
    return _json(module) if kind is AnswerType.JSON else _xml(module)


def _module(results: Sequence[InstanceResult]) -> dict[str, dict[str, Any]]:
    """The module in the DICOM JSON Model (PS3.18 annex F)."""
    module: dict[str, dict[str, Any]] = {"00081190": {"vr": "UR"}}  # nothing can be retrieved here
    failed = [result for result in results if result.status != SUCCESS and result.sop_instance_uid]
    other = [result for result in results if result.status != SUCCESS and not result.sop_instance_uid]
    stored = [result for result in results if result.status == SUCCESS]
    if failed:
        module["00081198"] = _sequence([{**_reference(result), **_reason(result)} for result in failed])
    if stored:
        retrieve = {"00081190": {"vr": "UR"}}
        module["00081199"] = _sequence([{**_reference(result), **retrieve} for result in stored])
    if other:
        module["0008119A"] = _sequence([_reason(result) for result in other])
    return module


def _sequence(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": items}


def _reference(result: InstanceResult) -> dict[str, Any]:
    sop_class = {"vr": "UI", "Value": [result.sop_class_uid]} if result.sop_class_uid else {"vr": "UI"}
    return {"00081150": sop_class, "00081155": {"vr": "UI", "Value": [result.sop_instance_uid]}}


def _reason(result: InstanceResult) -> dict[str, Any]:
    return {"00081197": {"vr": "US", "Value": [result.status]}}


def _json(module: dict[str, Any]) -> bytes:
    return json.dumps(module, separators=(",", ":")).encode()


def _xml(module: dict[str, Any]) -> bytes:
    """The Native DICOM Model (PS3.19 annex A.1)."""
    root = ET.Element("NativeDicomModel", {"xmlns": _NAMESPACE, "xml:space": "preserve"})
    root.extend(_xml_attributes(module))
    return bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True))


def _xml_attributes(item: dict[str, Any]) -> Iterator[ET.Element]:
    for tag, attribute in item.items():
        element = ET.Element("DicomAttribute", {"tag": tag, "vr": attribute["vr"], "keyword": _KEYWORDS[tag]})
        for number, value in enumerate(attribute.get("Value", ()), start=1):
            name = "Item" if attribute["vr"] == "SQ" else "Value"
            child = ET.SubElement(element, name, {"number": str(number)})
            if name == "Item":
                child.extend(_xml_attributes(value))
            else:
                child.text = str(value)
        yield element
