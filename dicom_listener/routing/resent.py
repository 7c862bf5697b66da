"""Tells when a series that was left out is sent again under an AE title with other rules: it is not judged anew.

Its instances are here already, so its sender is answered Success and nothing further happens, which looks as if the
other rules had left it out too.
"""

import logging
from typing import Any

from sqlalchemy import Engine

from dicom_listener.association_report import AssociationReport
from dicom_listener.errors import in_short
from dicom_listener.event_log import log_event, printable
from dicom_listener.routing import routes
from dicom_listener.routing.routes import RouteState
from dicom_listener.routing.routing_rules import RuleBook

LOGGER = logging.getLogger(__name__)

_LEFT_OUT = (RouteState.NOT_TAKEN, RouteState.PASSED_OVER)
_MOST_NAMED = 5
"""Series in one line."""


class ResentSeries:
    """Looks at the end of each association whether it brought again what other rules had left out."""

    def __init__(self, engine: Engine, book: RuleBook) -> None:
        """`engine` is of the state; its tables exist."""
        self._engine = engine
        self._book = book
        self._has_choice = len({book.named(name).name for name in ("default", *book.by_called_ae_title.values())}) > 1

    def association_ended(self, report: AssociationReport) -> None:
        """Log one line for the association, where there is something to tell."""
        if not self._has_choice or not report.resent_keys:
            return
        rules = self._book.for_called(report.called_ae_title).name
        try:
            with self._engine.begin() as connection:
                left_out = [r for r in routes.newest_of(connection, report.resent_keys) if r.state in _LEFT_OUT]
        except Exception as error:  # noqa: BLE001 (a line of the log must not end an association's thread)
            LOGGER.error("it cannot be told whether a series was sent again under other rules: %s", in_short(error))
            return
        otherwise = {route.series_key: route.rules for route in left_out if route.rules not in ("", rules)}
        if otherwise:
            _log(sorted(otherwise), report.called_ae_title, rules, sorted(set(otherwise.values())))


def resent_fields(keys: list[str], called: str, rules: str, decided_by: list[str]) -> dict[str, Any]:
    """The fields of the line."""
    return {
        "event": "series_resent",
        "series": keys[:_MOST_NAMED],
        "series_count": len(keys),
        "called": printable(called),
        "rules": rules,
        "decided_by": decided_by,
    }


def _log(keys: list[str], called: str, rules: str, decided_by: list[str]) -> None:
    fields = resent_fields(keys, called, rules, decided_by)
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    parts = [
        f"series={','.join(fields['series'])}{more}",
        f"called={fields['called'] or '-'}",
        f"rules={rules}",
        f"decided_by={','.join(decided_by)}",
    ]
    advice = (
        "`segwatch series reprocess` segments it whatever the rules say, `segwatch series forget` and sending it once "
        "more has it judged by these"
    )
    text = f"sent again under an AE title with other rules, and not judged anew: {' '.join(parts)}; {advice}"
    log_event(logging.WARNING, text, fields)
