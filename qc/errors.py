"""The errors of the quality room, drawn once.

QualityError
├── DecodeError             bytes that are no valid quality record
│   └── NewerSchemaError        a record of a schema that this version does not know yet: park it
├── EventConflictError      another record under an event id that is known already
├── MetricSetError          a metric set or a metric that is not registered
├── DetectorError           a detector file that is malformed
│   └── FeatureMismatchError    a detector fitted on other metrics than it is given
├── AlertRuleError          parameters of the alert rule that contradict each other
├── StreamError             the message log does not answer or refuses
└── StoreError              the central store does not answer
"""


class QualityError(Exception):
    """Base of every error that qc raises on purpose; its text is fit for a user and names no patient."""


class DecodeError(QualityError):
    """Bytes that are no valid quality record."""


class NewerSchemaError(DecodeError):
    """A record whose schema version is newer than this software knows; it is to be parked, not refused."""


class EventConflictError(QualityError):
    """Another record under an event id that is known already."""


class MetricSetError(QualityError):
    """A metric set or a metric that is not registered."""


class DetectorError(QualityError):
    """A detector file that is malformed."""


class FeatureMismatchError(DetectorError):
    """A detector that was fitted on other metrics than it is given."""


class AlertRuleError(QualityError):
    """Parameters of the alert rule that contradict each other."""


class StreamError(QualityError):
    """The message log does not answer or refuses."""


class StoreError(QualityError):
    """The central store does not answer."""
