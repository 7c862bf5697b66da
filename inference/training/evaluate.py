"""Judges a model package on phantoms it has not seen: `python -m inference.training.evaluate --model DIR`.

Runs what a site runs: the phantom comes on a scanner's grid, and the server's own segmenter brings it to the model's
grid and the answer back. Dice is taken on the scanner's grid.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.model_package import load_model_package
from inference.onnx_segmenter import OnnxSegmenter
from inference.phantom import Phantom, make_phantom
from inference.training.data import HELD_OUT_SEEDS

console = Console()

SCAN_SHAPE = (116, 240, 288)
SCAN_SPACING_MM = (2.5, 1.25, 1.25)
HEALTHY_EVERY = 5
"""Every fifth held-out chest has no lesion: what is found there is false."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One held-out phantom."""

    seed: int
    lesion_ml: float
    found_ml: float
    overlap_ml: float
    outside_lung_ml: float
    """Of what was found, the part outside the true lungs."""

    @property
    def dice(self) -> float | None:
        """None for a healthy chest: Dice says nothing there."""
        return 2 * self.overlap_ml / (self.lesion_ml + self.found_ml) if self.lesion_ml else None


def held_out_phantom(seed: int) -> Phantom:
    """The chest of one held-out seed as a scanner would deliver it."""
    lesions = 0 if seed % HEALTHY_EVERY == 0 else None
    return make_phantom(seed, shape=SCAN_SHAPE, spacing_mm=SCAN_SPACING_MM, lesions=lesions)


def judge(seed: int, phantom: Phantom, found: NDArray[np.bool_]) -> CaseResult:
    """Compare a mask on the phantom's grid with the truth."""
    lesion = phantom.lesion_mask > 0
    voxel_ml = phantom.volume.voxel_volume_mm3 / 1000

    def volume(mask: NDArray[np.bool_]) -> float:
        return round(float(mask.sum()) * voxel_ml, 3)

    return CaseResult(seed, volume(lesion), volume(found), volume(found & lesion), volume(found & ~phantom.lung_mask))


def summarize(results: Sequence[CaseResult]) -> dict[str, float]:
    """Dice of the ill, false volume of the healthy, and all cases pooled."""
    dice = [result.dice for result in results if result.dice is not None]
    healthy = [result.found_ml for result in results if not result.lesion_ml]
    overlap = sum(result.overlap_ml for result in results)
    both = sum(result.lesion_ml + result.found_ml for result in results)
    return {
        "cases": len(results),
        "ill": len(dice),
        "dice_mean": round(float(np.mean(dice)), 3) if dice else 0.0,
        "dice_median": round(float(np.median(dice)), 3) if dice else 0.0,
        "dice_worst": round(float(np.min(dice)), 3) if dice else 0.0,
        "dice_pooled": round(2 * overlap / both, 3) if both else 0.0,
        "false_ml_per_healthy_chest": round(float(np.mean(healthy)), 3) if healthy else 0.0,
        "outside_lung_ml_per_chest": round(float(np.mean([result.outside_lung_ml for result in results])), 3),
    }


def evaluate(segmenter: OnnxSegmenter, seeds: Sequence[int]) -> Iterator[CaseResult]:
    """Segment and judge the phantoms of `seeds`, the next one being generated meanwhile."""
    with ProcessPoolExecutor(1) as pool:
        coming = [pool.submit(held_out_phantom, seed) for seed in seeds[:1]]
        for index, seed in enumerate(seeds):
            phantom = coming.pop().result()
            if index + 1 < len(seeds):
                coming.append(pool.submit(held_out_phantom, seeds[index + 1]))
            yield judge(seed, phantom, segmenter.segment(phantom.volume).mask > 0)


def main(
    model: Annotated[Path, typer.Option(help="Folder with lesion.json and lesion.onnx.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of held-out phantoms.")] = 20,
    report: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Report Dice on held-out phantoms."""
    segmenter = OnnxSegmenter(load_model_package(model / "lesion.json"), providers=["CPUExecutionProvider"])
    seeds = HELD_OUT_SEEDS[:cases]
    results = list(track(evaluate(segmenter, seeds), "held-out phantoms", total=cases, console=console))
    summary = summarize(results)
    table = Table("figure", "value")
    for name, value in summary.items():
        table.add_row(name, f"{value:g}")
    console.print(table)
    if report is not None:
        listed = [asdict(result) | {"dice": result.dice} for result in results]
        report.write_text(json.dumps({"summary": summary, "cases": listed}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
