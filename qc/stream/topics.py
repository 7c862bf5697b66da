"""The names of the topics, and which of them a reader wants.

One metrics topic per site: a consumer cannot see who produced a message, so the broker's access rule on the topic is
what keeps one site from writing as another (`docs/` has the rules for Kafka).
"""

import re
from dataclasses import dataclass

from qc.errors import StreamError

METRICS_PREFIX = "segwatch.metrics.v1."
VERDICTS = "segwatch.verdicts.v1"
ALERTS = "segwatch.alerts.v1"
DEAD_LETTERS = "segwatch.deadletter.v1"
HEARTBEATS = "segwatch.heartbeat.v1"

_LEGAL_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""Kafka's rule: org.apache.kafka.common.internals.Topic, LEGAL_CHARS and MAX_NAME_LENGTH."""


def check_topic(topic: str) -> str:
    """Return the name when Kafka would take it, so that it is a safe file name too. Raises `StreamError`."""
    if _LEGAL_TOPIC.fullmatch(topic) is None or topic in {".", ".."}:
        raise StreamError(
            f"{topic!r} is no topic name: 1 to 249 of the letters a-z, A-Z, 0-9, '.', '_' and '-' are allowed"
        )
    return topic


def metrics_topic(site: str) -> str:
    """Name the topic on which a site publishes its quality records. Raises `StreamError`."""
    return check_topic(METRICS_PREFIX + site)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a source reads: topics by name, and all topics that begin with a prefix, also those that appear later."""

    names: tuple[str, ...] = ()
    prefix: str | None = None

    def __post_init__(self) -> None:
        """Refuse a subscription to nothing. Raises `StreamError`."""
        if not self.names and not self.prefix:
            raise StreamError("a subscription needs at least one topic name or a prefix")
        for name in self.names:
            check_topic(name)

    def matches(self, topic: str) -> bool:
        """Tell whether the topic belongs to the subscription."""
        return re.fullmatch(self.pattern, topic) is not None

    @property
    def pattern(self) -> str:
        """The subscription as one regular expression over whole names (anchored, as Kafka clients match)."""
        parts = [re.escape(name) for name in self.names]
        if self.prefix:
            parts.append(re.escape(self.prefix) + r"[A-Za-z0-9._-]+")
        return f"^(?:{'|'.join(parts)})$"


ALL_METRICS = Subscription(prefix=METRICS_PREFIX)
