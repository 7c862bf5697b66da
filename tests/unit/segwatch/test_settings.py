"""Settings: closed, frozen, anchored, secret."""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from dicom_listener.spool.journal.lanes import LANE_BYTES
from segwatch.errors import SettingsError
from segwatch.settings import CentralSettings, SiteSettings, kafka_password, load_settings
from segwatch.settings_sections import JOURNAL_LANE_BYTES, SITE_SECRET_VARIABLE, KafkaSection, SpoolSection
from segwatch.settings_text import central_toml, settings_markdown, site_toml
from segwatch.settings_words import PATTERN_WORDS


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_written_defaults_are_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path / "s.toml", site_toml("hospital-a")), SiteSettings)
    assert settings.listener == SiteSettings.model_validate({"site": {"id": "x"}}).listener
    assert settings.site.id == "hospital-a"


def test_every_commented_line_of_the_template_is_valid_when_uncommented(tmp_path: Path) -> None:
    lines = site_toml("hospital-a").splitlines() + central_toml().splitlines()
    assignments = [line for line in lines if line.startswith("# ") and " = " in line and not line.endswith(" = ")]
    uncommented = [
        line.removeprefix("# ") if line in assignments or line.startswith("# [[") else line
        for line in site_toml("hospital-a").splitlines()
    ]
    settings = load_settings(write(tmp_path / "s.toml", "\n".join(uncommented)), SiteSettings)
    assert len(assignments) > 30
    assert settings.destinations[0].ae_title == "ORTHANC"


def test_unknown_key_is_refused_with_the_nearest_right_name(tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", '[site]\nid = "a"\n[listener]\nae_titel = "X"\n')
    with pytest.raises(SettingsError, match=r"listener\.ae_titel: unknown key; did you mean 'ae_title'"):
        load_settings(path, SiteSettings)


def test_unknown_key_in_a_repeated_table_is_explained(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.toml", '[site]\nid = "a"\n[[destinations]]\nname = "p"\nae_titl = "X"\nhost="h"\nport=1\n'
    )
    with pytest.raises(SettingsError, match=r"destinations\.0\.ae_titl: unknown key; did you mean 'ae_title'"):
        load_settings(path, SiteSettings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[site\n", "not valid TOML"),
        ('[site]\nid = "Not An Id"\n', "site.id"),
        ('[site]\nid = "a"\n[listener]\nport = 70000\n', "listener.port"),
        ('[site]\nid = "a"\n[listener]\nae_title = "SEVENTEEN LETTERS"\n', "listener.ae_title"),
        ("", "site: is missing; write the table [site]"),
    ],
)
def test_a_bad_file_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, SiteSettings)
    assert "bad.toml" in str(caught.value)
    assert words in str(caught.value)


TITLE = "1 to 16 characters of ASCII, no backslash or control character, no space at either end"
NAME = "characters of a-z, 0-9 and '-', the first no '-'"
DESTINATION = {"name": '"pacs"', "ae_title": '"PACS"', "host": '"pacs"', "port": "104"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[listener]\nae_title = "SEVENTEEN LETTERS"\n',
            f'listener.ae_title: wanted is {TITLE}, not "SEVENTEEN LETTERS"',
        ),
        ("[listener]\nae_title = 7\n", "listener.ae_title: wanted is text in quotes, not 7"),
        ('[listener]\nport = "dicom"\n', 'listener.port: wanted is a whole number without quotes, not "dicom"'),
        ("[listener]\nport = 104.5\n", "listener.port: wanted is a whole number, not 104.5"),
        ("[listener]\nport = true\n", "listener.port: wanted is a whole number, not true"),
        ("[listener]\nport = 2024-01-02\n", "listener.port: wanted is a whole number, not 2024-01-02"),
        ("[listener]\nport = 70000\n", "listener.port: wanted is a number less than or equal to 65535, not 70000"),
        ("[listener.stow]\nport = [104, 105]\n", "listener.stow.port: wanted is a whole number, not a list of 2"),
        ('[listener]\nquiet_seconds = "5"\n', 'listener.quiet_seconds: wanted is a number without quotes, not "5"'),
        ("[listener]\nquiet_seconds = 0\n", "listener.quiet_seconds: wanted is a number greater than 0, not 0"),
        ("[listener]\nfast_intake = 1\n", "listener.fast_intake: wanted is true or false, not 1"),
        ('[listener]\nfast_intake = "no"\n', 'fast_intake: wanted is true or false without quotes, not "no"'),
        ('[listener]\nstorage_classes = "CT"\n', 'listener.storage_classes: wanted is a list, [...], not "CT"'),
        ("[model]\nmanifest = 2024-01-02\n", "model.manifest: wanted is text in quotes, not 2024-01-02"),
        ("destinations = 2024-01-02\n", "destinations.0.name: is missing"),
        ("listener = 5\n", "listener: wanted is a table, not 5"),
        (f'[log]\nlevel = "{"x" * 100}"\n', "or 'ERROR', not \"" + "x" * 39 + "..."),
        ("[state]\nurl = 5\n", "state.url: wanted is text in quotes"),
        (
            "[spool]\njournal_bytes = 33554431\n",
            "spool.journal_bytes: wanted is 0, which switches it off, or 33554432 and more, not 33554431",
        ),
    ],
)
def test_a_bad_value_is_told_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "s.toml", f'site = {{ id = "a" }}\n{text}')
    with pytest.raises(SettingsError) as caught:
        load_settings(path, SiteSettings)
    assert words in str(caught.value).splitlines()[1] + "\n"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", '"PACS 1"', f'wanted is 1 to 32 {NAME}, not "PACS 1"'),
        ("ae_title", r'"A\\B"', rf'wanted is {TITLE}, not "A\\B"'),
        ("name", '"stream"', "'stream' is the message log's name in the outbox; choose another"),
        ("port", None, "is missing; TCP port."),
        ("host", '""', "wanted is at least 1 characters"),
    ],
)
def test_a_bad_value_of_a_destination_is_told_in_words(tmp_path: Path, key: str, value: str | None, words: str) -> None:
    rows = {**DESTINATION, key: value}
    table = "".join(f"{name} = {row}\n" for name, row in rows.items() if row is not None)
    path = write(tmp_path / "s.toml", f'[site]\nid = "a"\n[[destinations]]\n{table}')
    with pytest.raises(SettingsError) as caught:
        load_settings(path, SiteSettings)
    assert f"destinations.0.{key}: {words}" in str(caught.value)


