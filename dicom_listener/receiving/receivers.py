"""The receivers of a listener: started, given connections, followed, and started again when one ends."""

import itertools
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from dicom_listener.association_report import Tally
from dicom_listener.errors import ListenerError, ReceiverError, in_short
from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.handed_over import HandedOver, Watch
from dicom_listener.receiving.messages import (
    Alive,
    FileAll,
    Filed,
    GivenBack,
    HandOver,
    LogLine,
    Message,
    Ready,
    ReceiverSettings,
    Return,
    Stored,
)
from dicom_listener.receiving.receiver_process import ReceiverProcess
from dicom_listener.receiving.starter import ReceiverStarter
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)

_START_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
"""Before one that ended is replaced: what ended it may come again at once."""


class Receivers:
    """A number of receivers over one spool; for any number of threads."""

    def __init__(
        self,
        settings: ReceiverSettings,
        count: int,
        *,
        note: Callable[[StoredInstance, Tally], None],
        tidy_up: Callable[[int], object],
    ) -> None:
        """Make receivers that do nothing before `start`.

        Args:
            settings: what each of them is told.
            count: at least 1.
            note: told of each durable instance with the tally of its association: before its sender is answered, or
                later, if it went to the journal.
            tidy_up: called with the process id of one that has ended by itself: what it left half done is nobody's.
                May raise `ListenerError`.
        """
        self._settings = settings
        self._count = count
        self._note = note
        self._tidy_up = tidy_up
        self._numbers = itertools.count(1)
        self._receivers: list[ReceiverProcess] = []
        self._gone: list[ReceiverProcess] = []
        """Ended by themselves while they owed instances, until it was tidied up behind them."""
        self._keepers: list[threading.Thread] = []
        self._first: SimpleQueue[bool] = SimpleQueue()
        """Of each keeper at its start: whether its receiver is ready."""
        self._lock = threading.Lock()
        self._told = threading.Condition(self._lock)
        """Something is no longer owed."""
        self._stop = threading.Event()
        self._starter = ReceiverStarter()

    @property
    def process_ids(self) -> list[int]:
        """Of the receivers that take connections."""
        with self._lock:
            return [one.process_id for one in self._receivers if one.process_id is not None]

    def start(self) -> None:
        """Start them and wait until they are ready. Raises `ReceiverError`: they do not start."""
        for _ in range(self._count):
            keeper = threading.Thread(target=self._keep_one, name="receiver", daemon=True)
            self._keepers.append(keeper)
            keeper.start()
        try:
            is_ready = all(self._first.get(timeout=_START_SECONDS) for _ in self._keepers)
        except Empty:
            is_ready = False
        if not is_ready:
            self.stop()
            raise ReceiverError("the processes that receive instances do not start; see the lines before this one")

    def stop(self) -> None:
        """End them; what they still hold comes back as lost."""
        with self._lock:
            self._stop.set()
            for one in self._receivers:
                one.channel.shut()
        for keeper in self._keepers:
            keeper.join()
        self._starter.close()

    def hand_over(self, connection: socket.socket, message: HandOver, tally: Tally, watch: Watch) -> HandedOver | None:
        """Give a connection to the receiver that has the fewest; None when there is no receiver.

        Args:
            connection: stays open here; nobody may read or send until it returns.
            message: what is known of it; its number is chosen here.
            tally: of its association.
            watch: who is told what becomes of it.
        """
        message = replace(message, number=next(self._numbers))
        with self._lock:
            ready = [one for one in self._receivers if one.process_id is not None]
            if not ready:
                return None
            receiver = min(ready, key=lambda one: len(one.held))
            handed_over = HandedOver(receiver.channel, message.number, tally, watch)
            receiver.held[message.number] = handed_over
        try:
            receiver.channel.send(message, connection.fileno())
        except OSError:  # it ended just now
            with self._lock:
                receiver.held.pop(message.number, None)
            return None
        return handed_over

    def wait_until_told(self, tally: Tally, seconds: float) -> bool:
        """Wait, so long at most, until every instance of an association that has ended is noted; whether it is."""
        with self._told:
            return self._told.wait_for(lambda: not self._owes(tally), seconds)

    def _owes(self, tally: Tally) -> bool:
        owing = (one for receiver in (*self._receivers, *self._gone) for one in receiver.owing.values())
        return any(one.tally is tally for one in owing)

    def file_all(self, seconds: float) -> bool:
        """Let every instance that was acknowledged until now get its file, and be noted; whether each has one.

        One that cannot be filed now holds up no other, and no caller. After so many seconds the answer is no.
        """
        waiting: list[SimpleQueue[bool]] = []
        with self._lock:
            for receiver in self._receivers:
                if receiver.process_id is not None:
                    waiting.append(SimpleQueue())
                    receiver.filing.append(waiting[-1])
                    with suppress(OSError):  # it has ended, and whoever follows it says so
                        receiver.channel.send(FileAll())
        deadline = time.monotonic() + seconds
        try:
            answers = [one.get(timeout=max(deadline - time.monotonic(), 0)) for one in waiting]
        except Empty:
            return False
        return all(answers)

    def _keep_one(self) -> None:
        """See that there is one receiver more, until `stop`."""
        while not self._stop.is_set():
            receiver = self._start_one()
            if receiver is not None:
                self._follow(receiver)
            self._first.put(False)  # counts if it never was ready
            self._stop.wait(_PAUSE_SECONDS)
            if receiver is not None:
                self._leave(receiver)

    def _leave(self, receiver: ReceiverProcess) -> None:
        """Tidy up behind one that ended; who waits for what it owed waits no longer: it is told, or will be late."""
        try:
            if receiver.process_id is not None and not self._stop.is_set():
                self._tidy_up(receiver.process_id)
        except ListenerError as error:
            LOGGER.error("what a process left half done is still there: %s", error)
        with self._told:
            if receiver in self._gone:
                self._gone.remove(receiver)
            self._told.notify_all()

    def _start_one(self) -> ReceiverProcess | None:
        channel, theirs = Channel.pair()
        try:
            self._starter.start(theirs)
            channel.send(self._settings)
        except OSError as error:
            reason = error.strerror or error
            LOGGER.error("a process that receives instances was not started: %s: %s", sys.executable, reason)
            channel.close()
            return None
        finally:
            theirs.close()
        receiver = ReceiverProcess(channel)
        with self._lock:
            self._receivers.append(receiver)
            if self._stop.is_set():
                channel.shut()
        return receiver

    def _follow(self, receiver: ReceiverProcess) -> None:
        """Take in what a receiver tells, and its end."""
        try:
            while (message := receiver.hear()) is not None:
                self._take_in(receiver, message)
        except Exception as error:  # noqa: BLE001 (last resort: it is given up as if it had ended, and replaced)
            LOGGER.error("a process that receives instances is given up: %s", in_short(error))
            receiver.channel.shut()
        with self._lock:
            self._receivers.remove(receiver)
            lost = list(receiver.held.items())
            receiver.held.clear()
            if receiver.owing:
                self._gone.append(receiver)
            for one in receiver.filing:
                one.put(True)  # what it left is for whoever recovers the journal
        for number, handed_over in lost:
            handed_over.end(GivenBack(number, Return.LOST))
        receiver.channel.close()
        if not self._stop.is_set():
            LOGGER.error("a process that receives instances ended; %d associations end with it", len(lost))

    def _take_in(self, receiver: ReceiverProcess, message: Message) -> None:
        match message:
            case Stored(number, stored):
                self._take_in_stored(receiver, number, stored)
            case GivenBack(number):
                with self._lock:
                    handed_over = receiver.held.pop(number)
                    if handed_over.told < message.acknowledged:
                        receiver.owing[number] = handed_over
                handed_over.tally.counts.update(message.counts)
                handed_over.tally.statuses.update(message.statuses)
                handed_over.end(message)
            case Filed(is_all):
                with self._lock:
                    receiver.filing.pop(0).put(is_all)
            case LogLine(logger, level, text):
                logging.getLogger(logger).log(level, "%s", text)
            case Ready(process_id):
                receiver.process_id = process_id
                self._first.put(True)
            case Alive():
                pass
            case _:
                LOGGER.error("a process that receives instances said something unknown")

    def _take_in_stored(self, receiver: ReceiverProcess, number: int, stored: StoredInstance) -> None:
        handed_over = receiver.held.get(number) or receiver.owing[number]
        self._note(stored, handed_over.tally)
        handed_over.told += 1
        if number in receiver.owing:
            if handed_over.is_told:
                with self._told:
                    del receiver.owing[number]
                    self._told.notify_all()
        else:
            handed_over.heard()
