"""The log line of a decision about a series."""

import logging
from typing import Any

from dicom_listener.event_log import log_event
from dicom_listener.routing.routes import Route


def log_route(route: Route) -> None:
    """Log what was decided about a series."""
    fields = route_fields(route)
    parts = [
        f"series={route.series_key}",
        f"version={route.version}",
        f"decision={route.state.value}",
        f"reasons={','.join(fields['reasons']) or '-'}",
        f"rules={route.rules}",
    ]
    log_event(logging.INFO, f"series routed: {' '.join(parts)}", fields)


def route_fields(route: Route) -> dict[str, Any]:
    """The fields of a decision's line."""
    return {
        "event": "series_routed",
        "series": route.series_key,
        "version": route.version,
        "decision": route.state.value,
        "reasons": [reason.name for reason in route.reasons],
        "rules": route.rules,
    }
