"""`segwatch routes` on real files: the decisions of the listener, without a word about a patient."""

import io
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import typer
from pydicom import dcmread
from rich.console import Console

from dicom_listener.errors import UnreadableInstanceError
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing import Reason
from dicom_listener.routing.routing_rules import Choose, RoutingRules, RuleBook
from dicom_listener.spool.heads import read_head
from inference.errors import NoInstancesError
from inference.phantom_dicom import PhantomIdentity, write_ct_series
from inference.volume import Volume
from segwatch.commands.routes import routes
from segwatch.errors import UsageError
from segwatch.folder_files import Unusable
from segwatch.folder_routes import folder_routes


def nobody(_heads: object) -> None:
    return None


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two eligible series and a localizer of one study, and a file that is none."""
    folder = tmp_path / "study"
    volume = Volume(np.zeros((30, 8, 8), dtype=np.float32), np.diag([10.0, 4.5, 4.5, 1.0])[[2, 1, 0, 3]])
    for seed in (1, 2, 3):
        files = write_ct_series(volume, folder / str(seed), seed=seed, identity=PhantomIdentity(study_seed=1))
        for path in files:
            image = dcmread(path)
            if seed == 3:
                image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            image.ConvolutionKernel = "LUNG" if seed == 2 else "STANDARD"
            image.save_as(path)
    (folder / "README.txt").write_text("notes")
    return folder


def test_of_a_study_the_best_is_taken(study: Path) -> None:
    found = folder_routes(study, RuleBook(), nobody)
    first, *others = found.series
    assert (first.state, first.traits.kernel) == (RouteState.TAKEN, ("LUNG",))
    assert {series.state for series in others} == {RouteState.NOT_TAKEN, RouteState.PASSED_OVER}
    assert {series.study for series in found.series} == {1}
    assert [(file.name, file.why) for file in found.unusable] == [("README.txt", Unusable.NOT_DICOM)]


def test_all_are_taken_where_rules_say_so(study: Path) -> None:
    book = RuleBook((RoutingRules(name="research", choose=Choose.ALL),))
    found = folder_routes(study, book, nobody, rules="research")
    assert [series.state for series in found.series] == [RouteState.TAKEN, RouteState.TAKEN, RouteState.NOT_TAKEN]


def test_opted_out(study: Path) -> None:
    found = folder_routes(study, RuleBook(), lambda _heads: Reason("opted_out", "its study is on the list"))
    assert {series.state for series in found.series} == {RouteState.OPTED_OUT}


def test_a_mixture_of_everything(test_data: Path) -> None:
    found = folder_routes(test_data, RuleBook(), nobody)
    taken = sorted(series.traits.n_instances for series in found.series if series.state is RouteState.TAKEN)
    # the chests of LIDC (of which a stack repeats 16 slices) and CMB-CRC, and the lung bases of CPTAC
    assert taken == [35, 100, 133]
    unusable = {file.name: file for file in found.unusable}
    assert unusable["README.md"].why is Unusable.NOT_DICOM
    assert unusable["odd_pydicom/test_files/dicomdirtests/DICOMDIR"].why is Unusable.DIRECTORY
    abdomens = [file for name, file in unusable.items() if name.startswith("abdomen_totalseg_j2k/CT.")]
    assert {(file.why, file.detail) for file in abdomens} == {
        (Unusable.WITHOUT_UIDS, "missing or no UID: Study Instance UID, Series Instance UID")
    }
    copies = {name.partition("/")[0] for name, file in unusable.items() if file.why is Unusable.COPY}
    assert "chest_lidc_stacks" in copies
    n_files = sum(path.is_file() for path in test_data.rglob("*"))
    assert sum(series.traits.n_instances for series in found.series) + len(unusable) == n_files


@pytest.mark.parametrize(
    ("folder", "kind", "reason"),
    [
        ("legacy_seg_lungfcp/seg", "CT Image Storage", "segmentation_as_ct"),
        ("chest_slices_tcga", "CT Image Storage", "too_few_slices"),
        ("odd_enhanced_ct", "Enhanced CT Image Storage", "enhanced_ct"),
        ("odd_pydicom", "Secondary Capture Image Storage", "secondary_capture"),
        ("odd_pydicom", "MR Image Storage", "sop_class"),
    ],
)
def test_what_is_no_chest_ct_is_told_by_kind_and_reason(test_data: Path, folder: str, kind: str, reason: str) -> None:
    found = folder_routes(test_data / folder, RuleBook(), nobody)
    those = [series for series in found.series if series.kind == kind]
    assert those
    for series in those:
        assert series.state is RouteState.NOT_TAKEN
        assert reason in {one.name for one in series.reasons}
        assert (test_data / folder / series.first_file).is_file()


def test_what_is_no_folder_or_holds_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoInstancesError, match="does not exist"):
        folder_routes(tmp_path / "nowhere", RuleBook(), nobody)
    with pytest.raises(NoInstancesError, match="holds no DICOM instance"):
        folder_routes(tmp_path, RuleBook(), nobody)


def test_rules_that_are_not_there_are_told(study: Path) -> None:
    with pytest.raises(UsageError, match="known are default"):
        folder_routes(study, RuleBook(), nobody, rules="research")


def test_files_without_identifiers_are_counted_and_copies_are_not(study: Path) -> None:
    for path in sorted((study / "1").glob("*.dcm"))[:2]:
        image = dcmread(path)
        del image.SeriesInstanceUID
        image.save_as(path)
    shutil.copy(study / "1" / "ct0005.dcm", study / "again.dcm")
    found = folder_routes(study, RuleBook(), nobody)
    assert {file.name: file.why for file in found.unusable if file.name != "README.txt"} == {
        "1/ct0002.dcm": Unusable.WITHOUT_UIDS,
        "1/ct0001.dcm": Unusable.WITHOUT_UIDS,
        "again.dcm": Unusable.COPY,
    }
    assert [file.detail for file in found.unusable if file.why is Unusable.COPY] == ["the same as in 1/ct0005.dcm"]
    assert sorted(series.traits.n_instances for series in found.series) == [28, 30, 30]


def test_where_no_series_is_there_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ct_series(Volume(np.zeros((3, 8, 8), dtype=np.float32), np.eye(4)[[2, 1, 0, 3]]), tmp_path, seed=1)
    for path in tmp_path.glob("*.dcm"):
        image = dcmread(path)
        del image.SeriesInstanceUID
        image.save_as(path)
    routes(tmp_path)
    printed = capsys.readouterr().out
    assert printed.startswith("no series\n")
    assert "decision" not in printed


def test_that_a_description_decided_over_the_body_part_is_noted(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in study.rglob("*.dcm"):
        image = dcmread(path)
        image.BodyPartExamined, image.SeriesDescription = "PANCREAS", "LUNG BASES 5MM"
        image.StudyDescription = image.ProtocolName = ""
        image.save_as(path)
    routes(study)
    printed = capsys.readouterr().out
    assert "note: a description fits *lung* of chest_descriptions" in printed
    assert "BASES" not in printed


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_that_is_printed_names_a_patient(
    test_data: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    secrets = set()
    for path in (path for path in test_data.rglob("*") if path.is_file()):
        with suppress(UnreadableInstanceError):
            head = read_head(path)
            secrets |= {head.patient_id, head.study_instance_uid, head.series_instance_uid, head.sop_instance_uid}
            secrets |= {head.series_description, head.study_description, head.protocol_name}
    routes(test_data, as_json=as_json)
    printed = capsys.readouterr().out.replace("Segmentation Storage", "")  # a class, and somebody's description
    number = r'"series_number": .*' if as_json else r"(?m)^ +\d+ +\d+"  # one is also somebody's Patient ID
    printed = re.sub(number, "", printed)
    names = [str(path.relative_to(test_data)) for path in test_data.rglob("*") if path.is_file()]
    for name in sorted(names, key=len, reverse=True):  # what they hold is their owner's doing, and told in the help
        printed = printed.replace(name, "")
    assert "not_taken" in printed
    # short ids such as "1" are numbers of other things, and a key may hold any six digits
    told = {secret for secret in secrets if len(secret) > 5 and re.search(rf"\b{re.escape(secret)}\b", printed)}
    assert told == set()


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_judged(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "gone.dcm").symlink_to(study / "nowhere")
    os.mkfifo(study / "pipe")  # whoever opened it would wait for ever
    (study / "bell\x07.txt").write_text("what a terminal must not be told")
    with pytest.raises(typer.Exit) as ended:
        routes(study)
    assert ended.value.exit_code == 1
    shown = capsys.readouterr()
    assert "1 unused: cannot be read\n  gone.dcm: No such file or directory\n" in shown.out
    assert "1 unused: no regular file\n  pipe\n" in shown.out
    assert "  bell?.txt\n" in shown.out
    assert "1 not_taken, 1 passed_over, 1 taken" in shown.out
    assert shown.err.startswith("segwatch: 1 file or folder below")


@pytest.mark.parametrize(("is_terminal", "width"), [(False, 10), (True, 200), (True, 80), (True, 40)])
def test_nothing_of_the_table_is_cut(
    study: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool, width: int
) -> None:
    text = io.StringIO()
    shown = Console(file=text, force_terminal=is_terminal, width=width, soft_wrap=True, color_system=None)
    monkeypatch.setattr("segwatch.commands.console.console", shown)
    monkeypatch.setattr("segwatch.commands.routes.console", shown)
    routes(study)
    printed = text.getvalue()
    assert "…" not in printed
    assert all(word in printed for word in ("study", "number", "slices", "thick", "long", "series", "kernel"))
    rows = [row.split() for row in printed.splitlines() if row.startswith("    1 ")]
    assert sorted(row[-1] for row in rows) == ["not_taken", "passed_over", "taken"]
    assert printed.count("STANDARD") == 2
