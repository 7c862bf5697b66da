"""What a request to the STOW-RS application is answered, over ASGI without a network."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_listener.stored import StoreOutcome
from tests.unit.dicom_listener.instances import (
    EXPLICIT_LITTLE,
    STUDY,
    data_set,
    encode,
    instance,
    request,
    uid,
)
from tests.unit.dicom_listener.stow_pushing import (
    FAILED,
    OTHER,
    Pusher,
    file_of,
    multipart,
    part10,
    reasons,
    uids,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def test_instances_are_stored_as_they_came_and_named_in_the_answer(pusher: Pusher) -> None:
    response = pusher.post(multipart(part10(1), part10(2)))

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/dicom+json"
    assert uids(response) == [uid(1), uid(2)]
    assert FAILED not in response.json()
    assert pusher.files() == {uid(number): instance(number)[1] for number in (1, 2)}
    assert [stored.outcome for stored in pusher.stored] == [StoreOutcome.STORED] * 2
    assert {stored.calling_ae_title for stored in pusher.stored} == {"STOW-RS"}
    assert pusher.is_tidy()


@pytest.mark.parametrize(
    "syntax", [EXPLICIT_LITTLE, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_transfer_syntax_is_that_of_the_file(pusher: Pusher, syntax: str) -> None:
    encoded = encode(data_set(1), syntax)
    response = pusher.post(multipart(file_of(request(1, transfer_syntax=syntax), encoded)))

    assert response.status_code == 200
    assert pusher.files() == {uid(1): encoded}
    assert pusher.stored[0].instance.transfer_syntax_uid == syntax


def test_one_instance_may_be_the_whole_body(pusher: Pusher) -> None:
    response = pusher.post(part10(1), Content_Type="application/dicom")

    assert response.status_code == 200
    assert pusher.files() == {uid(1): instance(1)[1]}


def test_an_instance_sent_again_is_stored_once(pusher: Pusher) -> None:
    assert pusher.post(multipart(part10(1), part10(1))).status_code == 200
    assert uids(pusher.post(multipart(part10(1)))) == [uid(1)]
    assert list(pusher.files()) == [uid(1)]
    assert pusher.reports[1].counts == {"duplicate": 1}


def test_another_study_is_refused_one_by_one(pusher: Pusher) -> None:
    other = file_of(request(2), encode(data_set(2, study=f"{STUDY}.9")))
    response = pusher.post(multipart(part10(1), other), path=f"/studies/{STUDY}")

    assert response.status_code == 202
    assert uids(response) == [uid(1)]
    assert (uids(response, FAILED), reasons(response)) == ([uid(2)], [0xA900])
    assert list(pusher.files()) == [uid(1)]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (file_of(replace(request(2), sop_class_uid=SECONDARY_CAPTURE), b""), 0x0122),
        (file_of(replace(request(2), transfer_syntax_uid="1.2.3"), b""), 0xC122),
        (file_of(request(2), b"\x08\x00"), 0xA900),
        (file_of(request(2, transfer_syntax=DeflatedExplicitVRLittleEndian), b"no deflate stream"), 0xC000),
        (file_of(request(2), instance(3)[1]), 0xA900),
    ],
    ids=["sop class", "transfer syntax", "cut", "unreadable", "another instance"],
)
def test_what_cannot_be_stored_is_named_with_its_reason(pusher: Pusher, file: bytes, reason: int) -> None:
    alone = pusher.post(multipart(file))
    with_another = pusher.post(multipart(file, part10(1)))

    assert (alone.status_code, with_another.status_code) == (409, 202)
    assert uids(with_another) == [uid(1)]
    for response in (alone, with_another):
        assert (uids(response, FAILED), reasons(response)) == ([uid(2)], [reason])
    assert list(pusher.files()) == [uid(1)]
    assert pusher.reports[0].counts == {"refused": 1}
    assert pusher.reports[0].statuses == {reason: 1}
    assert pusher.is_tidy()


@pytest.mark.parametrize("file", [b"", b"no DICOM", bytes(200), part10(1)[:140], part10(1)[:200]])
def test_what_names_no_instance_is_an_other_failure(pusher: Pusher, file: bytes) -> None:
    response = pusher.post(multipart(file))

    assert response.status_code == 409
    assert reasons(response, OTHER) == [0xC000]


def test_uids_that_look_like_paths_name_no_file(pusher: Pusher) -> None:
    evil = file_of(replace(request(1), sop_instance_uid="../../../etc/evil"), instance(1)[1])
    response = pusher.post(multipart(evil))

    assert response.status_code == 409
    assert reasons(response, OTHER) == [0xA900]
    assert "evil" not in response.text
    assert pusher.files() == {}


@pytest.mark.parametrize("path", ["/studies/..%2F..", "/studies/1.2.x", f"/studies/{'1' * 65}", "/studies/1.2%00"])
def test_a_path_that_names_no_study_is_refused(pusher: Pusher, path: str) -> None:
    assert pusher.post(multipart(part10(1)), path=path).status_code in (400, 404)
    assert pusher.stored == []


@pytest.mark.parametrize(
    ("accept", "status", "kind"),
    [
        ("*/*", 200, "application/dicom+json"),
        ("application/json", 200, "application/dicom+json"),
        ("application/dicom+xml;q=0.5, application/dicom+json;q=0.9", 200, "application/dicom+json"),
        ("application/dicom+xml", 200, "application/dicom+xml"),
        ("text/html", 406, "text/plain; charset=utf-8"),
        ("application/dicom+json;q=0", 406, "text/plain; charset=utf-8"),
    ],
)
def test_the_answer_has_a_form_that_the_client_accepts(pusher: Pusher, accept: str, status: int, kind: str) -> None:
    response = pusher.post(multipart(part10(1)), Accept=accept)

    assert (response.status_code, response.headers["content-type"]) == (status, kind)
    assert bool(pusher.stored) is (status == 200)


def test_the_xml_answer_is_the_native_dicom_model(pusher: Pusher) -> None:
    response = pusher.post(multipart(part10(1), b""), Accept="application/dicom+xml")

    root = ET.fromstring(response.content)  # noqa: S314 (our own)
    names = {"d": "http://dicom.nema.org/PS3.19/models/NativeDICOM"}
    (found,) = root.findall("d:DicomAttribute[@tag='00081199']/d:Item/d:DicomAttribute[@tag='00081155']/d:Value", names)
    assert found.text == uid(1)
    (reason,) = root.findall(
        "d:DicomAttribute[@tag='0008119A']/d:Item/d:DicomAttribute[@tag='00081197']/d:Value", names
    )
    assert reason.text == str(0xC000)
