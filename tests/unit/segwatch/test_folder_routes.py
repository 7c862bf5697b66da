"""`segwatch routes` on real files: the decisions of the listener, without a word about a patient."""

import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

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
    assert (found.n_refused, found.n_other) == (0, 1)


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
    assert found.n_other > 30
    assert found.n_refused > 5


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
    assert found.n_refused == 2
    assert sorted(series.traits.n_instances for series in found.series) == [28, 30, 30]


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
    printed = re.sub(r'"series_number": .*', "", capsys.readouterr().out)  # one is also somebody's Patient ID
    assert "not_taken" in printed
    # short ids such as "1" are numbers of other things, and a key may hold any six digits
    told = {secret for secret in secrets if len(secret) > 5 and re.search(rf"\b{re.escape(secret)}\b", printed)}
    assert told == set()
