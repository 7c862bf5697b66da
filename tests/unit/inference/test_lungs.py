from pathlib import Path

import numpy as np
import pytest

from inference.errors import RejectionReason, SeriesRejectedError
from inference.lungs import find_lungs
from inference.phantom import Phantom, make_phantom
from inference.phantom_lesions import LesionKind
from inference.read_series import ReadLimits, read_series
from inference.volume import Volume

KINDS = (LesionKind.NODULE, LesionKind.GROUND_GLASS)


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return make_phantom(21, shape=(75, 100, 120), spacing_mm=(4.0, 3.0, 3.0), lesions=5, kinds=KINDS, noise_hu=20.0)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def block(shape: tuple[int, int, int], hu: float) -> Volume:
    """A cylinder of `hu` in air, 3 mm voxels."""
    _, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    body = np.hypot((y - shape[1] / 2) / (0.35 * shape[1]), (x - shape[2] / 2) / (0.42 * shape[2])) < 1
    voxels = np.where(body, hu, -1000.0) + np.zeros(shape)
    return Volume(voxels=voxels.astype(np.float32), affine=np.diag([3.0, 3.0, 3.0, 1.0]))


def test_finds_the_lungs_of_a_phantom_with_their_lesions(chest: Phantom) -> None:
    lungs = find_lungs(chest.volume)
    assert lungs.dtype == bool
    assert lungs.shape == chest.volume.voxels.shape
    assert dice(lungs, chest.lung_mask) > 0.96
    lesion = chest.lesion_mask == 1
    assert (lungs & lesion).sum() / lesion.sum() > 0.85


def test_neither_table_nor_stomach_nor_outside_air_is_lung(chest: Phantom) -> None:
    outside = find_lungs(chest.volume) & ~chest.lung_mask
    # a bubble under a diaphragm thinner than a voxel is joined to the lung: some millilitres of several litres
    assert (outside & (chest.volume.voxels < -960)).sum() < 0.005 * chest.lung_mask.sum()


@pytest.mark.parametrize("flip", [(0,), (1,), (2,), (0, 1)])
def test_the_order_of_slices_rows_and_columns_does_not_matter(chest: Phantom, flip: tuple[int, ...]) -> None:
    turned = Volume(voxels=np.flip(chest.volume.voxels, flip).copy(), affine=chest.volume.affine)
    assert dice(np.flip(find_lungs(turned), flip), chest.lung_mask) > 0.96


def test_a_thin_stack_is_enough(chest: Phantom) -> None:
    part = slice(35, 39)
    stack = Volume(voxels=chest.volume.voxels[part].copy(), affine=chest.volume.affine)
    assert dice(find_lungs(stack), chest.lung_mask[part]) > 0.95


def test_strong_noise_of_a_sharp_kernel_is_survived() -> None:
    noisy = make_phantom(22, shape=(60, 150, 180), spacing_mm=(5.0, 2.0, 2.0), noise_hu=120.0)
    assert dice(find_lungs(noisy.volume), noisy.lung_mask) > 0.95


def test_a_small_consolidation_at_the_pleura_is_taken_in(chest: Phantom) -> None:
    voxels = chest.volume.voxels.copy()
    z, y, x = np.ogrid[: voxels.shape[0], : voxels.shape[1], : voxels.shape[2]]
    border = np.argwhere(chest.lung_mask[40, 50])[0, 0]  # the right lung's lateral pleura
    ball = (((z - 40) * 4) ** 2 + ((y - 50) * 3) ** 2 + ((x - border) * 3) ** 2 < 10**2) & chest.lung_mask
    voxels[ball] = 40.0
    lungs = find_lungs(Volume(voxels=voxels, affine=chest.volume.affine))
    assert ball.sum() > 40
    assert (lungs & ball).sum() / ball.sum() > 0.7


def gassy_abdomen() -> Volume:
    volume = block((40, 100, 120), 40.0)
    z, y, x = np.ogrid[:40, :100, :120]
    rng = np.random.default_rng(0)
    for _ in range(12):
        place = rng.uniform([5, 35, 35], [35, 65, 85])
        bubble = np.sqrt((z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2) - rng.uniform(3, 8)
        volume.voxels[:] = np.minimum(volume.voxels, np.clip(bubble, 0, 1) * 1040 - 1000)
    return volume


@pytest.mark.parametrize(
    "volume",
    [
        pytest.param(block((30, 80, 80), 40.0), id="soft tissue"),
        pytest.param(block((30, 80, 80), -1000.0), id="nothing but air"),
        pytest.param(gassy_abdomen(), id="abdomen with bowel gas"),
    ],
)
def test_no_lungs_in_view_is_a_named_rejection(volume: Volume) -> None:
    with pytest.raises(SeriesRejectedError) as caught:
        find_lungs(volume)
    assert caught.value.reason is RejectionReason.NO_LUNGS


def real(folder: Path) -> Volume:
    return read_series([path for path in folder.rglob("*") if path.suffix == ".dcm"], ReadLimits(minimum_slices=2))


@pytest.mark.parametrize(
    ("name", "low_ml", "high_ml"),
    [
        ("chest_lidc0001", 3500, 4100),
        ("chest_cmbcrc_lungkernel", 4200, 4900),
        ("chest_lidc_stacks/LIDC-IDRI-0003", 700, 900),
        ("legacy_seg_lungfcp/ct", 60, 110),
        ("abdomen_cptac_lungbases", 850, 1100),  # the bases of both lungs are in view
    ],
)
def test_real_chests_have_lungs_of_aerated_tissue(test_data: Path, name: str, low_ml: float, high_ml: float) -> None:
    volume = real(test_data / name)
    lungs = find_lungs(volume)
    assert low_ml < lungs.sum() * volume.voxel_volume_mm3 / 1000 < high_ml
    assert -900 < np.median(volume.voxels[lungs]) < -700


def test_a_real_abdomen_without_lungs_is_rejected(test_data: Path) -> None:
    folder = test_data / "abdomen_totalseg_j2k"
    volume = read_series(list(folder.glob("CT.*")), ReadLimits(minimum_slices=2))
    with pytest.raises(SeriesRejectedError, match="no_lungs"):
        find_lungs(volume)