@pytest.mark.parametrize("section", [SiteSettings, CentralSettings])
def test_every_pattern_of_the_settings_has_words(section: type[SiteSettings | CentralSettings]) -> None:
    patterns = set(re.findall(r'"pattern": (".*?")(?:,|})', json.dumps(section.model_json_schema())))
    assert {json.loads(pattern) for pattern in patterns} == (set(PATTERN_WORDS) if section is SiteSettings else set())


def test_a_confidential_value_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", '[site]\nid = "a"\nsecret_file = 20260101\n[state]\nurl = ["word"]\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(path, SiteSettings)
    assert "site.secret_file: wanted is text in quotes\n" in str(caught.value)
    assert "word" not in str(caught.value)
    assert "20260101" not in str(caught.value)


def test_the_journal_is_as_large_as_a_lane_or_not_there() -> None:
    assert JOURNAL_LANE_BYTES == LANE_BYTES
    assert [SpoolSection(journal_bytes=size).journal_bytes for size in (0, LANE_BYTES)] == [0, LANE_BYTES]


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    path = write(tmp_path / "s.toml", '[site]\nid = "a"\n[spool]\nminimum_free_bytes = 1e9\nretention_hours = 6\n')
    assert load_settings(path, SiteSettings).spool.minimum_free_bytes == 10**9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[listener]\n",
            "[listener] is there already (at line 5, column 10): put the keys of the second into the first",
        ),
        ("[listener.tls]\n", "[listener.tls] is there already (at line 5, column 14): put the keys"),
        ("port = 1\nport = 2\n", "this key is there already (at line 6, column 9)"),
    ],
)
def test_a_table_that_is_appended_a_second_time_gets_a_hint(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "s.toml", f'[site]\nid = "a"\n[listener]\n[listener.tls]\n{text}')
    with pytest.raises(SettingsError, match=r"not valid TOML: ") as caught:
        load_settings(path, SiteSettings)
    assert words in str(caught.value)


def test_a_missing_file_tells_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="segwatch init central"):
        load_settings(tmp_path / "central.toml", CentralSettings)


def test_relative_paths_are_taken_from_the_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path / "s.toml", '[site]\nid = "a"\n'), SiteSettings)
    assert settings.site.data_dir == tmp_path / "segwatch-data"
    assert settings.state_url == f"sqlite:///{tmp_path}/segwatch-data/state.sqlite"
    central = load_settings(write(tmp_path / "c.toml", ""), CentralSettings)
    assert central.store_url == f"sqlite:///{tmp_path}/central.sqlite"


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path / "s.toml", '[site]\nid = "a"\n'), SiteSettings)
    with pytest.raises(ValidationError):
        settings.listener.port = 1  # type: ignore[misc]  # that it fails is the point


def test_secret_comes_from_the_environment_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(write(tmp_path / "s.toml", '[site]\nid = "a"\n'), SiteSettings)
    (tmp_path / "site.key").write_text("f" * 64)
    assert settings.secret() == b"f" * 64
    monkeypatch.setenv(SITE_SECRET_VARIABLE, "e" * 40)
    assert settings.secret() == b"e" * 40


def test_a_short_or_missing_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SITE_SECRET_VARIABLE, raising=False)
    settings = load_settings(write(tmp_path / "s.toml", '[site]\nid = "a"\n'), SiteSettings)
    with pytest.raises(SettingsError, match="secret_file"):
        settings.secret()
    (tmp_path / "site.key").write_text("short")
    with pytest.raises(SettingsError, match="5 bytes, at least 32"):
        settings.secret()


def test_kafka_password_is_asked_for_with_a_user_name_only() -> None:
    assert kafka_password(KafkaSection()) is None
    with pytest.raises(SettingsError, match="sasl_password_file"):
        kafka_password(KafkaSection(sasl_username="site-a"))


def test_the_reference_page_is_current() -> None:
    page = Path(__file__).parents[3] / "docs/reference/settings.md"
    assert page.read_text(encoding="utf-8") == settings_markdown()
