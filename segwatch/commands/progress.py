"""Progress of long work, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from segwatch import pipeline
from segwatch.commands.console import error_console

STAGES: dict[pipeline.Stage, str] = {
    "read": "reading slices",
    "lungs": "finding the lungs",
    "segment": "segmenting lesions",
    "measure": "measuring quality",
    "seg": "building and checking the DICOM SEG",
}


@contextmanager
def bars() -> Iterator[Progress]:
    """Bars that vanish when all is done; on a terminal only."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=error_console,
        transient=True,
        # without a terminal there is nothing that could vanish: a blank line would stay before each error
        disable=not error_console.is_terminal,
    ) as shown:
        yield shown


@contextmanager
def stage_bars() -> Iterator[pipeline.Observer]:
    """Observer that shows each stage of a series as a bar."""
    tasks: dict[pipeline.Stage, TaskID] = {}
    with bars() as shown:

        def observe(progress: pipeline.Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = shown.add_task(STAGES[progress.stage], total=progress.of)
            shown.update(tasks[progress.stage], completed=progress.done, total=progress.of)

        yield observe
