"""Judges a trained model on phantoms it has not seen: `python -m inference.training.evaluate --model DIR`.

The exported ONNX file is what is judged, with the tiling of MONAI's sliding window.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import onnxruntime
import torch
import typer
from monai.inferers.utils import sliding_window_inference
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.training.data import HELD_OUT_SEEDS, SPACING_MM, Case, generate, make_case
from inference.training.export import PATCH

console = Console()


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


def probabilities(session: onnxruntime.InferenceSession, image: NDArray[np.float16]) -> NDArray[np.float32]:
    """Lesion probability of a whole case, (z, y, x)."""

    def predict(patches: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {"image": patches.numpy()})[0])

    tensor = torch.from_numpy(image.astype(np.float32))[None, None]
    blended = sliding_window_inference(tensor, PATCH, 1, predict, overlap=0.25, mode="gaussian")
    result: NDArray[np.float32] = torch.as_tensor(blended)[0, 0].numpy()
    return result


def judge(case: Case, probability: NDArray[np.float32], threshold: float = 0.5) -> CaseResult:
    """Compare a probability map with the truth."""
    found = probability >= threshold
    voxel_ml = float(np.prod(SPACING_MM)) / 1000

    def volume(mask: NDArray[np.bool_]) -> float:
        return round(float(mask.sum()) * voxel_ml, 3)

    return CaseResult(
        case.seed, volume(case.lesion), volume(found), volume(found & case.lesion), volume(found & ~case.lung)
    )


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


def main(
    model: Annotated[Path, typer.Option(help="Folder with lesion.onnx.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of held-out phantoms.")] = 20,
    report: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Report Dice on held-out phantoms."""
    session = onnxruntime.InferenceSession(model / "lesion.onnx", providers=["CPUExecutionProvider"])
    held_out = generate(make_case, HELD_OUT_SEEDS[:cases])
    results = [
        judge(case, probabilities(session, case.image))
        for case in track(held_out, "held-out phantoms", total=cases, console=console)
    ]
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
