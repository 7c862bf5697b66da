"""Compares the inputs and outputs of a model with what its manifest says, in words that name the manifest's keys."""

from collections.abc import Sequence
from typing import Protocol

from inference.errors import ModelPackageError
from inference.model_package import ModelPackage


class TensorSignature(Protocol):
    """One input or output as the engine describes it (onnxruntime's `NodeArg`)."""

    name: str
    type: str
    shape: Sequence[int | str | None]
    """A size that is free is a name or None."""


def check_signature(
    package: ModelPackage, inputs: Sequence[TensorSignature], outputs: Sequence[TensorSignature]
) -> None:
    """Check names, types and shapes.

    Raises:
        ModelPackageError: they differ from the manifest's.
    """
    _check_input(package, inputs)
    _check_output(package, outputs)


def _check_input(package: ModelPackage, inputs: Sequence[TensorSignature]) -> None:
    names = [value.name for value in inputs]
    if names != [package.input_name]:
        raise ModelPackageError(f"the manifest names input {package.input_name!r}, the model has {names}")
    wanted = (1, 1, *package.tiling.patch)
    if inputs[0].type != "tensor(float)" or not _fits(inputs[0].shape, wanted):
        found = f"{inputs[0].type} {inputs[0].shape}"
        raise ModelPackageError(f"input {names[0]} is {found}, the manifest's patch needs tensor(float) {list(wanted)}")


def _check_output(package: ModelPackage, outputs: Sequence[TensorSignature]) -> None:
    by_name = {value.name: value for value in outputs}
    if package.output_name not in by_name:
        raise ModelPackageError(f"the manifest names output {package.output_name!r}, the model has {list(by_name)}")
    output = by_name[package.output_name]
    if output.type not in ("tensor(float)", "tensor(float16)"):
        raise ModelPackageError(f"output {output.name} is {output.type}, not tensor(float)")
    channels = output.shape[1] if len(output.shape) == 5 else None
    if not _fits(output.shape, (1, channels, *package.tiling.patch)):
        detail = f"output {output.name} has shape {output.shape}, not (1, channel, z, y, x) of the manifest's patch"
        raise ModelPackageError(detail)
    if isinstance(channels, int) and channels <= max(package.channels):
        raise ModelPackageError(f"labels use channel {max(package.channels)}, the model has {channels}")


def _fits(shape: Sequence[int | str | None], wanted: Sequence[int | str | None]) -> bool:
    """Whether fixed sizes agree; a size that is free is a name or None."""
    if len(shape) != len(wanted):
        return False
    return all(not isinstance(size, int) or size == want for size, want in zip(shape, wanted, strict=True))
