"""The composition of the command line."""

import gc
import importlib
from types import ModuleType

import pytest

from segwatch import cli


@pytest.mark.parametrize("fails", [False, True])
def test_no_garbage_is_looked_for_while_code_is_read(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    read, collecting = importlib.import_module, []

    def import_module(name: str) -> ModuleType:
        collecting.append(gc.isenabled())
        if fails:
            raise ImportError(name)
        return read(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    if fails:
        with pytest.raises(ImportError, match="setup"):
            cli.make_app("init")
    else:
        cli.make_app("init")
    assert collecting == [False]
    assert gc.isenabled()
