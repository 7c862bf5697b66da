"""No copyleft in what a hospital installs, and the file that lists the licences lists what is really installed."""

import platform
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tools.licences import FILE, PERMISSIVE, ROOTS, Entry, entries, listed

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


@pytest.mark.parametrize("root", ROOTS)
def test_every_distribution_of_a_serving_install_is_permissively_licensed(root: str) -> None:
    doubtful = [entry for entry in entries(root) if not entry.identifiers <= PERMISSIVE]

    assert doubtful == []


def test_copyleft_would_be_noticed() -> None:
    for licence in ("GPL-3.0-only", "MIT AND LGPL-2.1-or-later", "GPL v3", "AGPL-3.0-or-later", "not stated"):
        assert not Entry("some", licence, "").identifiers <= PERMISSIVE


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the file is about Linux on x86-64"
)
def test_the_file_names_what_is_installed_and_nothing_else() -> None:
    installed = {entry.name for root in ROOTS for entry in entries(root)}
    written = listed(FILE.read_text())

    assert installed - written == set(), "run: python tests/tools/licences.py --write"
    if sys.version_info[:2] == (3, 11):  # newer Pythons need fewer of them
        assert written - installed == set(), "run: python tests/tools/licences.py --write"


def test_no_known_copyleft_is_asked_for() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]

    assert not [line for line in asked if line.startswith(("pylibjpeg-libjpeg", "psycopg", "pylibjpeg["))]
