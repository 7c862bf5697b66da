"""The DICOM Conformance Statement says what the code does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import UID

from dicom_listener.commitment.commitment_message import STORAGE_COMMITMENT_PUSH_MODEL
from dicom_listener.network.admission import APPLICATION_CONTEXT_NAME, Refusal
from dicom_listener.network.scp import ScpSettings
from dicom_listener.network.tls import CIPHER_SUITES, TlsProfile
from dicom_listener.network.transfer_syntaxes import STORAGE_TRANSFER_SYNTAXES
from dicom_listener.rejections import rejection
from dicom_listener.requesting_entity import RequestingEntity
from dicom_listener.spool.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_listener.store_service import STATUS_OF_ERROR, SUCCESS
from segwatch.settings import SiteSettings
from tests.unit.conformance_outline import outline

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference/conformance-statement.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^##+ (.+)$", PAGE, flags=re.MULTILINE)
VERIFICATION = "1.2.840.10008.1.1"


def anchor(heading: str) -> str:
    """The anchor that renderers of Markdown make of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def section(number: str) -> str:
    """The text under a heading, up to the next heading."""
    return re.split(r"^#", re.split(rf"^#+ {re.escape(number)} ", PAGE, flags=re.MULTILINE)[1], flags=re.MULTILINE)[0]


def rows(number: str) -> Iterator[list[str]]:
    """The rows of the tables of a section, without heads."""
    for line in section(number).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and any("`" in cell for cell in cells):
            yield cells


def test_headings_are_those_of_the_standard() -> None:
    assert [heading.lower() for heading in HEADINGS] == outline()


def test_no_section_is_empty() -> None:
    parents = {heading.split()[0].rpartition(".")[0] for heading in HEADINGS}
    for number in (heading.split()[0] for heading in HEADINGS):
        assert number in parents or section(number).partition("\n")[2].strip(), number


def test_table_of_contents_has_every_chapter() -> None:
    chapters = [heading.partition(" ") for heading in HEADINGS if "." not in heading.split()[0]]
    lines = [f"{number}. [{name}](#{anchor(f'{number} {name}')})" for number, _, name in chapters]
    assert [line.partition(":")[0] for line in section("2").splitlines() if re.match(r"\d", line)] == lines


def test_links_into_the_statement_lead_to_a_heading() -> None:
    anchors = {anchor(heading) for heading in HEADINGS}
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md")]
    links = {link for page in pages for link in re.findall(r"conformance-statement\.md#([^)\s]+)", page)}
    assert links
    assert links | set(re.findall(r"\]\(#([^)\s]+)\)", PAGE)) <= anchors


def test_sop_classes_are_those_that_are_accepted() -> None:
    stated = [(name, uid.strip("`"), role) for name, uid, role in rows("4.2.1.1")]
    assert [uid for _, uid, _ in stated] == [VERIFICATION, *ScpSettings().sop_classes, STORAGE_COMMITMENT_PUSH_MODEL]
    assert {role for _, _, role in stated} == {"SCP"}
    for name, uid, _ in stated:
        assert UID(uid).name.removesuffix(" SOP Class") == name.split(",")[0]


def test_transfer_syntaxes_are_those_that_are_accepted_in_their_order() -> None:
    stated = [(uid.strip("`"), name) for uid, name in rows("4.2.1.4.1.2")]
    assert [uid for uid, _ in stated] == list(STORAGE_TRANSFER_SYNTAXES)
    assert all(UID(uid).name == name for uid, name in stated)


def test_statuses_are_those_that_are_answered() -> None:
    stated = [re.match("`([0-9A-F]{4})`", cells[0])[1] for cells in rows("4.2.1.4.1.3")]  # type: ignore[index]  # each begins so
    assert sorted(stated) == sorted(f"{status:04X}" for status in {SUCCESS, *(row[1] for row in STATUS_OF_ERROR)})


def test_rejections_are_those_that_are_told_in_their_order() -> None:
    stated = {cells[0].strip("`"): cells[1] for cells in rows("4.2.1.4")}
    assert list(stated) == [", ".join(map(str, one.value)) for one in Refusal]
    for one in Refusal:
        names = rejection(*one.value)
        words = stated[", ".join(map(str, one.value))].lower()
        assert names.result in words
        assert names.reason in words


def test_names_of_the_implementation() -> None:
    assert f"| {APPLICATION_CONTEXT_NAME} |" in section("4.2.1.2.1")
    for value in (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME):
        assert f"| {value} |" in section("4.2.1.2.4")


def test_what_we_request_names_this_implementation_too() -> None:
    entity = RequestingEntity("SEGWATCH", seconds=1.0)
    assert entity.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert entity.implementation_version_name == IMPLEMENTATION_VERSION_NAME
    for requester in ("4.2.2.2.4", "4.2.3.2.4"):
        assert section(requester).split("\n\n")[1].strip() == "That of 4.2.1.2.4."


@pytest.mark.parametrize("key", [cells[0].strip("`") for cells in rows("4.4.2")])
def test_parameters_have_their_defaults(key: str) -> None:
    table, name = key.split(".")
    default = SiteSettings.model_fields[table].get_default().__class__.model_fields[name].default
    (stated,) = (cells[1].strip("`") for cells in rows("4.4.2") if cells[0] == f"`{key}`")
    assert stated == json.dumps(default)


def test_cipher_suites_are_those_of_the_profiles() -> None:
    stated = {cells[0].strip("`"): cells[1:] for cells in rows("8.1") if cells[0].startswith("`ECDHE")}
    assert list(stated) == list(CIPHER_SUITES[TlsProfile.MODIFIED])
    for suite, marks in stated.items():
        assert marks == ["yes" if suite in CIPHER_SUITES[profile] else "no" for profile in TlsProfile]
