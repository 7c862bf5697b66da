"""`segwatch detector`: make samples, fit the linear detector, and judge it."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
from rich.table import Table

from inference.model_package import load_model_package, reference_manifest
from inference.onnx_segmenter import OnnxSegmenter
from qc.detector import Performance, encode_detector, load_detector, reference_detector_path
from qc.graded_phantoms import build_samples
from qc.labelled import read_samples, write_samples
from segwatch.commands.console import console, error_console, print_table
from segwatch.commands.progress import bars
from segwatch.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Make samples of known Dice, fit the linear detector, and judge it.")

SamplesFile = Annotated[Path, typer.Argument(help="Samples, one JSON object a line.", metavar="SAMPLES")]


@app.command("samples")
def samples(
    out: SamplesFile,
    phantoms: Annotated[int, typer.Option(min=1, help="How many phantoms.")] = 120,
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first phantom.")] = 10_000,
    manifest: Annotated[
        Path | None, typer.Option("--model", help="Manifest of the model; the reference model by default.")
    ] = None,
) -> None:
    """Segment generated phantoms, well and after graded degradations, and write metrics with their true Dice."""
    package = load_model_package(manifest or reference_manifest())
    segmenter = OnnxSegmenter(package, providers=("CPUExecutionProvider",))
    seeds = range(first_seed, first_seed + phantoms)
    with bars() as shown:
        task = shown.add_task("phantoms", total=phantoms)
        made = build_samples(seeds, segmenter=segmenter, progress=lambda done, _of: shown.update(task, completed=done))
        count = write_samples(out, made)
    console.print(f"{count} samples of {phantoms} phantoms in {out}")


@app.command("fit")
def fit(
    file: SamplesFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Detector JSON to write.", metavar="FILE")],
    name: Annotated[str, typer.Option(help="Name in verdicts.")],
    detector_version: Annotated[str, typer.Option("--version", help="Version in verdicts, e.g. 1.0.0.")],
    data: Annotated[str, typer.Option(help="A sentence about what was sampled, kept in the file.")],
    seed: Annotated[int, typer.Option(help="Draws the groups that are held out.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Fit standardisation and logistic regression; the file says how it did on groups it has not seen."""
    detector = _fitting().fit_detector(
        read_samples(file), seed=seed, name=name, version=detector_version, data=data, progress=error_console.print
    )
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; --force replaces it")
    try:
        out.write_bytes(encode_detector(detector))
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    console.print(f"Wrote {out}; judge it on samples it has not seen with  segwatch detector evaluate")


@app.command("evaluate")
def evaluate(
    file: SamplesFile,
    detector_file: Annotated[
        Path | None, typer.Option("--detector", help="Detector JSON; the reference detector by default.")
    ] = None,
) -> None:
    """Judge samples of known Dice, in all and by defect."""
    detector = load_detector(detector_file or reference_detector_path())
    found = _fitting().evaluate(detector, read_samples(file))
    table = Table(title=f"{detector.name} {detector.version}, threshold {detector.threshold:.3f}", title_justify="left")
    for column in ("defect", "samples", "low quality", "AUC", "sensitivity", "specificity"):
        table.add_column(column, justify="left" if column == "defect" else "right")
    for defect, performance in (*found.by_defect, ("all", found.overall)):
        table.add_row(defect, *_cells(performance))
    print_table(table)


def _fitting() -> ModuleType:
    """The module that needs scikit-learn, which only those who fit install. Raises `UsageError`."""
    try:
        return importlib.import_module("qc.fit")
    except ImportError as error:
        raise UsageError("fitting needs scikit-learn: pip install 'segwatch[fit]'") from error


def _cells(performance: Performance) -> tuple[str, ...]:
    shares = (performance.auc, performance.sensitivity, performance.specificity)
    numbers = tuple("-" if share is None else f"{share:.3f}" for share in shares)
    return (str(performance.samples), str(performance.low_quality), *numbers)
