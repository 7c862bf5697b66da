"""The kinds of value that a quality record may hold, each too narrow for a name, a UID or a free text."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from qc.periods import PERIOD_PATTERN, is_period

SITE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""A DNS label: it is part of a Kafka topic's name."""

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
HASH_PATTERN = r"^[0-9a-f]{64}$"
SLUG_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
VERSION_PATTERN = (
    r"^[0-9]{1,8}(?:[.][0-9]{1,8}){0,3}(?:[.-]?(?:a|b|rc|dev|post)[.]?[0-9]{0,8})?"
    r"(?:[+](?:g[0-9a-f]{4,40}|[0-9.]{1,16}))?$"
)
"""PEP 440 or semantic version with numbers or a commit only: too narrow for words."""

METRIC_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,47}$"


def _existing_period(period: str) -> str:
    if not is_period(period):
        raise ValueError("no such day, week or month")
    return period


SiteId = Annotated[str, Field(pattern=SITE_PATTERN)]
Slug = Annotated[str, Field(pattern=SLUG_PATTERN)]
Hash = Annotated[str, Field(pattern=HASH_PATTERN)]
Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
Period = Annotated[str, Field(pattern=PERIOD_PATTERN), AfterValidator(_existing_period)]
MetricName = Annotated[str, Field(pattern=METRIC_NAME_PATTERN)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Metrics = Annotated[
    Mapping[MetricName, FiniteFloat],
    Field(max_length=64),
    AfterValidator(lambda values: MappingProxyType(dict(values))),
    PlainSerializer(dict, return_type=dict[str, float]),
]


class ClosedModel(BaseModel):
    """A frozen record without room for unknown fields; nothing is converted."""

    # input is hidden because a refused value may be what must never leave the site, also not in a log
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)
