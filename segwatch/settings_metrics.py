"""The table of a site's settings that concerns metrics."""

from pydantic import Field

from segwatch.settings_sections import Section


class MetricsSection(Section):
    """Metrics of the listener for Prometheus, and its health, by HTTP."""

    host: str = Field("127.0.0.1", description="Address on which /metrics and /healthz are served.")
    port: int | None = Field(None, ge=1, le=65535, description="TCP port, e.g. 9464; left out: nothing is served.")
