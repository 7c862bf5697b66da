"""C-STORE status values in words (PS3.4 B.2.3, PS3.7 C), and what each means for a delivery."""

from reporter.errors import DeliveryError, DeliveryRefusedError
from reporter.outcome import Outcome

SUCCESS = 0x0000
DUPLICATE_INSTANCE = 0x0111
"""The archive holds the instance already: an earlier try arrived although its answer did not."""
WARNINGS = {
    0x0001: "requested optional attributes are not supported",
    0x0107: "attribute list error",
    0x0116: "attribute value out of range",
    0xB000: "elements were coerced",
    0xB006: "elements were discarded",
    0xB007: "the data set does not match its SOP class",
}
REFUSALS = {
    0x0110: "processing failure",
    0x0112: "no such instance",
    0x0117: "invalid SOP instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate message",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
}


def outcome_of_status(status: int) -> Outcome:
    """Judge the status of a C-STORE response.

    A warning means stored. Out of resources (A7xx) and processing failure may pass; every other failure is a refusal.
    """
    if status == SUCCESS:
        return Outcome()
    if status == DUPLICATE_INSTANCE:
        return Outcome(warning="status 0111: the destination holds this instance already")
    if status in WARNINGS or status & 0xF000 == 0xB000:
        return Outcome(warning=f"status {status:04X}: {WARNINGS.get(status, 'warning')}")
    words = _words(status)
    if status & 0xFF00 == 0xA700 or status == 0x0110:
        return Outcome(error=DeliveryError(f"the destination answered status {status:04X}: {words}"))
    return Outcome(error=DeliveryRefusedError(f"the destination refused with status {status:04X}: {words}"))


def _words(status: int) -> str:
    if status in REFUSALS:
        return REFUSALS[status]
    if status & 0xFF00 == 0xA700:
        return "out of resources; free space there"
    if status & 0xFF00 == 0xA900:
        return "the data set does not match its SOP class; see the destination's log"
    if status & 0xF000 == 0xC000:
        return "cannot understand the data set; see the destination's log"
    return "failure; see the destination's log"
