"""Model packages around a tiny ONNX model, for tests."""

import hashlib
import json
from pathlib import Path
from typing import Any

from inference.model_package import ModelPackage, load_model_package
from tests.unit.inference.tiny_onnx import one_node_model

LESION = {
    "number": 1,
    "channel": 0,
    "name": "Lesion",
    "category": {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Abnormal Structure"},
    "type": {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"},
    "rgb": [220, 40, 40],
}


def write_package(folder: Path, content: bytes | None = None, **changes: Any) -> Path:
    """Write a package whose probability is the window-scaled intensity; returns the manifest's path."""
    content = one_node_model(shape=(1, 1, 16, 16, 16)) if content is None else content
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.onnx").write_bytes(content)
    manifest = {
        "schema": 1,
        "name": "tiny",
        "version": "1",
        "onnx": "tiny.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "input": "image",
        "output": "probabilities",
        "activation": "none",
        "orientation": "LPS",
        "spacing_mm": [2.0, 2.0, 2.0],
        "window_hu": [-1000, 0],
        "patch": [16, 16, 16],
        "overlap": 0.25,
        "threshold": 0.5,
        "labels": [LESION],
        "intended_use": "tests",
        **changes,
    }
    path = folder / "tiny.json"
    path.write_text(json.dumps({key: value for key, value in manifest.items() if value is not ...}))
    return path


def make_package(folder: Path, content: bytes | None = None, **changes: Any) -> ModelPackage:
    """Write and load a package."""
    return load_model_package(write_package(folder, content, **changes))
