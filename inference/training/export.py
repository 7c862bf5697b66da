"""From trained weights to the model package that the server loads: ONNX and manifest."""

import hashlib
import json
import tempfile
from pathlib import Path

import onnx
import torch
from torch import nn

from inference.training.data import SPACING_MM, WINDOW_HU
from inference.training.network import WithSigmoid

NAME = "segwatch-phantom-lesion"
VERSION = "1.0.0"
PATCH = (64, 96, 96)
"""(z, y, x) voxels that the graph takes; only the batch axis is free."""
OPSET = 18


def export_onnx(network: nn.Module, path: Path) -> str:
    """Write the network with its sigmoid as one ONNX file; returns the SHA-256 of the file in hexadecimal digits."""
    wrapped = WithSigmoid(network).eval().cpu()
    example = torch.zeros((2, 1, *PATCH), dtype=torch.float32)
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw.onnx"
        torch.onnx.export(
            wrapped,
            (example,),
            str(raw),
            dynamo=True,
            input_names=["image"],
            output_names=["probabilities"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        model = onnx.load(raw)
    _forget_where_it_was_made(model)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _forget_where_it_was_made(model: onnx.ModelProto) -> None:
    """Drop stack traces and module paths, which differ from one machine to the next."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for function in model.functions:
        for node in function.node:
            del node.metadata_props[:]


def write_manifest(directory: Path, onnx_name: str, sha256: str) -> Path:
    """Write `lesion.json` beside the ONNX file."""
    manifest = {
        "schema": 1,
        "name": NAME,
        "version": VERSION,
        "onnx": onnx_name,
        "sha256": sha256,
        "input": "image",
        "output": "probabilities",
        "activation": "none",  # the sigmoid is part of the graph
        "orientation": "LPS",
        "spacing_mm": list(SPACING_MM),
        "window_hu": list(WINDOW_HU),
        "patch": list(PATCH),
        "overlap": 0.25,
        "threshold": 0.5,
        "labels": [
            {
                "number": 1,
                "channel": 0,
                "name": "Lung lesion",
                "category": {
                    "value": "49755003",
                    "scheme": "SCT",
                    "meaning": "Morphologically Abnormal Structure",
                },
                "type": {"value": "52988006", "scheme": "SCT", "meaning": "Lesion"},
                "rgb": [220, 60, 40],
            }
        ],
        "intended_use": "Demonstration. Not for clinical use.",
    }
    path = directory / "lesion.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return path
