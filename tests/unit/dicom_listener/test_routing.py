from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing import RoutingReason, decide, overruled_body_part
from dicom_listener.routing.routing_rules import DEFAULT_RULES, Patterns, RoutingRules, Span
from dicom_listener.routing.series_traits import traits_of
from tests.unit.dicom_listener.instance_heads import chest_head, chest_heads


def reasons(rules: RoutingRules = DEFAULT_RULES, *, count: int = 120, spacing: float = 2.0, **changes: Any) -> set[str]:
    return {reason.name for reason in decide(traits_of(chest_heads(count, spacing=spacing, **changes)), rules).reasons}


@pytest.mark.parametrize("body_part", ["CHEST", "", "THORAX", "LUNG", "CHESTABDOMEN", "TH CT CHEST WO C"])
def test_an_axial_chest_is_taken_with_or_without_a_body_part(body_part: str) -> None:
    assert reasons(body_part=body_part) == set()
    assert reasons(body_part=body_part, series_description="", study_description="") == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"modality": ""},
        {"slice_thickness": None},
        {"kernel": ()},
        {"image_type": ()},
        {"manufacturer": "", "series_number": None},
        {"body_part": "ABDOMEN"},  # the description says chest
    ],
)
def test_what_is_missing_or_contradicts_does_not_speak_against_a_series(changes: dict[str, Any]) -> None:
    assert reasons(**changes) == set()


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, {"localizer"}),
        ({"image_type": ("DERIVED", "PRIMARY", "MPR")}, {"derived"}),
        ({"image_type": ("DERIVED", "SECONDARY", "AXIAL")}, {"derived", "secondary"}),
        ({"orientation": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)}, {"not_axial", "too_few_slices", "too_short"}),
        ({"count": 1}, {"too_few_slices", "too_short"}),
        ({"count": 19, "spacing": 6.0}, {"too_few_slices"}),
        ({"count": 40, "spacing": 1.0}, {"too_short"}),
        ({"spacing": 12.0}, {"slice_thickness", "spacing"}),
        ({"orientation": None}, {"missing_geometry"}),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2.1", "number_of_frames": 120}, {"enhanced_ct"}),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.3"}, {"secondary_capture"}),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4", "modality": "MR"}, {"sop_class", "modality"}),
        ({"modality": "SEG"}, {"segmentation_as_ct"}),
        ({"modality": "PT"}, {"modality"}),
        ({"number_of_frames": 3}, {"multi_frame"}),
        ({"samples_per_pixel": 3}, {"colour"}),
        ({"is_whole": False}, {"unreadable"}),
        ({"body_part": "HEAD", "study_description": "", "series_description": "H30s"}, {"body_part"}),
        ({"series_description": "Thorax MIP 8mm"}, {"description"}),
    ],
)
def test_what_is_left_out_by_default(changes: dict[str, Any], wanted: set[str]) -> None:
    assert reasons(**changes) == wanted


def test_mixed_orientation_as_of_two_localizers() -> None:
    heads = [*chest_heads(40), chest_head(99, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))]
    assert "mixed_orientation" in {reason.name for reason in decide(traits_of(heads), DEFAULT_RULES).reasons}


def test_every_reason_is_told() -> None:
    found = reasons(count=3, modality="PT", image_type=("DERIVED", "SECONDARY", "LOCALIZER"), body_part="FOOT",
                    study_description="", series_description="scout")  # fmt: skip
    wanted = {"modality", "localizer", "derived", "secondary", "too_few_slices", "too_short", "body_part"}
    assert found == wanted | {"description"}


def test_limits_include_their_ends() -> None:
    rules = RoutingRules(minimum_slices=50, minimum_length_mm=100.0, spacing=Span(2.0, 2.0), axial_tolerance_degrees=0)
    assert reasons(rules, count=50, spacing=2.0) == set()
    assert reasons(rules, count=49, spacing=2.0) == {"too_few_slices", "too_short"}


