"""Lists what a serving install brings along, with licences: `python tests/tools/licences.py --write`."""

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILE = Path(__file__).resolve().parents[2] / "THIRD_PARTY_LICENSES.md"
ROOTS = ("segwatch", "segwatch[postgres]")
"""What a hospital or a central host installs; the other extras are for training, for development and for NVIDIA's
libraries."""

PERMISSIVE = frozenset(
    [
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "HPND",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Unlicense",
        "Zlib",
    ]
)

SPDX = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "BSD-3-Clause",
    "License :: OSI Approved :: ISC License (ISCL)": "ISC",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: MIT No Attribution License (MIT-0)": "MIT-0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "MIT": "MIT",
}
"""Names from before SPDX expressions (PEP 639) that distributions of this list still give."""


@dataclass(frozen=True, order=True)
class Entry:
    """One distribution of the list; `licence` is an SPDX expression, or what the distribution says instead."""

    name: str
    licence: str
    home: str

    @property
    def identifiers(self) -> frozenset[str]:
        """The licence identifiers of the expression."""
        return frozenset(re.split(r"\s+(?:AND|OR)\s+", self.licence.replace("(", "").replace(")", "")))


def entries(root: str) -> list[Entry]:
    """Every distribution that installing `root` brings along on this platform, itself left out."""
    requirement = Requirement(root)
    found = _closure(requirement.name, frozenset(requirement.extras), {})
    found.pop((canonicalize_name(requirement.name), frozenset(requirement.extras)), None)
    found.pop((canonicalize_name(requirement.name), frozenset()), None)
    return sorted({_entry(one) for one in found.values()})


def listed(text: str) -> set[str]:
    """The names in the tables of the file."""
    return set(re.findall(r"^\| ([a-z0-9-]+) \|", text, flags=re.MULTILINE)) - {"distribution"}


def render() -> str:
    """The whole file."""
    serving, postgres = (entries(root) for root in ROOTS)
    more = [entry for entry in postgres if entry not in serving]
    return "\n".join([*_HEAD, *_table(serving), *_BETWEEN, *_table(more), *_FOOT])


_Found = dict[tuple[str, frozenset[str]], Distribution]


def _closure(name: str, extras: frozenset[str], found: _Found) -> _Found:
    key = (str(canonicalize_name(name)), extras)
    if key in found:
        return found
    found[key] = distribution(name)
    for line in found[key].requires or []:
        required = Requirement(line)
        if required.marker is None or any(required.marker.evaluate({"extra": one}) for one in ("", *extras)):
            _closure(required.name, frozenset(required.extras), found)
    return found


def _entry(found: Distribution) -> Entry:
    return Entry(canonicalize_name(found.metadata["Name"]), _licence(found), _home(found))


def _licence(found: Distribution) -> str:
    metadata = found.metadata
    if "License-Expression" in metadata:
        return str(metadata["License-Expression"])
    names = [line for line in metadata.get_all("Classifier") or [] if line in SPDX]
    names = names or [str(metadata["License"]).splitlines()[0] if "License" in metadata else "not stated"]
    return " AND ".join(sorted({SPDX.get(name, name) for name in names}))


def _home(found: Distribution) -> str:
    links = dict(_links(found))
    for label in ("source", "repository", "source code", "homepage", "home"):
        if label in links:
            return links[label]
    return str(found.metadata["Home-page"]) if "Home-page" in found.metadata else ""


def _links(found: Distribution) -> Iterator[tuple[str, str]]:
    for line in found.metadata.get_all("Project-URL") or []:
        label, _, address = line.partition(", ")
        yield label.lower(), address.removesuffix(".git")


def _table(rows: list[Entry]) -> list[str]:
    return ["", "| distribution | licence | home |", "|---|---|---|"] + [
        f"| {row.name} | {row.licence} | {row.home} |" for row in rows
    ]


_HEAD = """\
# Licences of what Segwatch is installed with

Segwatch itself is Apache-2.0 (LICENSE). `pip install segwatch` on Linux x86-64 brings the distributions below, each
under the licence that it states for itself; elsewhere onnxruntime (MIT) takes the place of onnxruntime-gpu. None is
GPL, AGPL or LGPL, and a test fails when one would be. Written by `python tests/tools/licences.py --write`.
""".splitlines()

_BETWEEN = """\

With the extra `postgres`:
""".splitlines()

_FOOT = """\

## Inside the wheels

Some of these carry libraries of others, compiled in; their licence texts lie in the wheels.

- numpy and scipy: OpenBLAS (BSD-3-Clause); the runtime libraries of GCC, libgfortran (GPL-3.0-or-later WITH
  GCC-exception-3.1: the exception lets programs of any licence use it) and libquadmath (LGPL-2.1-or-later, a
  separate shared library).
- python-gdcm: GDCM (BSD-3-Clause), CharLS, OpenJPEG, the IJG's JPEG library, Expat, zlib, socket++ and OpenSSL, all
  permissive.
- pillow: FreeType (under its own FTL), HarfBuzz, libjpeg-turbo, libpng, libtiff, libwebp, OpenJPEG and others, all
  permissive.
- onnxruntime-gpu: `ThirdPartyNotices.txt` in the wheel.

## Not part of a serving install

- The extra `gpu` brings NVIDIA's CUDA and cuDNN libraries under NVIDIA's own licence.
- The extras `fit`, `train` and `dev` are for operations, training and development.
- Left out on purpose: pylibjpeg-libjpeg (GPL-3.0), psycopg (LGPL-3.0).
- The tests run Orthanc (GPL-3.0), DCMTK (BSD-3-Clause), dicom3tools, PostgreSQL, Apache Kafka and Prometheus'
  promtool (Apache-2.0) as separate programs where they are installed; nothing of them is copied here.
""".splitlines()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print THIRD_PARTY_LICENSES.md, or write it.")
    parser.add_argument("--write", action="store_true", help="write the file instead of printing it")
    if parser.parse_args().write:
        FILE.write_text(render() + "\n")
    else:
        print(render())  # noqa: T201 (what it is for)
