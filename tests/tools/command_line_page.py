"""Writes docs/reference/command-line.md from the command line itself.

python tests/tools/command_line_page.py --write      after a change of a command or option
"""

import argparse
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from segwatch.cli import make_app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "command-line.md"

HEAD = """# Command line

Written by `python tests/tools/command_line_page.py --write`; a test compares. `segwatch COMMAND --help` says the same.

Settings files default to `segwatch.toml` and `central.toml` in the current folder. Logs go to standard error, results
to standard output.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | could not be done: standard error says why; `doctor` found something wrong; `send` or `routes` left something |
| 2 | used wrongly; `process` and `demo`: the series is [rejected](rejection-reasons.md), by a named reason |

Commands that run until they are stopped (`site`, `listen`, `work`, `deliver`, `central`) end with 0 at SIGTERM or
Ctrl-C. All but `site` print one line of JSON, `{"ready": ...}`, on standard output when they do their work.
"""

Node = Any
"""A command or group of Typer's own Click, which has no public types."""


def page() -> str:
    """The page as it ought to be."""
    root = typer.main.get_command(make_app())
    sections = ["\n".join(_section(path, command)) for path, command in walk(root, ("segwatch",))]
    return "\n".join([HEAD, *sections]).rstrip() + "\n"


def walk(group: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Every command that is not hidden, with the words by which it is called."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from walk(command, (*path, name))
        else:
            yield (*path, name), command


def _section(path: tuple[str, ...], command: Node) -> Iterator[str]:
    parameters = [p for p in command.params if not getattr(p, "hidden", False) and p.name != "help"]
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    shown = " ".join([*path, *(_placeholder(argument) for argument in arguments)])
    yield f"## `{shown}`\n"
    yield inspect.cleandoc(command.help or "") + "\n"
    if not parameters:
        return
    yield "| | meaning | default |"
    yield "|---|---|---|"
    for parameter in parameters:
        yield f"| `{_names(parameter)}` | {parameter.help} | {_default(parameter)} |"
    yield ""


def _placeholder(argument: Node) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _names(parameter: Node) -> str:
    if parameter.param_type_name == "argument":
        return _placeholder(parameter)
    names = ", ".join(parameter.opts)
    if parameter.is_flag:
        return names
    return f"{names} {parameter.metavar or parameter.name.upper()}"


def _default(parameter: Node) -> str:
    if parameter.required:
        return "required"
    if getattr(parameter, "is_flag", False) or parameter.default in (None, ""):
        return ""
    return f"`{parameter.default}`"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
