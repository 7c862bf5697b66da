"""Settings as text: the commented TOML that `segwatch init` writes, and the tables of docs/reference/settings.md."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from segwatch.settings import CentralSettings, SiteSettings
from segwatch.settings_sections import Section

WIDTH = 110


def site_toml(site_id: str, overrides: Mapping[str, Any] | None = None) -> str:
    """Commented settings of a site; `overrides` maps dotted keys to values that replace the defaults.

    The keys without an override are written as comments holding the default, so that a later version's better
    default is not frozen by an old file.
    """
    given = {"site.id": site_id, **(overrides or {})}
    return "\n".join(_file("Segwatch site settings.", SiteSettings, given)) + "\n"


def central_toml(overrides: Mapping[str, Any] | None = None) -> str:
    """Commented settings of the central host; `overrides` as for `site_toml`."""
    return "\n".join(_file("Segwatch central settings.", CentralSettings, overrides or {})) + "\n"


def settings_markdown() -> str:
    """Reference page of every key of both files."""
    parts = [
        "# Settings",
        "Written by `segwatch init reference`; a test compares. Unknown keys are refused. Relative paths are taken "
        "from the folder of the settings file. Secrets come from the environment or from a file.",
    ]
    for title, kind in (("Site", SiteSettings), ("Central", CentralSettings)):
        parts.append(f"## {title}")
        for name, section in _sections(kind, ""):
            head = f"### `[[{name}]]`" if section.example else f"### `[{name}]`"
            rows = [
                f"| `{key}` | {_default_text(field)} | {field.description} |"
                for key, field in section.model_fields.items()
                if not _is_section(field)
            ]
            parts.append(
                "\n".join([head, "", section.__doc__ or "", "", "| key | default | meaning |", "|---|---|---|", *rows])
            )
    return "\n\n".join(parts) + "\n"


def _file(title: str, kind: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {title} A key that is commented out has the value shown."
    for name, section in _sections(kind, ""):
        if section.example:
            yield from _repeated(name, section, given.get(name, ()))
            continue
        yield ""
        yield f"# {section.__doc__}"
        yield f"[{name}]"
        for key, field in section.model_fields.items():
            if _is_section(field):
                continue
            yield f"# {field.description}"
            dotted = f"{name}.{key}"
            if dotted in given:
                yield f"{key} = {_toml(given[dotted])}"
            else:
                yield f"# {key} = {_toml(field.default)}" if field.default is not None else f"# {key} = "


def _repeated(name: str, section: type[Section], given: tuple[Mapping[str, Any], ...]) -> Iterator[str]:
    yield ""
    yield f"# {section.__doc__} Repeat the table for each."
    mark = "" if given else "# "
    for table in given or (section.example,):
        yield f"{mark}[[{name}]]"
        for key, field in section.model_fields.items():
            yield f"# {field.description}"
            if key in table:
                yield f"{mark}{key} = {_toml(table[key])}"
            else:
                yield f"# {key} = {_toml(field.default)}" if field.default is not None else f"# {key} = "


def _sections(kind: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[Section]]]:
    for name, field in kind.model_fields.items():
        section = _section_of(field)
        if section is not None:
            yield f"{prefix}{name}", section
            yield from _sections(section, f"{prefix}{name}.")


def _section_of(field: FieldInfo) -> type[Section] | None:
    for candidate in (field.annotation, *getattr(field.annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _is_section(field: FieldInfo) -> bool:
    return _section_of(field) is not None


def _default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "not set" if field.default is None else f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:  # noqa: ANN401 (any plain settings value)
    """Write a scalar or a list of scalars as TOML; JSON strings and numbers are valid TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
