"""What holds identifiers cannot be read by other users of the host, whatever the umask."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from segwatch.database import make_engine, make_tables
from segwatch.private_files import make_private_database, make_private_folder
from segwatch.settings import SiteSettings
from segwatch.state_wiring import make_state_engine


@pytest.fixture(params=[0o022, 0o000, 0o077])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.usefixtures("_umask")
def test_folders_and_files_are_private_from_the_beginning(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "results"
    make_private_folder(folder)
    database = folder / "state.sqlite"
    make_private_database(database)
    engine = make_engine(f"sqlite:///{database}")
    make_tables(engine)
    with engine.begin():
        modes = {one.name: mode(one) for one in folder.iterdir()}
    engine.dispose()
    assert modes == {"state.sqlite": 0o640, "state.sqlite-wal": 0o640, "state.sqlite-shm": 0o640}
    assert (mode(folder), mode(folder.parent)) == (0o750, 0o750)


def test_a_database_that_is_there_is_tightened_and_a_folder_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    database, wal, own = (tmp_path / name for name in ("state.sqlite", "state.sqlite-wal", "own.sqlite"))
    for path in (database, wal):
        path.touch()
        path.chmod(0o664)
    own.touch()
    own.chmod(0o600)
    make_private_folder(tmp_path)
    make_private_database(database)
    make_private_database(own)
    assert [mode(path) for path in (database, wal, own, tmp_path)] == [0o640, 0o640, 0o600, 0o755]


def test_a_site_makes_its_data_private(tmp_path: Path) -> None:
    settings = SiteSettings.model_validate({"site": {"id": "clinic", "data_dir": str(tmp_path / "data")}})
    before = os.umask(0)
    try:
        make_state_engine(settings).dispose()
    finally:
        os.umask(before)
    data = tmp_path / "data"
    assert {one.name: mode(one) for one in (data, *data.iterdir()) if one.is_dir()} == {
        "data": 0o750,
        "results": 0o750,
        "spool": 0o750,
    }
    assert [mode(one) for one in data.iterdir() if one.is_file()] == [0o640]
