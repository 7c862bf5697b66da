"""The log on standard error: one line an event, and libraries kept short."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest
from pydicom.dataelem import DataElement

from dicom_listener.event_log import FIELDS
from segwatch.logs import LIBRARY_LEVELS, start_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARY_LEVELS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def fail_in(name: str) -> None:
    try:
        raise ConnectionRefusedError("quoted data")
    except ConnectionRefusedError:
        logging.getLogger(name).exception("it went wrong")


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_library_is_heard_without_its_traceback(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("DEBUG", "json" if style == "json" else "text")
    fail_in("highdicom.seg")
    written = capsys.readouterr().err
    assert "it went wrong" in written
    assert "Traceback" not in written
    assert "quoted data" not in written


def test_our_own_defects_keep_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "text")
    fail_in("segwatch.somewhere")
    assert "Traceback" in capsys.readouterr().err


def test_no_warning_of_a_library_quotes_a_data_set() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        start_logging("DEBUG", "text")
        DataElement(0x00080018, "UI", "1..2.quoted")
        warnings.warn("of our own", stacklevel=1)
    assert [str(one.message) for one in heard] == ["of our own"]


def test_json_is_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")
    logging.getLogger("segwatch.worker").warning("series %s: %s", "abc", "two\nlines")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["level"], event["logger"], event["message"]) == (
        "WARNING",
        "segwatch.worker",
        "series abc: two\nlines",
    )
    assert event["time"].endswith("Z")


def test_json_has_the_fields_of_an_event_and_nothing_else_that_is_attached(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "json")
    fields = {"event": "association", "bytes": 12, "message": "not this one"}
    logging.getLogger("dicom_listener.event_log").info(
        "association released", extra={FIELDS: fields, "patient": "by accident"}
    )
    event = json.loads(capsys.readouterr().err)
    assert set(event) == {"time", "level", "logger", "message", "process", "event", "bytes"}
    assert (event["event"], event["bytes"], event["message"]) == ("association", 12, "association released")


def test_text_is_the_message_alone(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("INFO", "text")
    logging.getLogger("dicom_listener.event_log").info("association released", extra={FIELDS: {"bytes": 12}})
    assert capsys.readouterr().err.endswith("dicom_listener.event_log: association released\n")


def test_libraries_that_quote_data_or_repeat_themselves_are_quiet_at_debug(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging("DEBUG", "text")
    logging.getLogger("pynetdicom.assoc").error("Patient ID 4711")
    logging.getLogger("kafka.net.manager").error("no broker, several times a second")
    logging.getLogger("sqlalchemy.engine").info("INSERT 4711")
    assert capsys.readouterr().err == ""
