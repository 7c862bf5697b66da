"""What `segwatch status` and `lookup` print for people."""

from dicom_listener.routing.routes import Route, RouteState
from dicom_listener.routing.routing import Reason
from segwatch.commands.inspect import _remarks, utc_time
from segwatch.status import series_status
from tests.unit.segwatch.series_rows import row


def test_times_are_those_of_the_log() -> None:
    assert utc_time(1_700_000_000.9) == "2023-11-14T22:13:20Z"
    assert utc_time(None) == ""


def test_each_sentence_stands_behind_the_name_of_its_reason() -> None:
    reasons = (Reason("derived", "it is"), Reason("too_short", "90 mm"))
    route = Route("k", 1, "s", "default", RouteState.NOT_TAKEN, reasons, None, None, 0.0)
    several = series_status(row("k"), None, [], route)
    assert several.reason == "derived, too_short"
    assert _remarks(several) == "derived: it is; too_short: 90 mm"
    one = series_status(row("k"), None, [], Route("k", 1, "s", "r", RouteState.NOT_TAKEN, reasons[:1], None, None, 0.0))
    assert _remarks(one) == "derived: it is"
