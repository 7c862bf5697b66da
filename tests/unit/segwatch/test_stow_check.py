"""What `segwatch doctor` says of STOW-RS."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_listener.spool.spool import Spool
from segwatch import stow_wiring
from segwatch.errors import UsageError
from segwatch.settings import SiteSettings


def settings(folder: Path, **stow: int) -> SiteSettings:
    return SiteSettings.model_validate({"site": {"id": "x", "data_dir": folder}, "listener": {"stow": stow}})


def test_switched_off_it_needs_no_spool(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no folder")
    assert stow_wiring.examine(settings(tmp_path)) == "off (listener.stow.port is not set)"


def test_another_segwatch_is_told_from_ours(tmp_path: Path, free_port: Callable[[], int]) -> None:
    ours = settings(tmp_path, port=free_port())
    spool = Spool(tmp_path / "spool")
    server = stow_wiring.make_stow_server(ours, spool, lambda _stored: None, ())
    with stow_wiring.running(server):
        with pytest.raises(UsageError, match="another Segwatch"):
            stow_wiring.examine(ours)
        spool.claim()
        assert stow_wiring.examine(ours).startswith("a STOW-RS server answers on port")
    spool.release()
