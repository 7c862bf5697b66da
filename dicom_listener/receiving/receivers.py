"""The receivers of a listener: started, given connections, followed, and started again when one ends."""

import itertools
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from dicom_listener.association_report import Tally
from dicom_listener.errors import ListenerError, ReceiverError
from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.messages import (
    GivenBack,
    HandOver,
    LogLine,
    Message,
    Ready,
    Recall,
    ReceiverSettings,
    Return,
    Stored,
)
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)

_START_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
"""Before one that ended is replaced: what ended it may come again at once."""


class HandedOver:
    """A connection that a receiver has."""

    def __init__(self, channel: Channel, number: int, tally: Tally, on_return: Callable[[], None]) -> None:
        self.returned: GivenBack | None = None
        """Set once the connection is the listener's again."""
        self.tally = tally
        self._channel = channel
        self._number = number
        self._on_return = on_return
        self._asked: set[bool] = set()

    def recall(self, *, at_once: bool) -> None:
        """Ask for it: behind the data set that is on its way, or at once. Does not wait; may be called again."""
        if at_once not in self._asked:
            self._asked.add(at_once)
            with suppress(OSError):  # the receiver is gone: it comes back all the same
                self._channel.send(Recall(self._number, at_once))

    def end(self, given_back: GivenBack) -> None:
        """It came back."""
        self.returned = given_back
        self._on_return()


class _Receiver:
    """One receiver, as the listener sees it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.held: dict[int, HandedOver] = {}
        self.process_id = 0
        self.is_ready = threading.Event()


class Receivers:
    """A number of receivers over one spool; for any number of threads."""

    def __init__(
        self,
        settings: ReceiverSettings,
        count: int,
        *,
        note: Callable[[StoredInstance, Tally], None],
        tidy_up: Callable[[], object],
    ) -> None:
        """Make receivers that do nothing before `start`.

        Args:
            settings: what each is told.
            count: how many, at least 1.
            note: told of each durable instance with the tally of its association, before its sender is answered.
            tidy_up: called when one has ended by itself: what it left half done is nobody's. May raise `ListenerError`.
        """
        self._settings = settings
        self._count = count
        self._note = note
        self._tidy_up = tidy_up
        self._numbers = itertools.count(1)
        self._receivers: list[_Receiver] = []
        self._followers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._starter: subprocess.Popen[bytes] | None = None
        self._starter_socket: socket.socket | None = None

    @property
    def process_ids(self) -> list[int]:
        """Of the receivers that run."""
        with self._lock:
            return [one.process_id for one in self._receivers]

    def start(self) -> None:
        """Start them and wait until they are ready. Raises `ReceiverError`: they do not start."""
        log_level = logging.getLogger("dicom_listener").getEffectiveLevel()
        self._settings = replace(self._settings, log_level=log_level)
        for _ in range(self._count):
            self._start_one()
        with self._lock:
            started = list(self._receivers)
        if not all(one.is_ready.wait(_START_SECONDS) for one in started) or len(started) < self._count:
            self.stop()
            raise ReceiverError("the processes that receive instances do not start; see the lines before this one")

    def stop(self) -> None:
        """End them; what they still hold comes back as lost."""
        self._stop.set()
        with self._lock:
            receivers, followers = list(self._receivers), list(self._followers)
        for one in receivers:
            one.channel.shut()
        for follower in followers:
            follower.join()
        if self._starter_socket is not None:
            self._starter_socket.close()
        if self._starter is not None:
            self._starter.wait()

    def hand_over(
        self, connection: socket.socket, message: HandOver, tally: Tally, on_return: Callable[[], None]
    ) -> HandedOver | None:
        """Give a connection to the receiver that has the fewest; None when there is no receiver.

        Args:
            connection: stays open here; nobody may read or send until it returns.
            message: what is known of it; its number is chosen here.
            tally: of its association.
            on_return: called from another thread when the connection is ours again.
        """
        message = replace(message, number=next(self._numbers))
        with self._lock:
            ready = [one for one in self._receivers if one.is_ready.is_set()]
            if not ready:
                return None
            receiver = min(ready, key=lambda one: len(one.held))
            handed_over = HandedOver(receiver.channel, message.number, tally, on_return)
            receiver.held[message.number] = handed_over
        try:
            receiver.channel.send(message, connection.fileno())
        except OSError:  # it ended just now
            with self._lock:
                receiver.held.pop(message.number, None)
            return None
        return handed_over

    def _start_one(self) -> None:
        ours, theirs = Channel.pair()
        receiver = _Receiver(ours)
        try:
            self._ask_starter(theirs)
            ours.send(self._settings)
        except OSError as error:
            LOGGER.error("a process that receives instances was not started: %s", error.strerror or error)
            ours.close()
            return
        finally:
            theirs.close()
        with self._lock:
            self._receivers.append(receiver)
            follower = threading.Thread(target=self._follow, args=(receiver,), name="receiver", daemon=True)
            self._followers.append(follower)
        follower.start()

    def _ask_starter(self, channel: Channel) -> None:
        if self._starter is None or self._starter.poll() is not None:
            self._start_starter()
        assert self._starter_socket is not None  # noqa: S101 (made above)
        socket.send_fds(self._starter_socket, [b"+"], [channel.fileno()])

    def _start_starter(self) -> None:
        if self._starter_socket is not None:
            self._starter_socket.close()
        self._starter_socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._starter = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                # -P: what lies in the working directory is no module of ours
                [sys.executable, "-P", "-m", "dicom_listener.receiving", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def _follow(self, receiver: _Receiver) -> None:
        """Take in what a receiver tells, and its end."""
        while (got := receiver.channel.receive()) is not None:
            self._take_in(receiver, got[0])
        with self._lock:
            self._receivers.remove(receiver)
            self._followers.remove(threading.current_thread())
            lost = list(receiver.held.items())
            receiver.held.clear()
        for number, handed_over in lost:
            handed_over.end(GivenBack(number, Return.LOST))
        receiver.channel.close()
        if not self._stop.is_set():
            LOGGER.error("a process that receives instances ended; %d associations end with it", len(lost))
            self._replace_one()

    def _replace_one(self) -> None:
        if self._stop.wait(_PAUSE_SECONDS):
            return
        try:
            self._tidy_up()
        except ListenerError as error:
            LOGGER.error("what a process left half done was not removed: %s", error)
        self._start_one()

    def _take_in(self, receiver: _Receiver, message: Message) -> None:
        match message:
            case Stored(number, stored):
                self._note(stored, receiver.held[number].tally)
            case GivenBack(number):
                with self._lock:
                    handed_over = receiver.held.pop(number)
                handed_over.tally.counts.update(message.counts)
                handed_over.tally.statuses.update(message.statuses)
                handed_over.end(message)
            case LogLine(logger, level, text):
                logging.getLogger(logger).log(level, "%s", text)
            case Ready(process_id):
                receiver.process_id = process_id
                receiver.is_ready.set()
            case _:
                LOGGER.error("a process that receives instances said something unknown")
