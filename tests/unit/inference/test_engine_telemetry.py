"""The engine must not gather what it would send to its maker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.model_package import reference_manifest

RUN = """
import sys
{imports}
onnxruntime.InferenceSession(open(sys.argv[1], "rb").read(), providers=["CPUExecutionProvider"])
"""


def _files_after(imports: str, home: Path) -> list[str]:
    """Run a session in a process of its own; the names of the files that it leaves in its home."""
    model = reference_manifest().with_suffix(".onnx")
    kept = {
        name: value for name, value in os.environ.items() if name not in {"ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    }
    subprocess.run(
        [sys.executable, "-c", RUN.format(imports=imports), model],
        check=True,
        timeout=120,
        env={**kept, "HOME": str(home)},
    )
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def test_our_engine_leaves_nothing_behind(tmp_path: Path) -> None:
    assert _files_after("from inference.engine import onnxruntime", tmp_path) == []


def test_the_check_would_see_it(tmp_path: Path) -> None:
    if not _files_after("import onnxruntime", tmp_path):
        pytest.skip("this release of ONNX Runtime gathers nothing by itself")


def test_nothing_else_imports_the_engine() -> None:
    root = Path(__file__).resolve().parents[3]
    rooms = [root / name for name in ("dicom_listener", "inference", "qc", "reporter", "segwatch")]
    importers = [
        path.name
        for room in rooms
        for path in room.rglob("*.py")
        if any(
            line.strip().startswith(("import onnxruntime", "from onnxruntime"))
            for line in path.read_text().splitlines()
        )
    ]
    assert importers == ["engine.py"]
