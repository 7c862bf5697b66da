"""Settings: closed, frozen, anchored, secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from segwatch.errors import SettingsError
from segwatch.settings import CentralSettings, SiteSettings, kafka_password, load_settings
from segwatch.settings_sections import SITE_SECRET_VARIABLE, KafkaSection
from segwatch.settings_text import central_toml, settings_markdown, site_toml


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
        ("", "site: Field required"),
    ],
)
def test_a_bad_file_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path, SiteSettings)
    assert "bad.toml" in str(caught.value)
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
