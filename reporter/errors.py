"""The errors of the reporter room, drawn once.

ReporterError
├── SegBuildError           the source headers do not allow a valid DICOM SEG
├── DeliveryError           a destination did not take an instance; try again later
│   └── DeliveryRefusedError    the destination refuses it; waiting does not help
├── PortInUseError          the demo's destination cannot listen
├── OutboxPayloadError      the outbox holds a message that this version cannot read
└── UnknownRecordError      no record of this id was made here
"""


class ReporterError(Exception):
    """Base of every error that reporter raises on purpose; its text is fit for a user and names no patient."""


class SegBuildError(ReporterError):
    """The source headers do not allow a valid DICOM SEG."""


class DeliveryError(ReporterError):
    """A destination did not take an instance."""


class DeliveryRefusedError(DeliveryError):
    """A destination refused for a reason that waiting does not change: a failure status, a rejected AE title."""


class PortInUseError(ReporterError):
    """The demo's destination cannot bind its port."""


class OutboxPayloadError(ReporterError):
    """The outbox holds a message that this version cannot read."""


class UnknownRecordError(ReporterError):
    """No record of this id was made here."""
