"""The engine must not gather what it would send to its maker."""

import os
import subprocess
import sys
from pathlib import Path

from inference.engine import engine_errors
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


def test_the_check_sees_a_file_in_the_home(tmp_path: Path) -> None:
    """Whatever leaves it; the engine without our switch would at its own time, and try to send it: not run here."""
    leaving = "from inference.engine import onnxruntime\nimport pathlib\n(pathlib.Path.home() / 'deviceid').touch()"
    assert _files_after(leaving, tmp_path) == ["deviceid"]


def test_an_engine_that_can_send_knows_our_switch() -> None:
    """One of a release that calls it otherwise would be told nothing."""
    found = Path(engine_errors.__file__).parent.glob("*.so*")
    libraries = [path.read_bytes() for path in found if "providers" not in path.name]
    assert libraries
    can_send = any(b"events.data.microsoft.com" in content for content in libraries)
    knows_switch = any(b"ORT_DISABLE_TELEMETRY\0" in content for content in libraries)
    assert knows_switch or not can_send


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
