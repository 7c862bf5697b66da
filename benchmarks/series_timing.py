"""Where the time of one series goes, from the sender to the confirmed result, and the peak memory of the worker.

    python benchmarks/series_timing.py [--slices 300] [--size 512] [--ct DIR]

Without --ct a generated chest is sent. The sender is DCMTK's storescu where it is installed (our own otherwise); the
destination is the demo's storage SCP, which writes each instance durably. The worker runs in a process of its own, so
that the peak memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from dicom_listener.routing.routes import Route, RouteState
from inference import onnx_segmenter
from inference.phantom import make_phantom
from inference.phantom_dicom import write_ct_series
from reporter.association import Destination
from reporter.delivery import CStoreSender
from reporter.send_folder import send_folder
from reporter.storage_folder import FolderDestination
from segwatch import delivery_wiring, listener_wiring, state_wiring, wiring
from segwatch.pipeline import Progress
from segwatch.settings import SiteSettings, load_settings
from segwatch.settings_text import site_toml
from segwatch.worker import Worker

DCMTK_STORESCU = Path("/usr/bin/storescu")
QUIET_S = 0.5
PARTS = {
    "resample": "preprocess",
    "scale_window": "preprocess",
    "predict_volume": "network",
    "labels_on_grid": "postprocess",
}
"""Functions that the segmenter calls, and the row of the table they count for."""


def main() -> None:
    """Run the benchmark and print the table."""
    options = _options()
    if options.worker is not None:
        print(json.dumps(_process(load_settings(options.worker, SiteSettings))))
        return
    with tempfile.TemporaryDirectory(prefix="segwatch-benchmark-") as folder:
        _benchmark(Path(folder), options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--size", type=int, default=512, help="rows and columns")
    parser.add_argument("--ct", type=Path, help="folder with one CT series")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _benchmark(folder: Path, options: argparse.Namespace) -> None:
    ct = options.ct or _write_phantom(folder / "ct", options)
    count = sum(1 for path in ct.iterdir() if path.is_file())
    (folder / "site.key").write_text("0" * 64)
    with FolderDestination(folder / "pacs", "BENCH-PACS") as pacs:
        settings = _write_settings(folder, pacs)
        engine = state_wiring.make_state_engine(settings)
        rows = {"receive": _receive(settings, engine, ct)}
        worked = subprocess.run(
            [sys.executable, __file__, "--worker", str(folder / "segwatch.toml")], check=True, stdout=subprocess.PIPE
        )
        result = json.loads(worked.stdout)
        rows |= result["seconds"]
        start = time.perf_counter()
        for runner in delivery_wiring.make_deliverers(settings, engine):
            runner.drain_once(time.time())
        rows["delivery and record"] = time.perf_counter() - start
    _print_table(rows, f"{count} instances", result["peak_mb"])


def _write_phantom(directory: Path, options: argparse.Namespace) -> Path:
    print("generating the phantom ...", file=sys.stderr)
    spacing = (300.0 / options.slices, 360.0 / options.size, 360.0 / options.size)
    phantom = make_phantom(7, shape=(options.slices, options.size, options.size), spacing_mm=spacing, lesions=5)
    write_ct_series(phantom.volume, directory, seed=7)
    return directory


def _write_settings(folder: Path, pacs: FolderDestination) -> SiteSettings:
    changes = {
        "listener.host": "127.0.0.1",
        "listener.port": 0,
        "listener.quiet_seconds": QUIET_S,
        "routing.study_quiet_seconds": QUIET_S,
        "spool.minimum_free_bytes": 100_000_000,
        "spool.high_watermark": 0.99,
        "spool.journal_bytes": 67_108_864,
        "log.level": "ERROR",
        "destinations": ({"name": "pacs", "ae_title": pacs.ae_title, "host": "127.0.0.1", "port": pacs.port},),
    }
    (folder / "segwatch.toml").write_text(site_toml("benchmark", changes), encoding="utf-8")
    return load_settings(folder / "segwatch.toml", SiteSettings)


def _receive(settings: SiteSettings, engine: Any, ct: Path) -> float:
    """Seconds until the sender has its last Success; the quiet time after it is not counted."""
    taken = threading.Event()

    def observe(route: Route) -> None:
        if route.state is RouteState.TAKEN:
            taken.set()

    with listener_wiring.running_listener(settings, engine, observe_routes=observe) as listening:
        start = time.perf_counter()
        _send(ct, listening.port)
        seconds = time.perf_counter() - start
        if not taken.wait(60):
            sys.exit("the series was not taken: `segwatch routes` tells why")
    return seconds


def _send(ct: Path, port: int) -> None:
    if DCMTK_STORESCU.exists():
        command = [str(DCMTK_STORESCU), "+sd", "-aec", "SEGWATCH", "127.0.0.1", str(port), str(ct)]
        subprocess.run(command, check=True, env={"TCP_NODELAY": "1"}, stderr=subprocess.DEVNULL)
        return
    report = send_folder(CStoreSender(Destination("site", "SEGWATCH", "127.0.0.1", port)), ct)
    if report.failed:
        sys.exit(f"{report.failed} instances were not stored: {report.reasons[0][0]}")


def _process(settings: SiteSettings) -> dict[str, Any]:
    """Do the one job that waits, and time its parts."""
    seconds: dict[str, float] = defaultdict(float)
    segmenter = wiring.make_segmenter(settings)
    segmenter.warm_up()
    engine = state_wiring.make_state_engine(settings)
    places = wiring.make_places(settings, engine)
    pipeline = wiring.make_pipeline(settings, segmenter, wiring.site_identity(settings))

    def observe(progress: Progress) -> None:
        if progress.seconds is not None:
            seconds[progress.stage] += progress.seconds

    worker = Worker("benchmark", places, pipeline, wiring.make_policy(settings), observe=lambda _job: observe)
    start = time.perf_counter()
    with _timed_parts() as parts:
        if not worker.work_once():
            sys.exit("there was no job")
    total = time.perf_counter() - start
    if not list(places.results_root.glob("*/*/seg.dcm")):
        sys.exit("the series was not segmented; `segwatch process DIR` tells why")
    named = {"read": seconds["read"], "lungs": seconds["lungs"], **parts}
    named["rest of segmentation"] = seconds["segment"] - sum(parts.values())
    named |= {"metrics": seconds["measure"], "SEG": seconds["seg"]}
    named["writing results"] = total - sum(named.values())
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": named, "peak_mb": peak_mb}


@contextmanager
def _timed_parts() -> Iterator[dict[str, float]]:
    """Time the functions that the segmenter calls."""
    parts = dict.fromkeys(PARTS.values(), 0.0)

    def timed(function: Callable[..., Any], row: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                parts[row] += time.perf_counter() - start

        return call

    replaced = {name: timed(getattr(onnx_segmenter, name), row) for name, row in PARTS.items()}
    with ExitStack() as patched:
        for name, function in replaced.items():
            patched.enter_context(mock.patch.object(onnx_segmenter, name, function))
        yield parts


def _print_table(rows: dict[str, float], what: str, peak_mb: float) -> None:
    total = sum(rows.values())
    print(f"{what}; sender {'DCMTK storescu' if DCMTK_STORESCU.exists() else 'pynetdicom'}\n")
    print(f"{'stage':<22}{'seconds':>9}{'share':>8}")
    for name, seconds in rows.items():
        print(f"{name:<22}{seconds:>9.2f}{seconds / total:>8.1%}")
    print(f"{'total':<22}{total:>9.2f}\n\npeak memory of the worker: {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
