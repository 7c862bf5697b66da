"""What the command line turns into a sentence: the error trees of the rooms, and the composition root's own.

SegwatchError
├── SettingsError       a settings file that cannot be used
└── UsageError          a command that cannot do what it was asked
"""

from dicom_listener.errors import ListenerError
from inference.errors import InferenceError
from qc.errors import QualityError
from reporter.errors import ReporterError


class SegwatchError(Exception):
    """Base of the composition root's own errors; its text is fit for a user."""


class SettingsError(SegwatchError):
    """A settings file that cannot be used."""


class UsageError(SegwatchError):
    """A command that cannot do what it was asked."""


ROOM_ERRORS = (SegwatchError, ListenerError, InferenceError, QualityError, ReporterError)
"""Every error that is an answer to a person rather than a defect."""
