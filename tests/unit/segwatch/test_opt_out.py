"""The opt-out list: hashes that fit under one secret, never an identifier, never ignored."""

from pathlib import Path

import pytest

from dicom_listener import state
from dicom_listener.errors import RoutingError
from dicom_listener.spool.spool import Spool
from segwatch import opt_out_acts
from segwatch.database import make_engine, make_tables
from segwatch.errors import SettingsError, UsageError
from segwatch.opt_out import OptOutKind, make_entry, opt_out_check, read_entries, write_entries
from segwatch.opt_out_acts import OptOutDesk, OptOutVerb
from tests.unit.dicom_listener.instance_heads import chest_head
from tests.unit.segwatch.site_room import SiteRoom, small_ct

SECRET, OTHER_SECRET = b"k" * 32, b"o" * 32
HEADS = [chest_head(1, patient_id="SECRET-ID", study_instance_uid="1.2.3.4")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "opt-out.txt"


@pytest.fixture
def desk(path: Path, tmp_path: Path) -> OptOutDesk:
    engine = make_engine(f"sqlite:///{tmp_path / 'state.sqlite'}")
    make_tables(engine, state.metadata, opt_out_acts.metadata)
    return OptOutDesk(path, SECRET, engine, Spool(tmp_path / "spool", high_watermark=1.1))


def test_no_list_opts_nobody_out() -> None:
    assert opt_out_check(None, lambda: SECRET)(HEADS) is None


@pytest.mark.parametrize(("kind", "identifier"), [("patient", "SECRET-ID"), ("study", "1.2.3.4")])
def test_a_series_falls_under_an_entry_as_soon_as_it_is_written(desk: OptOutDesk, kind: str, identifier: str) -> None:
    write_entries(desk.path, SECRET, frozenset())
    check = opt_out_check(desk.path, lambda: SECRET)
    assert check(HEADS) is None
    entry, is_new = desk.add(OptOutKind(kind), f" {identifier} ", by="Dr Who", reason="objected", now=1.0)
    reason = check(HEADS)
    assert is_new
    assert reason is not None
    assert (reason.name, entry.key[:12] in reason.detail) == ("opted_out", True)
    assert identifier not in reason.detail
    assert check([chest_head(1, patient_id="OTHER", study_instance_uid="1.2")]) is None
    desk.remove(OptOutKind(kind), identifier, by="Dr Who", reason="withdrawn", now=2.0)
    assert check(HEADS) is None


def test_a_name_for_one_purpose_says_nothing_about_another() -> None:
    keys = {make_entry(SECRET, kind, "1.2.3").key for kind in OptOutKind}
    assert len(keys) == 2
    assert make_entry(OTHER_SECRET, OptOutKind.PATIENT, "1.2.3").key not in keys


def test_acts_are_kept_and_identifiers_are_not(desk: OptOutDesk, tmp_path: Path) -> None:
    entry, _ = desk.add(OptOutKind.PATIENT, "SECRET-ID", by="Dr Who", reason="objected", now=1.0)
    assert desk.add(OptOutKind.PATIENT, "SECRET-ID", by="x", reason="y", now=2.0) == (entry, False)
    desk.remove(OptOutKind.PATIENT, "SECRET-ID", by="Dr No", reason="withdrawn", now=3.0)
    assert [(act.entry, act.verb, act.by, act.at) for act in desk.acts()] == [
        (entry, OptOutVerb.ADD, "Dr Who", 1.0),
        (entry, OptOutVerb.REMOVE, "Dr No", 3.0),
    ]
    desk.engine.dispose()
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert entry.key.encode() in content
    assert b"SECRET-ID" not in content


def test_what_cannot_be_written_is_not_kept_as_done(desk: OptOutDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise SettingsError("the disk is full")

    monkeypatch.setattr(opt_out_acts, "write_entries", fail)
    with pytest.raises(SettingsError):
        desk.add(OptOutKind.PATIENT, "SECRET-ID", by="x", reason="y", now=1.0)
    assert desk.acts() == []


def test_a_list_of_another_secret_is_refused_not_ignored(desk: OptOutDesk) -> None:
    desk.add(OptOutKind.PATIENT, "SECRET-ID", by="x", reason="y", now=1.0)
    with pytest.raises(SettingsError, match="another site secret"):
        opt_out_check(desk.path, lambda: OTHER_SECRET)


def test_an_empty_list_fits_every_secret(path: Path) -> None:
    path.touch()
    assert opt_out_check(path, lambda: SECRET)(HEADS) is None


@pytest.mark.parametrize("line", ["patient SECRET-ID", "patient 12", "nobody " + "a" * 64, "secret " + "a" * 64])
def test_a_line_that_is_no_entry_is_named_and_not_quoted(path: Path, line: str) -> None:
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(SettingsError, match=r"opt-out\.txt: line 2 is no entry") as told:
        read_entries(path, SECRET)
    assert line not in str(told.value)


def test_a_list_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        opt_out_check(path, lambda: SECRET)


def test_a_list_that_goes_away_while_the_listener_runs_stops_decisions(path: Path) -> None:
    path.touch()
    check = opt_out_check(path, lambda: SECRET)
    path.unlink()
    with pytest.raises(RoutingError, match="no such file"):
        check(HEADS)


@pytest.mark.parametrize(
    ("kind", "identifier"), [("patient", "  "), ("patient", "x" * 65), ("patient", "a\nb"), ("study", "not a UID")]
)
def test_what_is_no_identifier_is_told_and_not_quoted(desk: OptOutDesk, kind: str, identifier: str) -> None:
    with pytest.raises(UsageError, match="this is no") as told:
        desk.add(OptOutKind(kind), identifier, by="x", reason="y", now=1.0)
    assert identifier.strip() not in str(told.value) or not identifier.strip()
    assert not desk.path.exists()


def test_removing_what_is_not_on_the_list_is_told(desk: OptOutDesk) -> None:
    desk.path.touch()
    with pytest.raises(UsageError, match="not on the opt-out list"):
        desk.remove(OptOutKind.PATIENT, "SECRET-ID", by="x", reason="y", now=1.0)


def test_the_list_keeps_its_mode(desk: OptOutDesk) -> None:
    desk.path.touch(mode=0o600)
    desk.path.chmod(0o604)
    desk.add(OptOutKind.PATIENT, "SECRET-ID", by="x", reason="y", now=1.0)
    assert desk.path.stat().st_mode & 0o777 == 0o604


def test_series_that_are_here_already_are_named(tmp_path: Path, path: Path) -> None:
    room = SiteRoom(tmp_path / "room")
    make_tables(room.engine, opt_out_acts.metadata)
    key = room.receive(small_ct(tmp_path / "ct"))
    desk = OptOutDesk(path, SECRET, room.engine, room.spool)
    with room.engine.begin() as connection:
        study = state.find_by_prefix(connection, key).study_instance_uid
    for kind, identifier in ((OptOutKind.STUDY, study), (OptOutKind.PATIENT, "PHANTOM-0001")):
        assert desk.series_here(make_entry(SECRET, kind, identifier)) == [key]
    assert desk.series_here(make_entry(SECRET, OptOutKind.PATIENT, "somebody else")) == []
