"""One receiver, as the listener sees it."""

import logging
import os
import signal
from contextlib import suppress
from queue import SimpleQueue

from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.handed_over import HandedOver
from dicom_listener.receiving.messages import Message

LOGGER = logging.getLogger(__name__)

_SILENT_SECONDS = 10.0
"""After which one that says nothing is asked whether it is alive, and asked again."""
_UNANSWERED = 3
"""After how many questions it is ended: where everything was frozen for a while, the listener may wake first."""


class ReceiverProcess:
    """What it holds, what it owes, and whether it is alive."""

    def __init__(self, channel: Channel) -> None:
        """Follow the receiver at the other end of a channel."""
        self.channel = channel
        self.held: dict[int, HandedOver] = {}
        self.owing: dict[int, HandedOver] = {}
        """Given back, while instances of it are still to be told."""
        self.filing: list[SimpleQueue[bool]] = []
        """Who waits for the answer to `FileAll`, the first answer is for the first."""
        self.process_id: int | None = None
        """None until it takes connections."""
        self.unanswered = 0
        """How often it was asked whether it is alive since it said something."""

    def hear(self) -> Message | None:
        """What it says next; None when it ended, or was ended because it hangs."""
        while not self.channel.wait(_SILENT_SECONDS):
            if self.process_id is None:
                continue  # on its way; it may wait for the disk
            if self.unanswered == _UNANSWERED:
                self._end_hung(self.process_id)
                break
            self.unanswered += 1
            with suppress(OSError):  # found at the next turn
                self.channel.ping()
        self.unanswered = 0
        got = self.channel.receive()
        return None if got is None else got[0]

    def _end_hung(self, process_id: int) -> None:
        LOGGER.error("a process that receives instances hangs, it did not answer for a while: it is ended")
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
        # one that waits for a disk does not even die now; should it wake all the same, it cannot tell us of an
        # instance any more, and so answers nobody. What it told before is still to be heard
        self.channel.shut()
