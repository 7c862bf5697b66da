"""`segwatch demo`: the whole product on one machine, in a minute or two."""

from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel

from inference.segmenter import Segmenter
from qc.verdict import Contribution, Verdict
from reporter.association import Destination
from reporter.delivery import CStoreSender
from segwatch import wiring
from segwatch.commands.console import console, error_console, print_table
from segwatch.commands.progress import stage_bars
from segwatch.commands.render import metrics_table, verdict_table
from segwatch.commands.send import send_with_progress
from segwatch.demo import (
    DEGRADED_NOTE,
    FIRST_SEED,
    SECOND_SEED,
    Case,
    DegradingSegmenter,
    Demo,
    check_one_series,
    is_earlier_demo,
    prepared_demo,
    write_phantom,
)
from segwatch.errors import UsageError
from segwatch.logs import start_logging


def demo(
    ct: Annotated[Path | None, typer.Option(help="Folder with one chest CT series of your own.", metavar="DIR")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is made.")] = Path("demo-output"),
) -> None:
    """Send a chest CT to a site, get the DICOM SEG back, and see how its quality is judged; then a spoiled one.

    Needs no PACS, no Kafka and no GPU: the demo brings stand-ins for the first two.
    """
    start_logging("ERROR", "text")
    if ct is not None:
        check_one_series(ct)
    console.print(Panel("Segwatch demo: PACS -> site -> PACS, and site -> central operations", expand=False))
    if is_earlier_demo(out):
        console.print(
            f"replaces {out}, what an earlier demo made; --out DIR (make demo OUT=DIR) would keep it", markup=False
        )
    with prepared_demo(out) as running:
        segmenter = wiring.make_segmenter(running.settings)
        console.print(
            f"A site listens on port {running.port}, a stand-in for the PACS on {running.pacs.port}; "
            f"model {segmenter.model.name} {segmenter.model.version} (demonstration only, not for clinical use)"
        )
        console.rule("1. A chest CT arrives")
        first = ct or _phantom(out / "ct-1", FIRST_SEED)
        _show(_run(running, first, segmenter, ""))
        console.rule("2. Another one, its segmentation spoiled on purpose")
        second = _phantom(out / "ct-2", SECOND_SEED)
        spoiled = _run(running, second, DegradingSegmenter(segmenter), DEGRADED_NOTE)
        _show(spoiled)
    if not spoiled.verdict.low_quality:
        raise UsageError("the spoiled segmentation was not flagged: the detector does not do its work")
    _show_how_to_go_on(out)


def _phantom(directory: Path, seed: int) -> Path:
    with error_console.status("drawing a patient who does not exist"):
        return write_phantom(directory, seed)


def _run(running: Demo, ct: Path, segmenter: Segmenter, note: str) -> Case:
    site = Destination("site", running.settings.listener.ae_title, "127.0.0.1", running.port, "DEMO-PACS")

    def send() -> None:
        report = send_with_progress(CStoreSender(site), ct)
        console.print(f"sent by C-STORE: {report.stored} of {report.stored + report.failed} instances stored")
        for reason, count in report.reasons:
            console.print(f"  {count} x {reason}", markup=False)
        if not report.stored:
            raise UsageError(f"the site stored none of the instances in {ct}")

    with stage_bars() as observe:
        return running.run_case(send, segmenter, note, observe)


def _show(case: Case) -> None:
    console.print(f"DICOM SEG, as the PACS got it  {case.seg}")
    console.print(f"preview with overlay           {case.preview}")
    print_table(metrics_table(case.metrics))
    verdict = case.verdict
    parts = tuple(Contribution(**part.model_dump()) for part in verdict.contributions)
    detector = verdict.detector
    print_table(
        verdict_table(
            Verdict(
                detector_name=detector.name,
                detector_version=detector.version,
                detector_sha256=detector.sha256,
                probability=verdict.probability,
                threshold=verdict.threshold,
                low_quality=verdict.low_quality,
                contributions=parts,
                out_of_range=verdict.out_of_range,
            )
        )
    )
    console.print(f"record id {verdict.event_id}\n")


def _show_how_to_go_on(out: Path) -> None:
    # plain lines: a frame would cut off commands that are longer than the terminal is wide
    console.rule("How to go on")
    console.print(
        "Look at the preview PNGs, and open the DICOM files of the CT and of the PACS folder in your viewer.\n"
        f"What left the hospital:       cat {out / 'journal'}/segwatch.metrics.v1.demo.jsonl\n"
        f"What the site did:            segwatch status -c {out / 'segwatch.toml'}\n"
        f"From a record to its study:   segwatch lookup RECORD_ID -c {out / 'segwatch.toml'}\n"
        "Your own CT:                  make demo CT=DIR   or   segwatch process DIR --out OUT\n"
        "A real site:                  segwatch init site --id my-hospital, then segwatch doctor\n"
        "If the command is not found:  . .venv/bin/activate",
        markup=False,
    )
