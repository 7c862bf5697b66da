"""The thread that purges goes on whatever fails."""

import threading
from typing import cast

import pytest

from dicom_listener.errors import SpoolError
from segwatch.housekeeping import Housekeeper, Housekeeping


class _FailingHousekeeping:
    def __init__(self, *errors: Exception) -> None:
        self._errors = iter(errors)

    def purge_due(self, _now: float) -> list[str]:
        raise next(self._errors)


class _Turns(threading.Event):
    """Lets a loop turn so often."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self._left = turns

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._left -= 1
        return self._left < 0


def test_a_purge_that_fails_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    failing = _FailingHousekeeping(SpoolError("the spool /x cannot be used: boom"), PermissionError("/secret"))

    Housekeeper(cast(Housekeeping, failing)).run(_Turns(2))

    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "purging failed (the spool /x cannot be used: boom); tried again in 60 s",
        "purging failed (PermissionError); tried again in 60 s",
    ]
