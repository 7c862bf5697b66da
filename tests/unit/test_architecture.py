"""The house as it is meant: who imports whom, what a serving install can do without, and files small enough to read."""

import ast
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from segwatch.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("dicom_listener", "inference", "qc", "reporter", "segwatch")
EXTRAS = ("torch", "monai", "onnx", "onnxscript", "sklearn", "pg8000", "pytest", "hypothesis", "jsonschema")
"""What only the extras bring: a serving install has none of it."""
OF_AN_EXTRA = ("inference.training", "qc.fit")
"""The modules that need an extra: `train`, `fit`."""
IMAGING = ("dicom_listener", "inference", "reporter", "segwatch", "pydicom", "pynetdicom", "highdicom", "onnxruntime")

ENGINE = {"onnxruntime", "highdicom", "scipy"}

IMPORT_ALL = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked by the test)", name=name)

blocked, modules = (argument.split(",") for argument in sys.argv[1:])
sys.meta_path.insert(0, Blocker())
for module in modules:
    importlib.import_module(module)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def _modules(package: str) -> list[str]:
    found = pkgutil.walk_packages([str(ROOT / package.replace(".", "/"))], prefix=f"{package}.", onerror=lambda _: None)
    return [package, *(module.name for module in found if not module.name.endswith("__main__"))]


def _import(modules: list[str], blocked: tuple[str, ...]) -> set[str]:
    """Import the modules in a process of their own; returns the names of every top-level package that came along."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, ",".join(blocked), ",".join(modules)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def _sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_the_contracts_between_the_rooms_are_kept() -> None:
    lint_imports = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint_imports], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout


def test_a_serving_install_imports_everything_without_torch_and_the_other_extras() -> None:
    modules = [name for room in ROOMS for name in _modules(room) if not name.startswith(OF_AN_EXTRA)]
    assert {f"{room}.errors" for room in ROOMS} <= set(modules)

    _import(modules, blocked=EXTRAS)


def test_the_block_works() -> None:
    with pytest.raises(AssertionError, match=r"blocked by the test"):
        _import(["numpy"], blocked=("numpy",))


def test_the_central_host_imports_no_imaging_library() -> None:
    central = [*_modules("qc.central"), *_modules("qc.stream"), "qc.record", "qc.metric_set", "qc.detector"]

    assert not _import(central, blocked=EXTRAS) & set(IMAGING)
    assert not _import(["qc.fit"], blocked=("torch",)) & set(IMAGING)


def test_the_listener_imports_no_engine() -> None:
    """It is started first and runs always: small, quick to start, and nothing of the engine's in its process."""
    assert not _import(["segwatch.commands.listen"], blocked=("torch",)) & {*ENGINE, "kafka"}


@pytest.mark.parametrize("command", ["site", "deliver", "status", "series", "optout"])
def test_what_segments_nothing_imports_no_engine(command: str) -> None:
    """It takes longer than all the rest, and `segwatch site` starts several processes at once."""
    (module,) = (one.module for one in COMMANDS if one.name == command)

    assert not _import([f"segwatch.commands.{module}"], blocked=("torch",)) & ENGINE


def test_a_worker_imports_no_network() -> None:
    assert not _import(["segwatch.commands.work"], blocked=("torch",)) & {"kafka", "pynetdicom", "uvicorn"}


@pytest.mark.parametrize("path", _sources(*ROOMS, "tests", "benchmarks"), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_small_enough_to_be_read(path: Path) -> None:
    lines = path.read_text().count("\n")

    assert lines <= 300


@pytest.mark.parametrize("path", _sources(*ROOMS), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_is_small_enough_to_be_read(path: Path) -> None:
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    long = {node.name: _lines(node) for node in functions if _lines(node) > 50}

    assert long == {}


def _lines(function: ast.FunctionDef) -> int:
    """Lines of the function without its docstring, which may be as long as it needs to be."""
    docstring = (ast.get_docstring(function, clean=False) or "").count("\n")
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_package_files_hold_a_docstring_and_nothing_else() -> None:
    for path in _sources(*ROOMS):
        if path.name == "__init__.py":
            body = ast.parse(path.read_text()).body
            assert [type(node) for node in body] in ([], [ast.Expr]), path


def test_each_silenced_check_says_why() -> None:
    silenced = re.compile(r"#\s*(noqa|type:\s*ignore)")
    with_reason = re.compile(r"#\s*(noqa:\s*[A-Z0-9, ]+|type:\s*ignore\[[^\]]+\]\s*)[(#]\s*\(?\w")
    offences = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _sources(*ROOMS, "tests", "benchmarks")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if silenced.search(line) and not with_reason.search(line) and path != Path(__file__)
    ]
    assert offences == []


def test_only_the_composition_root_reads_the_environment() -> None:
    readers = [path for path in _sources(*ROOMS[:-1]) if re.search(r"os\.(environ|getenv)", path.read_text())]

    assert readers == []


def test_test_files_have_names_of_their_own() -> None:
    counts = Counter(path.name for path in _sources("tests") if path.name.startswith("test_"))

    assert [name for name, count in counts.items() if count > 1] == []
