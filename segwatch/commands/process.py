"""`segwatch process`: one series from disk, no network."""

import secrets
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Annotated

import typer

from qc.detector import load_detector, reference_detector_path
from qc.periods import PeriodLength
from qc.record import encode_record
from reporter.preview import write_preview
from reporter.seg_file import write_seg
from segwatch.commands.console import AsJson, console, print_json, print_table, site_settings
from segwatch.commands.progress import stage_bars
from segwatch.commands.render import metrics_table, verdict_json, verdict_table
from segwatch.errors import UsageError
from segwatch.local_series import series_in_folder
from segwatch.pipeline import ProcessedSeries, SiteIdentity
from segwatch.settings import MINIMUM_SECRET_BYTES, SiteSettings
from segwatch.wiring import make_pipeline, make_segmenter, site_identity


def process(
    directory: Annotated[Path, typer.Argument(help="Folder with one CT series.", metavar="DIR")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for seg.dcm, preview.png, record.json.", metavar="OUT")
    ],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings of a site (model, limits, key).", metavar="FILE")
    ] = None,
    detector_file: Annotated[Path | None, typer.Option("--detector", help="Detector JSON.", metavar="FILE")] = None,
    series: Annotated[int | None, typer.Option(help="Which series, when the folder holds several; from 1.")] = None,
    minimum_slices: Annotated[int | None, typer.Option(min=1, help="Replaces the setting read.minimum_slices.")] = None,
    as_json: AsJson = False,
) -> None:
    """Segment one series from disk: SEG, preview, record and verdict, without any network.

    Ends with status 2 and a named reason when the series cannot be segmented.
    """
    settings = site_settings(config) if config else SiteSettings.model_validate({"site": {"id": "local"}})
    if minimum_slices is not None:
        settings = settings.model_copy(
            update={"read": settings.read.model_copy(update={"minimum_slices": minimum_slices})}
        )
    identity = site_identity(settings) if config else _throwaway_identity()
    received = series_in_folder(directory, series)
    detector = load_detector(detector_file or reference_detector_path())
    out = _folder(out)
    pipeline = make_pipeline(settings, make_segmenter(settings), identity)
    with stage_bars() as observe:
        result = pipeline.run(received, observe=observe)
    _write(result, out)
    verdict = detector.judge(result.metrics)
    if as_json:
        files = {name: str(out / name) for name in ("seg.dcm", "preview.png", "record.json")}
        warnings = [warning.code for warning in result.volume.warnings]
        print_json(
            {
                "files": files,
                "metrics": dict(result.metrics.values),
                "verdict": verdict_json(verdict),
                "warnings": warnings,
            }
        )
        return
    for warning in result.volume.warnings:
        console.print(f"[yellow]warning[/yellow] {warning.code}: {warning.detail}")
    print_table(metrics_table(result.metrics))
    print_table(verdict_table(verdict))
    console.print(f"DICOM SEG  {out / 'seg.dcm'}\npreview    {out / 'preview.png'}\nrecord     {out / 'record.json'}")
    if config is None:
        console.print("Without --config the record is keyed with a throwaway key; it cannot be traced back.")


def _throwaway_identity() -> SiteIdentity:
    return SiteIdentity(
        "local", secrets.token_bytes(MINIMUM_SECRET_BYTES), PeriodLength.WEEK, distribution_version("segwatch")
    )


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error
    return out


def _write(result: ProcessedSeries, out: Path) -> None:
    try:
        write_seg(result.seg, out / "seg.dcm")
        write_preview(result.volume, result.segmentation, out / "preview.png", lungs=result.lungs)
        (out / "record.json").write_bytes(encode_record(result.record))
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error
