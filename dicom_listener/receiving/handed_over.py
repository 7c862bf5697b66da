"""A connection that a receiver has, as the listener sees it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from dicom_listener.association_report import Tally
from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.messages import GivenBack, Recall


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of a connection that was handed over; from other threads."""

    on_return: Callable[[], None]
    """It is back."""
    on_heard: Callable[[], None]
    """Its peer has sent an instance."""


class HandedOver:
    """A connection that a receiver has."""

    def __init__(self, channel: Channel, number: int, tally: Tally, watch: Watch) -> None:
        self.returned: GivenBack | None = None
        """Set once the connection is the listener's again."""
        self.tally = tally
        self._channel = channel
        self._number = number
        self._watch = watch
        self._asked: set[bool] = set()
        self.told = 0
        """Instances of it that the receiver told."""

    def recall(self, *, at_once: bool) -> None:
        """Ask for it: behind the data set that is on its way, or at once. Does not wait; may be called again."""
        if at_once not in self._asked:
            self._asked.add(at_once)
            with suppress(OSError):  # the receiver is gone: it comes back all the same
                self._channel.send(Recall(self._number, at_once))

    def heard(self) -> None:
        """Its peer has sent an instance."""
        self._watch.on_heard()

    @property
    def is_told(self) -> bool:
        """Whether it is back, and every instance of it that was acknowledged was told."""
        return self.returned is not None and self.told >= self.returned.acknowledged

    def end(self, given_back: GivenBack) -> None:
        """It came back."""
        self.returned = given_back
        self._watch.on_return()