def test_patterns_ignore_case_and_missing_values_fit_none() -> None:
    lung_only = RoutingRules(kernels=Patterns(include=("b7*", "LUNG")))
    assert reasons(lung_only, kernel=("B70f",)) == set()
    assert reasons(lung_only, kernel=("B30f",)) == {"kernel"}
    assert reasons(lung_only, kernel=()) == {"kernel"}
    not_sharp = RoutingRules(kernels=Patterns(exclude=("*70*",)))
    assert reasons(not_sharp, kernel=()) == set()
    assert reasons(not_sharp, kernel=("B70f", "3")) == {"kernel"}


def test_kernel_classes() -> None:
    soft = RoutingRules(kernel_classes=(KernelClass.SOFT,))
    assert reasons(soft) == set()
    assert reasons(soft, kernel=("B70f",)) == {"kernel"}
    assert reasons(soft, kernel=()) == {"kernel"}


def test_body_parts_and_descriptions_may_be_demanded() -> None:
    chest_only = RoutingRules(body_parts=Patterns(include=("chest",)), chest_descriptions=())
    assert reasons(chest_only) == set()
    assert reasons(chest_only, body_part="") == {"body_part"}
    covid = RoutingRules(descriptions=Patterns(include=("*covid*",)))
    assert reasons(covid, study_description="CT Thorax COVID-19") == set()
    assert reasons(covid) == {"description"}


def test_switches_let_in_what_is_left_out_by_default() -> None:
    anything = RoutingRules(localizers=True, derived=True, secondary=True, axial_tolerance_degrees=90)
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    heads = [
        replace(head, position=(0.0, 2.0 * n, 0.0), orientation=coronal, image_type=("DERIVED", "SECONDARY", "MPR"))
        for n, head in enumerate(chest_heads(120))
    ]
    assert decide(traits_of(heads), anything).taken


def test_no_value_of_a_file_stands_in_a_reason() -> None:
    texts: dict[str, Any] = {
        "body_part": "DOE^JOHN",
        "series_description": "mip of DOE^JOHN",
        "study_description": "DOE",
    }
    heads = chest_heads(5, modality="X^DOE", kernel=("DOE",), **texts)
    rules = RoutingRules(
        kernels=Patterns(include=("B*",)), body_parts=Patterns(include=("CHEST",)), chest_descriptions=()
    )
    details = " ".join(reason.detail for reason in decide(traits_of(heads), rules).reasons)
    assert "kernel" in details
    assert "DOE" not in details


@pytest.mark.parametrize(
    ("modality", "told"),
    [("MR", "MR"), ("PT", "PT"), ("DOE^JANE", "no term of the standard"), ("DOE", "no term of the standard")],
)
def test_the_modality_is_told_where_the_standard_knows_it(modality: str, told: str) -> None:
    [reason] = decide(traits_of(chest_heads(120, modality=modality)), RoutingRules()).reasons
    assert (reason.name, reason.detail) == ("modality", f"Modality is {told}, not CT")


def test_a_description_that_overrules_the_body_part_is_told_by_its_pattern() -> None:
    def told(**texts: Any) -> str | None:
        traits = traits_of(chest_heads(120, study_description="", **texts))
        return overruled_body_part(traits, RoutingRules())

    lung_bases = told(body_part="PANCREAS", series_description="LUNG BASES 5MM")
    assert lung_bases is not None
    assert lung_bases.startswith("a description fits *lung* of chest_descriptions, so it does not count that Body Part")
    assert lung_bases.endswith("Examined fits PANCREAS, which is left out")  # the pattern
    assert "BASES" not in lung_bases
    assert told(body_part="PANCREAS", series_description="5MM") is None
    assert told(body_part="CHEST", series_description="LUNG") is None


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_no_pattern_raises(pattern: str, value: str, other: str) -> None:
    rules = RoutingRules(
        kernels=Patterns((pattern,), (other,)),
        body_parts=Patterns((pattern,), (other,)),
        descriptions=Patterns((pattern,), (other,)),
        chest_descriptions=(other,),
    )
    decision = decide(traits_of([chest_head(kernel=(value,), body_part=value, series_description=other)]), rules)
    assert {reason.name for reason in decision.reasons} <= set(RoutingReason)
