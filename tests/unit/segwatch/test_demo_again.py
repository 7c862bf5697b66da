"""A demo over the output of an earlier one says what becomes of it."""

from pathlib import Path

import pytest

from segwatch.commands import demo as command
from segwatch.demo import MARKER
from segwatch.errors import UsageError


@pytest.mark.parametrize("earlier", [True, False])
def test_what_an_earlier_demo_made_is_said_to_be_replaced(
    earlier: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_out: Path) -> None:
        raise UsageError("far enough")

    if earlier:
        (tmp_path / MARKER).touch()
    monkeypatch.setattr(command, "prepared_demo", stop)
    with pytest.raises(UsageError, match="far enough"):
        command.demo(out=tmp_path)
    assert (f"replaces {tmp_path}, what an earlier demo made" in capsys.readouterr().out) is earlier
