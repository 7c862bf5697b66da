"""Documentation never lies: what it names exists, and its tables are those of the code."""

import json
import re
import tomllib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from dicom_listener.association_report import AssociationEnd, AssociationReport, ConnectionRefusal
from dicom_listener.completion.books import IntakeEventKind
from dicom_listener.event_log import association_fields, series_fields
from dicom_listener.routing.resent import resent_fields
from dicom_listener.routing.route_log import route_fields
from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing import RoutingReason
from dicom_listener.series_report import SeriesReport
from dicom_listener.stored import StoreOutcome
from dicom_listener.stow.report import StowConnectionRefusal
from inference.errors import RejectionReason
from inference.model_package import reference_manifest
from qc.central.alerts import AlertRule
from qc.record import decode_record
from qc.stream import topics
from segwatch import settings_sections
from segwatch.cli import make_app
from segwatch.metrics_endpoint import Health
from segwatch.settings import CentralSettings, SiteSettings
from segwatch.settings_text import settings_markdown
from segwatch.status import SeriesState
from tests.tools import command_line_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]

FENCE = re.compile(r"^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)")
REGISTRIES = re.compile(r"index-url|pypi|docker\.io|ghcr\.|quay\.io|gcr\.io|registry\.|artifactory", re.IGNORECASE)
QUOTED = re.compile(r"""("[^"]*"|'[^']*')""")


def read(path: str) -> str:
    return (DOCS / path).read_text(encoding="utf-8")


