"""What is wrong with a settings file, in the words of whoever writes it rather than of the libraries that read it."""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from segwatch.settings_sections import AE_TITLE, DESTINATION_NAME, SITE_ID

TWICE = re.compile(r"Cannot declare \((?P<names>.*?),?\) twice")
"""How `tomllib` says that a table is declared a second time."""
CONFIDENTIAL = re.compile(r"url|secret|password|token|key")
"""Names of keys whose value is not shown: a URL may hold a password, and a secret may stand where its file belongs."""
LONGEST_SHOWN = 40
"""Characters of a value."""

WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "path_type": "text in quotes",
    "tuple_type": "a list, [...]",
    "model_type": "a table",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "a number greater than {gt:.15g}",
    "greater_than_equal": "a number greater than or equal to {ge:.15g}",
    "less_than": "a number less than {lt:.15g}",
    "less_than_equal": "a number less than or equal to {le:.15g}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "at least {min_length} characters",
}
"""What was wanted, by pydantic's type of error; the braces are filled from the error's context."""
_LOWER_CASE = "characters of a-z, 0-9 and '-', the first no '-'"
PATTERN_WORDS = {
    AE_TITLE: "1 to 16 characters of ASCII, no backslash or control character, no space at either end",
    SITE_ID: f"1 to 63 {_LOWER_CASE}",
    DESTINATION_NAME: f"1 to 32 {_LOWER_CASE}",
}
"""What each pattern wants, for people."""
UNQUOTED = ("int_type", "float_type", "bool_type")


def toml_words(error: tomllib.TOMLDecodeError) -> str:
    """Say what makes a file no TOML; of a table that stands there twice, what to do."""
    text = str(error).replace("Cannot overwrite a value", "this key is there already")
    twice = TWICE.match(text)
    if twice is None:
        return text
    name = ".".join(part.strip("' ") for part in twice["names"].split(","))
    return f"[{name}] is there already{text[twice.end() :]}: put the keys of the second into the first"


def settings_words(kind: type[BaseModel], table: Mapping[str, Any], details: ErrorDetails) -> str:
    """Turn one of pydantic's errors about the file's table into a sentence that names the key and what is wanted."""
    location = details["loc"]
    where = ".".join(str(part) for part in location)
    if details["type"] == "extra_forbidden":
        return f"{where}: {_unknown(kind, location)}"
    if details["type"] == "missing":
        field = _section_at(kind, location[:-1]).model_fields[str(location[-1])]
        return f"{where}: is missing; {_meaning(where, field)}"
    wanted = _wanted(details)
    if wanted is None:
        text = details["msg"].removeprefix("Value error, ")  # pydantic's mark of what our own validators say
        return f"{where}: {text}" if where else text
    value = _value_at(table, location)
    if details["type"] in UNQUOTED and isinstance(value, str):
        wanted += " without quotes"
    confidential = any(CONFIDENTIAL.search(part) for part in location if isinstance(part, str))
    return f"{where}: wanted is {wanted}" + ("" if confidential else f", not {_shown(value)}")


def _wanted(details: ErrorDetails) -> str | None:
    context = details.get("ctx", {})
    if details["type"] == "string_pattern_mismatch":
        return PATTERN_WORDS.get(context["pattern"])
    words = WANTED.get(details["type"])
    return None if words is None else words.format(**context)


def _unknown(kind: type[BaseModel], location: tuple[int | str, ...]) -> str:
    known = list(_section_at(kind, location[:-1]).model_fields)
    nearest = get_close_matches(str(location[-1]), known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are: {', '.join(known)}"
    return f"unknown key; {hint}"


def _meaning(where: str, field: FieldInfo) -> str:
    return field.description or f"write the table [{where}]"


def _section_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    for part in location:
        if isinstance(part, int):
            continue
        annotation = kind.model_fields[part].annotation
        candidates = (annotation, *getattr(annotation, "__args__", ()))
        kind = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return kind


def _value_at(table: Any, location: tuple[int | str, ...]) -> Any:  # noqa: ANN401 (any value of a TOML file)
    for part in location:
        if not isinstance(table, dict | list):
            break
        table = table[part]  # type: ignore[index]  # a table has names and a list has numbers, as pydantic found them
    return table


def _shown(value: Any) -> str:  # noqa: ANN401 (any value of a TOML file)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    # as TOML writes it; what is not printable is escaped
    text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
