"""A bounded sample of `python -m tests.survival kills`."""

from pathlib import Path

import pytest

from tests.survival.kills import kill_many_times
from tests.survival.listener import INTAKES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("intake", INTAKES)
def test_whatever_is_acknowledged_survives_kills(tmp_path: Path, intake: str) -> None:
    report = kill_many_times(tmp_path, intake, times=12)
    assert report.problems == []
    assert report.kills.total() == 12
    assert len(report.kills) == 4
    assert report.acknowledged >= 100
