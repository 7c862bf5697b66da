"""A stack without a gap, in whatever order and orientation its slices come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.completion.closed_geometry import SlicePlace, is_closed

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
MINIMUM = 10


def stack(count: int, spacing: float = 1.0, orientation: tuple[float, ...] = AXIAL) -> list[SlicePlace]:
    axis = 2 if orientation == AXIAL else 1
    return [
        SlicePlace(tuple(index * spacing if one == axis else -125.0 for one in range(3)), orientation)
        for index in range(count)
    ]


@given(
    count=st.integers(MINIMUM, 60),
    spacing=st.floats(0.3, 10),
    orientation=st.sampled_from([AXIAL, CORONAL]),
    data=st.data(),
)
def test_a_regular_stack_is_closed_in_any_order(
    count: int, spacing: float, orientation: tuple[float, ...], data: st.DataObject
) -> None:
    places = data.draw(st.permutations(stack(count, spacing, orientation)))
    assert is_closed(places, MINIMUM)
    assert not is_closed(places, count + 1)


@given(count=st.integers(MINIMUM + 2, 300), spacing=st.floats(0.05, 10), data=st.data())
def test_one_missing_slice_is_a_gap(count: int, spacing: float, data: st.DataObject) -> None:
    places = stack(count, spacing)
    del places[data.draw(st.integers(1, count - 2))]
    assert not is_closed(places, MINIMUM)


@given(count=st.integers(MINIMUM, 100), data=st.data())
def test_half_a_stack_is_closed_too_so_that_this_proves_nothing(count: int, data: st.DataObject) -> None:
    places = stack(2 * count)
    first = data.draw(st.integers(0, count))
    assert is_closed(places[first : first + count], MINIMUM)


@given(count=st.integers(MINIMUM, 100), data=st.data())
def test_two_slices_at_one_place_or_one_without_a_place_are_not_closed(count: int, data: st.DataObject) -> None:
    places = stack(count)
    one = places[data.draw(st.integers(0, count - 1))]
    assert not is_closed([*places, one], MINIMUM)
    assert not is_closed([*places, None], MINIMUM)


@pytest.mark.parametrize(
    "places",
    [
        [],
        [None] * 20,
        stack(1),
        stack(MINIMUM) + stack(MINIMUM, orientation=CORONAL),
        [SlicePlace((0.0, 0.0, float(z)), (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)) for z in range(20)],
        [SlicePlace((0.0, 0.0, float(z)), (0.0,) * 6) for z in range(20)],
        [SlicePlace((0.0, 0.0, z**1.2), AXIAL) for z in range(20)],
        [SlicePlace((0.0, 0.0, 1e300 * (-1) ** z), AXIAL) for z in range(20)],
    ],
    ids=["nothing", "no places", "one", "two orientations", "no normal", "zeros", "irregular", "huge"],
)
def test_what_is_no_regular_stack_is_not_closed(places: list[SlicePlace | None]) -> None:
    assert not is_closed(places, 2)


def test_positions_written_with_one_decimal_are_close_enough() -> None:
    places = [SlicePlace((0.0, 0.0, round(0.75 * index, 1)), AXIAL) for index in range(40)]
    assert is_closed(places, MINIMUM)
