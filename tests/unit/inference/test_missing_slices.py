"""How many slices are missing, and where."""

import numpy as np

from inference.slice_geometry import _missing, _where


def test_one_slice_and_several() -> None:
    assert _missing(1) == "1 slice is missing"
    assert _missing(3) == "about 3 slices are missing"


def test_the_first_gap_is_named_by_its_ends() -> None:
    along = np.array([-10.0, -7.5, -2.5, 0.0, 5.0])
    gaps = np.diff(along)
    assert _where(gaps, along, 2.5) == "between -7.5 and -2.5 mm along the normal of the stack, and elsewhere"
    assert _where(gaps[:3], along[:4], 2.5) == "between -7.5 and -2.5 mm along the normal of the stack"
