"""What the default rules decide about every series of the real files: one row of the table for each kind."""

from collections import defaultdict
from pathlib import Path

import pytest

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.routing.routing import decide
from dicom_listener.routing.routing_rules import DEFAULT_RULES
from dicom_listener.routing.series_traits import traits_of
from dicom_listener.spool.heads import read_head
from dicom_listener.spool.instance_head import InstanceHead

TAKEN: frozenset[str] = frozenset()
A_STACK = frozenset({"too_few_slices", "too_short"})
AN_OBJECT = frozenset({"sop_class", "modality"})

WANTED: dict[str, set[frozenset[str]]] = {
    # folder (and subfolder) -> the reasons of each of its series
    "chest_lidc0001": {TAKEN},
    "chest_cmbcrc_lungkernel": {TAKEN},
    # lung bases of an abdomen: PANCREAS, but described as "lung bases", and 175 mm; no header tells how much lung
    "abdomen_cptac_lungbases": {TAKEN},
    # PARTIALBODY says nothing; what is known is that 60 mm are no chest
    "abdomen_totalseg_j2k": {frozenset({"too_short"})},
    "chest_lidc_stacks": {A_STACK},
    "chest_slices_tcga": {A_STACK},
    "covid_slices_nysbu": {A_STACK, A_STACK | {"derived", "secondary"}, A_STACK | {"derived", "not_axial"}},
    "minimal_header": {A_STACK},
    "legacy_seg_lungfcp/ct": {A_STACK},
    "legacy_seg_lungfcp/seg": {A_STACK | {"segmentation_as_ct", "body_part"}},
    # SOP class UIDs that are none, and secondary captures labelled CT (of dicom_4d_enhanced), in one series each
    "odd_enhanced_ct/dicom_4d": {A_STACK | {"secondary_capture", "sop_class", "multi_frame", "body_part"}},
    "odd_enhanced_ct/eCT_Supplemental.dcm": {frozenset({"enhanced_ct", "derived"})},
    "odd_geometry_ct/gantrytilting": {A_STACK | {"not_axial"}},
    "odd_geometry_ct/sliceincrement": {A_STACK, A_STACK | {"not_axial"}},
    "odd_geometry_ct/notavolume": {A_STACK},
    "odd_geometry_ct/slicecount": {A_STACK | AN_OBJECT | {"not_axial"}},
    "odd_geometry_ct/sliceorientation": {AN_OBJECT | {"mixed_orientation", "not_axial", "too_few_slices"}},
    "odd_transfer_syntaxes": {
        A_STACK,
        AN_OBJECT | {"missing_geometry"},
        frozenset({"enhanced_ct", "derived"}),
    },
    "interop_dcmjs": {AN_OBJECT | {"missing_geometry"}, AN_OBJECT | {"multi_frame", "derived"}},
    "interop_dcmqi": {
        A_STACK,
        frozenset({"enhanced_ct"}),
        AN_OBJECT | {"multi_frame", "derived"},
        AN_OBJECT | {"missing_geometry"},
    },
    "interop_highdicom": {
        A_STACK | AN_OBJECT | {"missing_geometry"},
        AN_OBJECT | {"missing_geometry"},
        AN_OBJECT | {"missing_geometry", "derived"},
        AN_OBJECT | {"multi_frame", "derived"},
        frozenset({"too_few_slices", "body_part"}),
    },
}


@pytest.fixture(scope="module")
def series(test_data: Path) -> dict[tuple[str, str], list[InstanceHead]]:
    """Heads by the first folder in which a series lies, and the series."""
    found: dict[tuple[str, str], list[InstanceHead]] = defaultdict(list)
    places: dict[str, str] = {}
    for path in sorted(path for path in test_data.rglob("*") if path.is_file()):
        try:
            head = read_head(path)
        except UnreadableInstanceError:
            continue
        top, *rest = path.relative_to(test_data).parts
        place = f"{top}/{rest[0]}" if top.startswith(("odd_g", "odd_e", "legacy")) else top
        uids = f"{head.study_instance_uid} {head.series_instance_uid}"
        found[places.setdefault(f"{top} {uids}", place), uids].append(head)
    return found


@pytest.mark.parametrize("place", WANTED)
def test_the_series_of_a_folder(place: str, series: dict[tuple[str, str], list[InstanceHead]]) -> None:
    decisions = [decide(traits_of(heads), DEFAULT_RULES) for (where, _), heads in series.items() if where == place]
    assert {frozenset(reason.name for reason in decision.reasons) for decision in decisions} == WANTED[place]


def test_no_folder_is_forgotten(series: dict[tuple[str, str], list[InstanceHead]]) -> None:
    assert {place for place, _ in series} == {*WANTED, "odd_pydicom"}


def test_of_the_odd_files_none_is_taken(series: dict[tuple[str, str], list[InstanceHead]]) -> None:
    odd = [heads for (place, _), heads in series.items() if place == "odd_pydicom"]
    assert len(odd) > 20
    assert not any(decide(traits_of(heads), DEFAULT_RULES).taken for heads in odd)
