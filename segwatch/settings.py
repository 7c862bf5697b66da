"""Settings of a site and of the central host: one TOML file each, frozen, every key documented, unknown keys refused.

This module is the only reader of environment variables. Secrets come from the environment or from a file that the
settings name, never from the settings file itself.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError, field_validator, model_validator

from dicom_listener.routing.routing_rules import DEFAULT_RULES
from segwatch.errors import SettingsError
from segwatch.settings_listener import ListenerSection
from segwatch.settings_metrics import MetricsSection
from segwatch.settings_ports import WantedPort, clash
from segwatch.settings_routing import RoutingSection
from segwatch.settings_sections import (
    KAFKA_PASSWORD_VARIABLE,
    SITE_SECRET_VARIABLE,
    STATE_URL_VARIABLE,
    STORE_URL_VARIABLE,
    AlertSection,
    DeliverySection,
    DestinationSection,
    DetectorSection,
    KafkaSection,
    LogSection,
    ModelSection,
    ReadSection,
    Section,
    SiteSection,
    SpoolSection,
    StateSection,
    StoreSection,
    StreamSection,
    WorkerSection,
)
from segwatch.settings_words import settings_words, toml_words

MINIMUM_SECRET_BYTES = 32


class SiteSettings(Section):
    """Everything `segwatch site`, `listen`, `work` and `deliver` need to know."""

    site: SiteSection
    listener: ListenerSection = ListenerSection()
    spool: SpoolSection = SpoolSection()
    routing: RoutingSection = RoutingSection()
    state: StateSection = StateSection()
    read: ReadSection = ReadSection()
    model: ModelSection = ModelSection()
    worker: WorkerSection = WorkerSection()
    delivery: DeliverySection = DeliverySection()
    stream: StreamSection = StreamSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
    destinations: tuple[DestinationSection, ...] = ()

    @field_validator("destinations")
    @classmethod
    def _distinct_names(cls, value: tuple[DestinationSection, ...]) -> tuple[DestinationSection, ...]:
        names = [destination.name for destination in value]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return value

    @model_validator(mode="after")
    def _rules_exist(self) -> "SiteSettings":
        known = [DEFAULT_RULES.name, *(rules.name for rules in self.routing.rules)]
        for number, title in enumerate(self.listener.ae_titles):
            if title.rules not in known:
                raise ValueError(
                    f"listener.ae_titles.{number}.rules: no [[routing.rules]] is named {title.rules!r}; "
                    f"known are: {', '.join(dict.fromkeys(known))}"
                )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> "SiteSettings":
        listener, tls, stow, metrics = self.listener, self.listener.tls, self.listener.stow, self.metrics
        has_tls = tls.certificate is not None
        found = clash(
            (
                WantedPort("listener.port", listener.host, listener.port if tls.also_plain or not has_tls else None),
                WantedPort("listener.tls.port", listener.host, tls.port if has_tls else None),
                WantedPort("listener.stow.port", stow.host, stow.port),
                WantedPort("metrics.port", metrics.host, metrics.port),
            )
        )
        if found is not None:
            raise ValueError(found)
        return self

    @property
    def state_url(self) -> str:
        """SQLAlchemy URL of the state."""
        return (
            os.environ.get(STATE_URL_VARIABLE) or self.state.url or f"sqlite:///{self.site.data_dir / 'state.sqlite'}"
        )

    def secret(self) -> bytes:
        """The site's secret key. Raises `SettingsError` when there is none or it is too short."""
        return _secret(SITE_SECRET_VARIABLE, self.site.secret_file, "site.secret_file", MINIMUM_SECRET_BYTES)


class CentralSettings(Section):
    """Everything `segwatch central` needs to know."""

    store: StoreSection = StoreSection()
    stream: StreamSection = StreamSection()
    detector: DetectorSection = DetectorSection()
    alerts: AlertSection = AlertSection()
    log: LogSection = LogSection()

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        return os.environ.get(STORE_URL_VARIABLE) or self.store.url


AnySettings = TypeVar("AnySettings", SiteSettings, CentralSettings)


def load_settings(path: Path, kind: type[AnySettings]) -> AnySettings:
    """Read a settings file; relative paths in it are taken from its folder.

    Raises:
        SettingsError: the file is missing, is no TOML, or has an unknown key or a bad value.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        which = "site" if kind is SiteSettings else "central"
        raise SettingsError(f"{path}: no such file; `segwatch init {which}` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {toml_words(error)}") from error
    try:
        settings = _validated(kind, table)
    except ValidationError as error:
        lines = "\n".join(f"  {settings_words(kind, table, details)}" for details in error.errors())
        raise SettingsError(f"{path}:\n{lines}") from None
    return _anchor(settings, path.resolve().parent)


def kafka_password(settings: KafkaSection) -> str | None:
    """Password of the Kafka connection; None when no user name is set. Raises `SettingsError` when it is missing."""
    if settings.sasl_username is None:
        return None
    return _secret(KAFKA_PASSWORD_VARIABLE, settings.sasl_password_file, "stream.kafka.sasl_password_file", 1).decode()


def child_environment() -> dict[str, str]:
    """Environment for child processes of `segwatch site`: this process's own."""
    return dict(os.environ)


def _secret(variable: str, file: Path | None, key: str, minimum_bytes: int) -> bytes:
    value = os.environ.get(variable, "").encode()
    origin = f"the variable {variable}"
    if not value:
        if file is None:
            raise SettingsError(f"set the variable {variable} or the key {key}")
        origin = str(file)
        try:
            value = file.read_bytes().strip()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SettingsError(f"{key}: {file}: {reason}; or set the variable {variable}") from error
    if len(value) < minimum_bytes:
        raise SettingsError(f"{origin}: the secret has {len(value)} bytes, at least {minimum_bytes} are needed")
    return value


def _validated(kind: type[AnySettings], table: Mapping[str, Any]) -> AnySettings:
    """Validate what a TOML file holds. Raises pydantic's `ValidationError`.

    As JSON, for which pydantic's strict mode is what a file needs: text is a path, a list is a tuple, and text is
    neither a number nor a boolean.
    """
    # no setting is a date: what stands for one is refused wherever it stands
    document = json.dumps(_whole(table), default=lambda _date: [{}])
    return kind.model_validate_json(document, strict=True)


def _whole(value: Any) -> Any:  # noqa: ANN401 (a tree of plain settings values)
    """Make whole numbers that are written as floats, such as 1e9, integers."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _anchor(settings: AnySettings, folder: Path) -> AnySettings:
    """Make every relative path absolute, so that the settings mean the same from any working directory."""
    anchored = settings.model_validate(_anchored(settings.model_dump(), folder))
    if isinstance(anchored, CentralSettings):
        url = anchored.store.url
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(f"{prefix}/"):
            store = StoreSection(url=f"{prefix}{folder / url.removeprefix(prefix)}")
            return anchored.model_copy(update={"store": store})
    return anchored


def _anchored(value: Any, folder: Path) -> Any:  # noqa: ANN401 (a tree of plain settings values)
    if isinstance(value, Mapping):
        return {key: _anchored(item, folder) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_anchored(item, folder) for item in value]
    return folder / value if isinstance(value, Path) else value
