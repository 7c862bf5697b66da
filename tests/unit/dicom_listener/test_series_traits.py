import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing import decide
from dicom_listener.routing.routing_rules import DEFAULT_RULES
from dicom_listener.routing.series_traits import traits_of
from dicom_listener.spool.instance_head import InstanceHead
from tests.unit.dicom_listener.instance_heads import chest_head, chest_heads


def test_the_traits_of_a_chest() -> None:
    traits = traits_of(chest_heads(120, spacing=2.5))
    assert (traits.n_positions, traits.spacing_mm, traits.length_mm) == (120, 2.5, 300.0)
    assert (traits.slice_thickness_mm, traits.effective_thickness_mm, traits.pixel_spacing_mm) == (2.5, 2.5, 0.7)
    assert (traits.angle_to_axial_degrees, traits.has_one_orientation, traits.is_regular) == (0.0, True, True)
    assert (traits.kernel_class, traits.called_ae_title) == (KernelClass.SOFT, "SEGWATCH")


def test_the_order_of_the_heads_does_not_matter() -> None:
    heads = chest_heads(30)
    assert traits_of(heads[::-2] + heads[::2]) == traits_of(heads)


@pytest.mark.parametrize("degrees", [0.0, 9.0, 45.0, 90.0])
def test_the_angle_to_the_axial_plane(degrees: float) -> None:
    angle = math.radians(degrees)
    tilted = (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))
    found = traits_of(chest_heads(orientation=tilted)).angle_to_axial_degrees
    assert found == pytest.approx(degrees)


@pytest.mark.parametrize(
    "orientation", [None, (0.0,) * 6, (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0, 1.0, 0.0)]
)
def test_cosines_that_span_no_plane_are_no_geometry(orientation: tuple[float, ...] | None) -> None:
    traits = traits_of(chest_heads(30, orientation=orientation))
    assert (traits.n_without_geometry, traits.angle_to_axial_degrees, traits.n_positions) == (30, None, 0)


def test_cosines_that_are_rounded_are_a_plane() -> None:
    assert traits_of(chest_heads(30, orientation=(0.9996, 0.0, 0.0, 0.0, 1.0004, 0.0))).n_without_geometry == 0


def test_gaps_double_positions_and_tilt_are_irregular() -> None:
    heads = chest_heads(30)
    assert not traits_of(heads[:10] + heads[11:]).is_regular
    assert not traits_of([*heads, replace(heads[3], sop_instance_uid="1.9")]).is_regular
    sheared = [replace(h, position=(0.0, 0.4 * i, 2.0 * i)) for i, h in enumerate(heads)]
    assert not traits_of(sheared).is_regular
    assert traits_of([*heads, replace(heads[3], sop_instance_uid="1.9")]).n_positions == 30


def test_an_image_that_was_only_compressed_is_not_derived() -> None:
    image_type = ("DERIVED", "PRIMARY", "AXIAL")
    assert traits_of([chest_head(image_type=image_type, is_lossy=True)]).n_derived == 0
    assert traits_of([chest_head(image_type=image_type)]).n_derived == 1
    assert traits_of([chest_head(image_type=("DERIVED", "PRIMARY", "MPR"), is_lossy=True)]).n_derived == 1


def test_a_later_reconstruction_is_not_secondary() -> None:
    assert traits_of([chest_head(image_type=("ORIGINAL", "SECONDARY", "AXIAL"))]).n_secondary == 0
    assert traits_of([chest_head(image_type=("DERIVED", "SECONDARY", "AXIAL"))]).n_secondary == 1
    assert traits_of([chest_head(image_type=("ORIGINAL", "SECONDARY", "OTHER"))]).n_secondary == 1


def test_most_senders_name_the_ae_title() -> None:
    heads = chest_heads(2, called_ae_title="RESEARCH") + [chest_head(n, called_ae_title="SEGWATCH") for n in (3, 4, 5)]
    assert traits_of(heads).called_ae_title == "SEGWATCH"


def test_no_free_text_in_the_text_of_traits() -> None:
    assert "Thorax" not in repr(traits_of(chest_heads(3)))


number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
odd_values: dict[str, st.SearchStrategy[Any]] = {
    "position": st.none() | st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
    "orientation": st.none() | st.tuples(*[st.sampled_from([0.0, 1.0, -1.0, 0.70710678, 1e300])] * 6),
    "pixel_spacing": st.none() | st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    "slice_thickness": number,
    "number_of_frames": st.none() | st.integers(-3, 3),
    "image_type": st.lists(st.text(max_size=4), max_size=4).map(tuple),
    "kernel": st.lists(st.text(max_size=6), max_size=3).map(tuple),
    "modality": st.text(max_size=4),
    "body_part": st.text(max_size=8),
    "series_description": st.text(max_size=8),
    "sop_class_uid": st.text("0123456789.", max_size=12),
}
odd_heads = st.lists(
    st.fixed_dictionaries(odd_values).flatmap(
        lambda changes: st.integers(0, 9).map(lambda n: chest_head(n, **changes))
    ),
    max_size=6,
)


@given(odd_heads)
def test_no_head_makes_traits_or_decision_raise(heads: list[InstanceHead]) -> None:
    traits = traits_of(heads)
    assert all(not isinstance(value := getattr(traits, f.name), float) or not math.isnan(value) for f in fields(traits))
    decision = decide(traits, DEFAULT_RULES)
    assert decision.taken == (not decision.reasons)
