"""A model package: an ONNX file and a manifest that says what goes in, what comes out and what it means.

The manifest is JSON; `ModelPackage` describes its keys. The ONNX file lies in the manifest's folder and is named
with its SHA-256, so that a result can always be traced to the very weights that made it.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.errors import ModelHashError, ModelPackageError
from inference.grids import check_orientation
from inference.segmentation import CodedConcept, ModelIdentity, SegmentLabel
from inference.sliding_window import Tiling

Activation = Literal["none", "sigmoid", "softmax"]


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A checked manifest and the place of its ONNX file."""

    identity: ModelIdentity
    onnx_path: Path
    input_name: str
    """Float32 input (batch 1, channel 1, z, y, x), window-scaled to 0..1."""
    output_name: str
    """Float output (batch 1, channel, z, y, x)."""
    activation: Activation
    """What turns the output into probabilities; `none` where the graph itself ends in them."""
    orientation: str
    """Directions in which the model's x, y and z axis (last, middle, first) increase, e.g. LPS."""
    spacing_mm: tuple[float, float, float]
    """(z, y, x)."""
    window_hu: tuple[float, float]
    """Hounsfield units that become 0 and 1."""
    tiling: Tiling
    threshold: float
    """Probability at which a voxel belongs to a label."""
    labels: tuple[SegmentLabel, ...]
    channels: tuple[int, ...]
    """Output channel of each label, in the order of `labels`."""
    intended_use: str

    @property
    def pixel_settings(self) -> str:
        """Canonical JSON (sorted keys, no spaces) of every setting that changes pixels."""
        values = {
            "activation": self.activation,
            "blending": "gaussian",
            "interpolation": "linear",
            "labels": {str(label.number): channel for label, channel in zip(self.labels, self.channels, strict=True)},
            "orientation": self.orientation,
            "overlap": self.tiling.overlap,
            "patch": self.tiling.patch,
            "spacing_mm": self.spacing_mm,
            "threshold": self.threshold,
            "window_hu": self.window_hu,
        }
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    def read_onnx(self) -> bytes:
        """Read the ONNX file and check it against the manifest's SHA-256.

        An engine is given these bytes rather than the path: the file cannot change between check and use, and weights
        outside it (ONNX external data), which the hash does not cover, cannot be loaded.

        Raises:
            ModelPackageError: the file cannot be read.
            ModelHashError: it is not the file that the manifest names.
        """
        try:
            content = self.onnx_path.read_bytes()
        except OSError as error:
            raise ModelPackageError(f"the model file {self.onnx_path} cannot be read ({error.strerror})") from error
        found = hashlib.sha256(content).hexdigest()
        if not hmac.compare_digest(found, self.identity.sha256):
            raise ModelHashError(
                f"the model file {self.onnx_path} has SHA-256 {found}, its manifest names {self.identity.sha256}; "
                "restore the file, or the manifest that belongs to it"
            )
        return content


def reference_manifest() -> Path:
    """Path of the manifest of the model that comes with the software."""
    return Path(str(files("inference") / "models" / "lesion.json"))


def load_model_package(manifest_path: Path) -> ModelPackage:
    """Read and check a manifest and the hash of its ONNX file.

    Raises:
        ModelPackageError: a file is missing, or the manifest is malformed; the message names the keys.
        ModelHashError: the ONNX file is not the one that the manifest names.
    """
    try:
        manifest = _Manifest.model_validate_json(manifest_path.read_bytes())
    except OSError as error:
        raise ModelPackageError(f"the model manifest {manifest_path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ModelPackageError(f"the model manifest {manifest_path} is not valid: {problems}") from error
    package = _package(manifest, manifest_path.parent)
    package.read_onnx()
    return package


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_orientation(code: str) -> str:
    check_orientation(code)
    return code


_Code = Annotated[str, Field(min_length=1, max_length=64)]
_Millimetres = Annotated[float, Field(gt=0, le=20, allow_inf_nan=False)]
_Voxels = Annotated[int, Field(ge=1, le=1024)]
_Colour = Annotated[int, Field(ge=0, le=255)]
_Hounsfield = Annotated[float, Field(allow_inf_nan=False)]


class _Concept(_Record):
    value: Annotated[str, Field(min_length=1, max_length=16)]
    scheme: Annotated[str, Field(min_length=1, max_length=16)]
    meaning: _Code


class _Label(_Record):
    number: Annotated[int, Field(ge=1, le=255)]
    channel: Annotated[int, Field(ge=0)]
    name: _Code
    category: _Concept
    type: _Concept
    rgb: tuple[_Colour, _Colour, _Colour]


class _Manifest(_Record):
    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[str, Field(min_length=1, max_length=32)]
    onnx: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: str
    output: str
    activation: Activation
    orientation: Annotated[str, AfterValidator(_check_orientation)]
    spacing_mm: tuple[_Millimetres, _Millimetres, _Millimetres]
    window_hu: tuple[_Hounsfield, _Hounsfield]
    patch: tuple[_Voxels, _Voxels, _Voxels]
    overlap: Annotated[float, Field(ge=0, lt=1)]
    threshold: Annotated[float, Field(gt=0, le=1)]
    labels: Annotated[tuple[_Label, ...], Field(min_length=1)]
    intended_use: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _check_whole(self) -> "_Manifest":
        if self.window_hu[0] >= self.window_hu[1]:
            raise ValueError("window_hu must be [low, high] with low < high")
        numbers = [label.number for label in self.labels]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError("labels must be numbered 1, 2, ... in order (Segment Number, PS3.3 C.8.20.2)")
        if len({label.channel for label in self.labels}) != len(self.labels):
            raise ValueError("each label needs an output channel of its own")
        return self


def _package(manifest: _Manifest, folder: Path) -> ModelPackage:
    onnx_path = (folder / manifest.onnx).resolve()
    if not onnx_path.is_relative_to(folder.resolve()):
        raise ModelPackageError(f"onnx: {manifest.onnx} lies outside the folder of the manifest")
    return ModelPackage(
        identity=ModelIdentity(manifest.name, manifest.version, manifest.sha256),
        onnx_path=onnx_path,
        input_name=manifest.input,
        output_name=manifest.output,
        activation=manifest.activation,
        orientation=manifest.orientation,
        spacing_mm=manifest.spacing_mm,
        window_hu=manifest.window_hu,
        tiling=Tiling(manifest.patch, manifest.overlap),
        threshold=manifest.threshold,
        labels=tuple(_label(label) for label in manifest.labels),
        channels=tuple(label.channel for label in manifest.labels),
        intended_use=manifest.intended_use,
    )


def _label(label: _Label) -> SegmentLabel:
    return SegmentLabel(
        number=label.number,
        name=label.name,
        category=CodedConcept(label.category.value, label.category.scheme, label.category.meaning),
        type=CodedConcept(label.type.value, label.type.scheme, label.type.meaning),
        rgb=label.rgb,
    )
