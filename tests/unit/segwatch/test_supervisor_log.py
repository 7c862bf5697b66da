"""The supervisor says when it begins to stop and when it has."""

import logging

import pytest

from segwatch.supervisor import Supervisor


def test_stopping_and_stopped_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    supervisor = Supervisor([], {}, lambda _name, _text: None)
    supervisor.request_stop()
    assert supervisor.run() == 0
    assert [line.split(":")[0] for line in caplog.messages] == ["stopping", "stopped"]
