"""Storage commitment as the settings want it."""

from pathlib import Path
from typing import Any

import pytest

from dicom_listener.commitment.commitment import FailureReason, RetryPolicy
from dicom_listener.commitment.commitment_service import (
    NO_SUCH_ACTION,
    NO_SUCH_CLASS,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    STATUS_OF_ERROR,
    SUCCESS,
)
from dicom_listener.network.scp_settings import ScpSettings
from dicom_listener.peers import Peer
from dicom_listener.spool.spool import Spool
from segwatch.commitment_wiring import check_commitment, make_commitment
from segwatch.database import make_engine
from segwatch.errors import UsageError
from segwatch.settings import SiteSettings

PEER = {"ae_title": "PACS", "host": "pacs", "port": 104}
MUTE_PEER = {"ae_title": "CT"}


def _settings(*peers: dict[str, Any], **commitment: Any) -> SiteSettings:
    listener = {"commitment": commitment, "peers": peers}
    return SiteSettings.model_validate({"site": {"id": "x"}, "spool": {"retention_hours": 6}, "listener": listener})


def _nothing_waits() -> None:
    return


def test_it_is_off_unless_asked_for(tmp_path: Path) -> None:
    engine = make_engine("sqlite://")
    spool = Spool(tmp_path / "spool", high_watermark=1.1)
    assert check_commitment(_settings(PEER)) == "off"
    assert make_commitment(_settings(PEER), spool, engine, ScpSettings(), _nothing_waits) is None
    engine.dispose()


def test_the_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    engine = make_engine("sqlite://")
    service = make_commitment(
        _settings(PEER, enabled=True, maximum_references=7, maximum_pending=3, same_association=False),
        Spool(tmp_path / "spool", high_watermark=1.1),
        engine,
        ScpSettings(peers=(Peer("PACS", (), "pacs", 104),), sop_classes=("1.2",)),
        _nothing_waits,
    )
    engine.dispose()
    assert service is not None
    assert (service.maximum_references, service.maximum_pending) == (7, 3)
    assert service.reporter.first_wait_seconds == 0.0


def test_doctor_warns_of_what_commitment_means_here() -> None:
    text = check_commitment(_settings(PEER, MUTE_PEER, enabled=True))
    assert text.startswith("WARNING: on, for 6 h after delivery (spool.retention_hours)")
    assert "1 of 2 peers can be called back" in text


def test_doctor_refuses_reports_that_cannot_arrive() -> None:
    assert "0 of 1" in check_commitment(_settings(MUTE_PEER, enabled=True))
    with pytest.raises(UsageError, match="no report can arrive"):
        check_commitment(_settings(MUTE_PEER, enabled=True, same_association=False))


def test_the_page_lists_every_status_and_reason() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "storage-commitment.md").read_text(encoding="utf-8")
    given = {status for _, status, _ in STATUS_OF_ERROR}
    given |= {SUCCESS, PROCESSING_FAILURE[0], NO_SUCH_INSTANCE[0], NO_SUCH_CLASS[0], NO_SUCH_ACTION[0]}
    statuses = page.partition("| status | when |")[2].partition("\n\n")[0]
    assert {int(row[2:6], 16) for row in statuses.splitlines()[2:]} == given
    reasons = page.partition("| instance | answer |")[2].partition("\n\n")[0]
    for reason in FailureReason:
        assert f"{reason:04X}" in reasons
    assert f"up to {RetryPolicy().longest_seconds:g} s" in page