def first_column(text: str) -> list[str]:
    """What stands in backticks in the first cell of each row of a page's tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def code(text: str) -> Iterator[str]:
    """Lines of code of a page: fenced and indented blocks, with continued lines joined, and code inside sentences."""
    for block in FENCE.finditer(text):
        yield from block["text"].replace("\\\n", " ").splitlines()
    prose = FENCE.sub("", text)
    indented = "\n".join(line for line in prose.splitlines() if line.startswith("    "))
    yield from indented.replace("\\\n", " ").splitlines()
    yield from (span.replace("\n", " ") for span in INLINE.findall(prose))


def commands(text: str) -> Iterator[list[str]]:
    """Words of every call of segwatch on a page, beginning with the subcommand; examples in prose included."""
    for line in code(text):
        for part in re.split(r"&&|[|;()]|  then  ", QUOTED.sub("TEXT", line.split(" #")[0])):
            words = part.split()
            if words[:3] == ["runuser", "-u", "segwatch"]:
                words = words[4:]
            if words and (words[0] == "segwatch" or words[0].endswith("/bin/segwatch")):
                yield words[1:]


def test_commands_are_found_in_blocks_and_in_sentences() -> None:
    page = "`segwatch status`, then\n\n    /opt/bin/segwatch send DIR --to A@b:1  # now\n\n```\nsegwatch demo\n```\n"
    assert sorted(commands(page)) == [["demo"], ["send", "DIR", "--to", "A@b:1"], ["status"]]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    dead = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("name", NAMES)
def test_commands_exist_with_the_options_that_are_used(name: str) -> None:
    for words in commands((ROOT / name).read_text()):
        command: Any = typer.main.get_command(make_app())
        rest = list(words)
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        is_group = hasattr(command, "commands")
        # a group may be named; `segwatch COMMAND` and `segwatch ...` stand for any
        assert not is_group or not rest or rest[0].startswith("-") or not rest[0].islower(), f"segwatch {words}"
        known = {"--help"} | {option for parameter in command.params for option in parameter.opts}
        used = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert used <= known, f"segwatch {words}"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_names_a_package_registry(name: str) -> None:
    assert REGISTRIES.search((ROOT / name).read_text()) is None


def section_keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = [k for k in (field.annotation, *get_args(field.annotation)) if isinstance(k, type)]
        section = next((k for k in inner if issubclass(k, BaseModel)), None)
        yield prefix + name
        if section is not None:
            yield from section_keys(section, f"{prefix}{name}.")


KEYS = {*section_keys(SiteSettings), *section_keys(CentralSettings)}
SECTIONS = {key.split(".")[0] for key in KEYS}


def leaves(table: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in table.items():
        yield prefix + name
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from leaves(inner, f"{prefix}{name}.")


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_mentioned_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    spans = [re.match(r"([a-z_]+(?:\.[a-z_]+)+)\b(?!\.toml)", span) for span in INLINE.findall(text)]
    mentioned = {match[1] for match in spans if match and match[1].split(".")[0] in SECTIONS and "/" not in match[1]}
    mentioned -= {key for key in mentioned if key.endswith((".toml", ".key", ".sqlite", ".v1"))}
    for block in FENCE.finditer(text):
        if block["language"] == "toml":
            mentioned |= set(leaves(tomllib.loads(block["text"])))
    assert mentioned <= KEYS


def test_json_in_the_pages_is_json() -> None:
    for page in PAGES:
        for block in FENCE.finditer(page.read_text()):
            if block["language"] == "json":
                json.loads(block["text"])


def test_every_rejection_reason_is_explained() -> None:
    table = read("reference/rejection-reasons.md").split("## What is odd")[0]
    assert sorted(first_column(table)) == sorted(reason.value for reason in RejectionReason)


def test_every_reason_of_the_rules_is_explained() -> None:
    table = read("reference/routing.md").split("## Reasons")[1].split("## What is missing")[0]
    shown = [line.split("|")[1].strip(" `") for line in table.splitlines() if line.startswith("| `")]
    assert shown == [reason.value for reason in RoutingReason]
    settings_named = set(re.findall(r"`([a-z_]+)`", table)) - set(shown)
    assert settings_named <= {key.rpartition(".")[2] for key in KEYS if key.startswith("routing.rules.")}


def test_every_state_of_a_series_is_explained() -> None:
    assert first_column(read("reference/series-states.md")) == [state.value for state in SeriesState]


def test_every_environment_variable_is_explained() -> None:
    variables = {value for name, value in vars(settings_sections).items() if name.endswith("_VARIABLE")}
    assert variables <= set(first_column(read("reference/environment.md")))


def test_every_field_of_the_log_is_explained() -> None:
    report = AssociationReport(AssociationEnd.RELEASED, "", "", "", 0.0, 0, {}, frozenset())
    series = SeriesReport("", 1, "", instances=1, conflicts=0, bytes=0, seconds=0.0)
    route = Route("", 1, "", "default", RouteState.TAKEN, (), None, None, 0.0)
    fields = {*association_fields(report), *series_fields(series), *route_fields(route), *resent_fields([], "", "", [])}
    explained = first_column(read("reference/logs-and-metrics.md").split("## HTTP")[0])
    assert fields == set(explained)


@pytest.mark.parametrize(
    "kind", [AssociationEnd, ConnectionRefusal, StowConnectionRefusal, IntakeEventKind, StoreOutcome, Health]
)
def test_every_word_of_the_metrics_is_explained(kind: type[StrEnum]) -> None:
    page = read("reference/logs-and-metrics.md")
    assert [word.value for word in kind if f"`{word}`" not in page] == []


def test_every_topic_is_explained() -> None:
    page = read("reference/messages.md")
    for topic in (topics.METRICS_PREFIX, topics.VERDICTS, topics.ALERTS, topics.DEAD_LETTERS):
        assert f"`{topic}" in page


def test_every_key_of_a_manifest_is_explained() -> None:
    manifest = json.loads(reference_manifest().read_bytes())
    assert sorted(first_column(read("reference/model-manifest.md"))) == sorted([*manifest, *manifest["labels"][0]])


def test_the_record_that_is_shown_is_a_record() -> None:
    (block,) = (b["text"] for b in FENCE.finditer(read("reference/messages.md")) if b["language"] == "json")
    assert decode_record(block.strip().encode()).event_id


def test_the_alert_rule_is_explained_with_its_defaults() -> None:
    table = [[c.strip(" `") for c in line.split("|")[1:3]] for line in read("explanation/alerts.md").splitlines()]
    shown = {row[0]: float(row[1]) for row in table if len(row) == 2 and row[0] in AlertRule.__dataclass_fields__}
    assert shown == {name: float(getattr(AlertRule(), name)) for name in AlertRule.__dataclass_fields__}


def test_written_pages_are_up_to_date() -> None:
    assert read("reference/settings.md") == settings_markdown()
    assert read("reference/command-line.md") == command_line_page.page()


def test_the_index_lists_every_page() -> None:
    index = read("index.md")
    pages = {str(path.relative_to(DOCS)) for path in (*DOCS.rglob("*.md"), *DOCS.rglob("*.json"))} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()
