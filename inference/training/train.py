"""Trains the reference model on generated phantoms: `python -m inference.training.train --out DIR --seed 0`."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from monai.losses.dice import DiceCELoss
from monai.utils.misc import set_determinism
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn, track
from torch import nn

from inference.training.data import TRAINING_SEEDS, Case, PatchSampler, generate, make_training_case
from inference.training.export import export_onnx, write_manifest
from inference.training.network import build_network

logger = logging.getLogger(__name__)
console = Console()

WEIGHTS = "weights.pt"
LOG_EVERY = 50


@dataclass(frozen=True)  # no slots: the command takes its defaults from the class
class TrainingPlan:
    """Everything that decides the weights, besides the code."""

    seed: int = 0
    cases: int = 48
    steps: int = 1200
    batch: int = 4
    patch: tuple[int, int, int] = (40, 40, 40)
    learning_rate: float = 5e-3
    threads: int = 2
    """The order of floating-point sums depends on it."""


def training_cases(plan: TrainingPlan) -> list[Case]:
    """The phantoms of a plan."""
    first = TRAINING_SEEDS.start + plan.seed * plan.cases
    seeds = TRAINING_SEEDS[first : first + plan.cases]
    made = generate(make_training_case, seeds, processes=plan.threads)
    return list(track(made, "phantoms", total=plan.cases, console=console))


def train(cases: list[Case], plan: TrainingPlan) -> nn.Module:
    """Train on patches of `cases`; the same plan on the same kind of machine gives the same weights."""
    set_determinism(plan.seed)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(plan.threads)
    network = build_network().train()
    sampler = PatchSampler(cases, plan.patch, plan.seed)
    loss_of = DiceCELoss(sigmoid=True, batch=True, smooth_nr=1.0, smooth_dr=1.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=plan.steps, pct_start=0.08
    )
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=plan.steps)
        recent = 1.0
        for step in range(plan.steps):
            images, masks = sampler.batch(plan.batch)
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(network(images.contiguous(memory_format=torch.channels_last_3d)), masks)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            recent += 0.05 * (float(loss.detach()) - recent)
            progress.update(task, advance=1, description=f"training, loss {recent:.3f}")
            if (step + 1) % LOG_EVERY == 0:  # a log file shows no progress bar
                logger.info("step %d of %d, loss %.3f", step + 1, plan.steps, recent)
    return network.eval()


def main(
    out: Annotated[Path, typer.Option(help="Folder for lesion.onnx, lesion.json and the weights.")],
    seed: Annotated[int, typer.Option(min=0, help="Chooses the phantoms, the first weights and the patches.")] = 0,
    cases: Annotated[int, typer.Option(min=1, help="Number of training phantoms.")] = TrainingPlan.cases,
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = TrainingPlan.steps,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = TrainingPlan.threads,
) -> None:
    """Train the reference model and export it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists the packages that it could do without
    for chatty in ("onnxscript", "onnx_ir"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    plan = TrainingPlan(seed=seed, cases=cases, steps=steps, threads=threads)
    out.mkdir(parents=True, exist_ok=True)
    network = train(training_cases(plan), plan)
    torch.save(network.state_dict(), out / WEIGHTS)
    sha256 = export_onnx(network, out / "lesion.onnx")
    manifest = write_manifest(out, "lesion.onnx", sha256)
    console.print(f"wrote {manifest} and lesion.onnx ({(out / 'lesion.onnx').stat().st_size / 1e6:.1f} MB)")
    console.print(f"next: python -m inference.training.evaluate --model {out}")


if __name__ == "__main__":
    typer.run(main)
