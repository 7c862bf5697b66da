from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from inference.phantom import Phantom, make_phantom
from inference.phantom_lesions import LesionKind

SMALL = (40, 56, 64)
SMALL_SPACING = (8.0, 6.0, 6.0)


@cache
def small(seed: int, **options: object) -> Phantom:
    return make_phantom(seed, shape=SMALL, spacing_mm=SMALL_SPACING, **options)  # type: ignore[arg-type]  # forwarded


def test_same_seed_gives_the_same_phantom_and_another_seed_another() -> None:
    first, other = small(3), small(5)
    second = make_phantom(3, shape=SMALL, spacing_mm=SMALL_SPACING)
    np.testing.assert_array_equal(first.volume.voxels, second.volume.voxels)
    np.testing.assert_array_equal(first.lesion_mask, second.lesion_mask)
    assert not np.array_equal(first.lung_mask, other.lung_mask)


def test_slices_run_from_feet_to_head_in_lps() -> None:
    volume = small(3).volume
    np.testing.assert_allclose(volume.affine[:3, :3], [[0, 0, 6], [0, 6, 0], [8, 0, 0]])
    middle = volume.affine @ [*(np.array(SMALL) - 1) / 2, 1]
    np.testing.assert_allclose(middle, [0, 0, -10, 1], atol=1e-3)
    # the liver lies at the patient's right, below; the apices above hold less lung than the middle
    lung_area = small(3).lung_mask.sum(axis=(1, 2))
    assert lung_area[2] < lung_area[20] > lung_area[37]


def test_lungs_are_air_of_plausible_volume_and_lesions_lie_inside() -> None:
    phantom = small(7, lesions=5, noise_hu=0.0)
    litres = phantom.lung_mask.sum() * np.prod(SMALL_SPACING) / 1e6
    assert 2.5 < litres < 9
    assert -920 < np.median(phantom.volume.voxels[phantom.lung_mask]) < -700
    assert phantom.lesion_mask.any()
    assert not (phantom.lesion_mask.astype(bool) & ~phantom.lung_mask).any()
    assert phantom.volume.voxels.dtype == np.float32
    assert phantom.lesion_mask.dtype == np.uint8


def test_healthy_chest_has_no_lesion_and_is_otherwise_the_same_patient() -> None:
    healthy, ill = small(7, lesions=0, noise_hu=0.0), small(7, lesions=5, noise_hu=0.0)
    assert not healthy.lesion_mask.any()
    np.testing.assert_array_equal(healthy.lung_mask, ill.lung_mask)
    far = ~ndimage.binary_dilation(ill.lung_mask)  # thick voxels at the pleura hold some of a lesion
    np.testing.assert_allclose(healthy.volume.voxels[far], ill.volume.voxels[far], atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (LesionKind.GROUND_GLASS, -750, -250),
        (LesionKind.CONSOLIDATION, -250, 150),
        (LesionKind.NODULE, -450, 250),
    ],
)
def test_lesions_have_the_density_of_their_kind(kind: LesionKind, low: float, high: float) -> None:
    phantom = make_phantom(11, shape=(70, 80, 100), spacing_mm=(4.0, 3.0, 3.0), lesions=5, kinds=(kind,), noise_hu=0.0)
    assert low < np.median(phantom.volume.voxels[phantom.lesion_mask == 1]) < high


def test_two_spacings_show_the_same_patient() -> None:
    fine = make_phantom(9, shape=(80, 96, 96), spacing_mm=(3.0, 3.0, 3.0), lesions=4, noise_hu=0.0)
    coarse = make_phantom(9, shape=(40, 48, 48), spacing_mm=(6.0, 6.0, 6.0), lesions=4, noise_hu=0.0)
    pooled = fine.volume.voxels.reshape(40, 2, 48, 2, 48, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(pooled.ravel(), coarse.volume.voxels.ravel())[0, 1] > 0.99
    small_lungs = fine.lung_mask.reshape(40, 2, 48, 2, 48, 2).mean(axis=(1, 3, 5)) > 0.5
    overlap = 2 * (small_lungs & coarse.lung_mask).sum() / (small_lungs.sum() + coarse.lung_mask.sum())
    assert overlap > 0.97


def test_large_grids_are_drawn_coarser_and_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"shape": (20, 120, 120), "spacing_mm": (3.0, 0.9, 0.9), "lesions": 4, "noise_hu": 0.0}
    direct = make_phantom(2, **options)  # type: ignore[arg-type]  # forwarded
    monkeypatch.setattr("inference.phantom.RENDER_BUDGET", 1000)
    interpolated = make_phantom(2, **options)  # type: ignore[arg-type]  # forwarded
    overlap = (direct.lung_mask == interpolated.lung_mask).mean()
    assert overlap > 0.995
    assert np.abs(direct.volume.voxels - interpolated.volume.voxels).mean() < 25


def test_noise_has_the_deviation_asked_for() -> None:
    quiet, noisy = small(7, lesions=0, noise_hu=0.0), small(7, lesions=0, noise_hu=30.0)
    difference = noisy.volume.voxels - quiet.volume.voxels
    body = quiet.volume.voxels > -900
    assert difference[body].std() == pytest.approx(30, rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [{"shape": (0, 4, 4)}, {"spacing_mm": (1.0, 0.0, 1.0)}, {"lesions": -1}, {"kinds": ()}],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    options: dict[str, object] = {"shape": SMALL, "spacing_mm": SMALL_SPACING} | wrong
    with pytest.raises(ValueError, match="must"):
        make_phantom(0, **options)  # type: ignore[arg-type]  # forwarded
