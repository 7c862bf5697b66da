"""A receiver: the process that takes plain C-STORE requests off the connections which the listener hands to it.

It knows no associations: what it cannot take it gives back, with all that has come. It ends with the listener.
"""

import logging
import os
import threading
import time
from contextlib import suppress

from dicom_listener.association_report import Tally
from dicom_listener.errors import SpoolError, in_short
from dicom_listener.receiving.channel import Channel
from dicom_listener.receiving.held_connection import HeldConnection
from dicom_listener.receiving.messages import (
    Alive,
    FileAll,
    Filed,
    GivenBack,
    HandOver,
    LogLine,
    Message,
    Ping,
    Ready,
    Recall,
    ReceiverSettings,
    Return,
    Stored,
)
from dicom_listener.receiving.plain_store import PlainStores, StorePeer
from dicom_listener.receiving.store_loop import LoopEnd, take_stores
from dicom_listener.spool.spool import Spool
from dicom_listener.store_service import StoreService
from dicom_listener.stored import StoredInstance

LOGGER = logging.getLogger(__name__)

_RETURNS = {
    LoopEnd.NOT_PLAIN: Return.NOT_PLAIN,
    LoopEnd.VIOLATION: Return.VIOLATION,
    LoopEnd.CLOSED: Return.CLOSED,
}


def run_receiver(channel: Channel) -> None:
    """Be a receiver until the listener ends or closes the channel."""
    got = channel.receive()
    if got is None or not isinstance(got[0], ReceiverSettings):
        return
    settings = got[0]
    logging.basicConfig(handlers=[_ToListener(channel)], level=settings.log_level, force=True)
    try:
        receiver = Receiver(channel, settings)
    except SpoolError as error:
        LOGGER.error("a process that receives instances cannot run: %s", error)
        return
    channel.send(Ready(os.getpid()))
    receiver.run()


class Receiver:
    """The connections of this process, each with a thread of its own."""

    def __init__(self, channel: Channel, settings: ReceiverSettings) -> None:
        """Raises `SpoolError`: the spool cannot be used."""
        self._channel = channel
        self._settings = settings
        self._spool = Spool(
            settings.root, high_watermark=settings.high_watermark, minimum_free_bytes=settings.minimum_free_bytes
        )
        self._spool.warm_up()
        longest = settings.journal_seconds
        self._journal = self._spool.journal.open(longest) if longest > 0 else None
        if self._journal is not None:
            self._journal.start()
        self._held: dict[int, HeldConnection] = {}
        self._lock = threading.Lock()

    def run(self) -> None:
        """Follow what the listener says, until it is gone."""
        while (got := self._channel.receive()) is not None:
            message, descriptor = got
            if isinstance(message, HandOver):
                self._take(message, descriptor)
            elif isinstance(message, Recall):
                with self._lock:
                    wanted = self._held.get(message.number)
                    if wanted is not None:  # otherwise it is on its way back
                        wanted.recall(at_once=message.at_once)
            elif isinstance(message, FileAll):
                self._file_all()
            elif isinstance(message, Ping):
                self._answer(Alive())

    def _answer(self, message: Message) -> None:
        with suppress(OSError):  # the listener is gone: found at the next turn
            self._channel.send(message)

    def _file_all(self) -> None:
        if self._journal is None:
            self._answer(Filed(is_all=True))
        else:
            self._journal.file_all(lambda is_all: self._answer(Filed(is_all)))

    def _take(self, message: HandOver, descriptor: int | None) -> None:
        if descriptor is None:  # this process may open no more
            self._channel.send(GivenBack(message.number, Return.LOST))
            return
        held = HeldConnection(descriptor, message.received, self._settings.idle_seconds)
        with self._lock:
            self._held[message.number] = held
        threading.Thread(target=self._serve, args=(message, held), daemon=True).start()

    def _serve(self, message: HandOver, held: HeldConnection) -> None:
        tally = Tally(time.monotonic())
        why, rest = Return.LOST, b""
        try:
            why, rest = self._take_stores(message, held, tally)
        except Exception as error:  # noqa: BLE001 (last resort: the listener ends the association)
            LOGGER.error("a connection was given up: %s", in_short(error))
        finally:
            with self._lock:
                del self._held[message.number]
                held.close()
            not_stored = {what: n for what, n in tally.counts.items() if what in {"refused", "failed"}}
            self._answer(GivenBack(message.number, why, not_stored, dict(tally.statuses), tally.acknowledged, rest))

    def _take_stores(self, message: HandOver, held: HeldConnection, tally: Tally) -> tuple[Return, bytes]:
        def tell(stored: StoredInstance) -> None:
            try:
                self._channel.send(Stored(message.number, stored))
            except OSError:  # the listener is gone: nobody may be answered any more
                os._exit(1)

        stores = PlainStores(
            StoreService(self._spool, tell, self._journal),
            StorePeer(message.calling_ae_title, message.called_ae_title, message.contexts.get),
            tally,
            maximum_pdu_bytes=self._settings.maximum_pdu_bytes,
            maximum_instance_bytes=self._settings.maximum_instance_bytes,
        )
        try:
            end = take_stores(
                held,
                stores,
                may_go_on=lambda: held.may_go_on(is_between=stores.is_between),
                wait=held.wait,
                on_progress=held.on_progress,
            )
        finally:
            stores.close()
        if end is LoopEnd.STOPPED:
            return (Return.IDLE if held.is_idle else Return.RECALLED), bytes(held.buffer.view)
        return _RETURNS[end], bytes(held.buffer.view)


class _ToListener(logging.Handler):
    """Log lines go to the listener, which knows how and where they are written."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the listener is gone
            self._channel.send(LogLine(record.name, record.levelno, record.getMessage()))
