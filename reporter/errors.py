"""The errors of the reporter room, drawn once.

ReporterError
├── SegBuildError           the source headers do not allow a valid DICOM SEG
├── DeliveryError           a destination did not take an instance; try again later
│   └── DeliveryRefusedError    the destination answered with a failure status
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
    """A destination answered a C-STORE with a failure status."""


class OutboxPayloadError(ReporterError):
    """The outbox holds a message that this version cannot read."""


class UnknownRecordError(ReporterError):
    """No record of this id was made here."""
