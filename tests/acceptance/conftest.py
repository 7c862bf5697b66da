"""What the acceptance tests share: a small chest, a quick model, and hosts set up by the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference.phantom import make_phantom
from inference.phantom_dicom import PhantomIdentity, write_ct_series
from inference.volume import Volume
from tests.acceptance.hosts import Central, Site
from tests.peers.cli import SegwatchCli
from tests.peers.kafka import KafkaBroker
from tests.unit.inference.packages import write_package
from tests.unit.inference.tiny_onnx import one_node_model

SLICES = 24
SHAPE, SPACING_MM = (SLICES, 64, 72), (10.0, 5.0, 5.0)
PATCH = (32, 96, 96)


@pytest.fixture(scope="session")
def chest() -> Volume:
    """A generated chest on a coarse grid of 24 slices, in which the lungs are found."""
    return make_phantom(7, shape=SHAPE, spacing_mm=SPACING_MM, lesions=3).volume


@pytest.fixture
def write_series(chest: Volume, tmp_path: Path) -> Callable[..., list[Path]]:
    """A function that writes the chest as the series of a seed: equal pixels, other UIDs; gives its files."""

    def write(seed: int, identity: PhantomIdentity | None = None) -> list[Path]:
        return write_ct_series(chest, tmp_path / f"ct-{seed}", seed=seed, identity=identity)

    return write


@pytest.fixture(scope="session")
def quick_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Manifest of a real ONNX model that takes no time: it calls everything above 200 HU a lesion."""
    content = one_node_model(shape=(1, 1, *PATCH))
    folder = tmp_path_factory.mktemp("model")
    manifest = write_package(
        folder, content, name="quick", version="1.0.0", spacing_mm=[4.0, 4.0, 4.0], window_hu=[0, 400], patch=PATCH
    )
    return str(manifest)


@pytest.fixture
def slow_model(tmp_path: Path) -> str:
    """Manifest of a model whose small patches overlap much: many seconds."""
    content = one_node_model(shape=(1, 1, 16, 16, 16))
    manifest = write_package(tmp_path / "slow", content, name="slow", version="1", window_hu=[0, 400], overlap=0.8)
    return str(manifest)


@pytest.fixture
def make_site(segwatch_cli: SegwatchCli) -> Callable[..., Site]:
    """A function that sets up a site: `make_site("clinic", {"listener.quiet_seconds": 1.0}, [destination])`."""

    def make(*arguments: object, **options: object) -> Site:
        return Site(segwatch_cli, *arguments, **options)  # type: ignore[arg-type] # handed through

    return make


@pytest.fixture
def make_central(segwatch_cli: SegwatchCli) -> Callable[..., Central]:
    """A function that sets up central operations: `make_central({"stream.kind": "kafka"})`."""

    def make(*arguments: object, **options: object) -> Central:
        return Central(segwatch_cli, *arguments, **options)  # type: ignore[arg-type] # handed through

    return make


@pytest.fixture(scope="module")
def own_broker(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real broker of this file's own, because central reads the topics of every site."""
    broker = KafkaBroker(kafka_home, tmp_path_factory.mktemp("broker"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
