"""Senders that send each instance until it is acknowledged, and moments at which they may have the listener killed."""

import itertools
import os
import signal
import threading
from dataclasses import dataclass, field
from random import Random

from tests.survival import wire
from tests.survival.peer import Peer, PeerGoneError

PER_SERIES = 40
ROOT = "1.2.826.55"


def make_data_set(uid: str) -> bytes:
    """The data set of an instance, the same at each call; noise, so that a mixed-up or missing piece shows."""
    random = Random(uid)  # noqa: S311 (not a secret)
    return wire.ct_data_set(uid, study=ROOT, series=uid.rpartition(".")[0], pixels=random.randbytes(
        2 * random.randrange(500, 80_000)
    ))  # fmt: skip


@dataclass
class Trigger:
    """Kills the listener when the count-down of one kind of moment ends, in the thread that reached it."""

    moment: str = ""
    countdown: int = 0
    pid: int = 0
    fired: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arm(self, moment: str, countdown: int, pid: int) -> None:
        """Wait for this many moments of this kind."""
        with self._lock:
            self.moment, self.countdown, self.pid = moment, countdown, pid
            self.fired.clear()

    def reached(self, moment: str) -> None:
        """Called by senders at each moment."""
        with self._lock:
            if moment != self.moment or self.countdown <= 0:
                return
            self.countdown -= 1
            if self.countdown == 0:
                os.kill(self.pid, signal.SIGKILL)
                self.fired.set()

    def kill_now(self) -> None:
        """Kill at a moment that is nobody's."""
        with self._lock:
            os.kill(self.pid, signal.SIGKILL)
            self.fired.set()


class Sender(threading.Thread):
    """Sends instance after instance until each is acknowledged; what got no answer is sent again."""

    def __init__(self, port: int, number: int, seed: int, trigger: Trigger) -> None:
        super().__init__(name=f"sender-{number}")
        self.acknowledged: list[str] = []
        self.sent_again = 0
        self.failures: list[str] = []
        self.finish = threading.Event()
        self._port, self._trigger = port, trigger
        self._random = Random(f"{seed}:{number}")  # noqa: S311 (not a secret)
        self._uids = (f"{ROOT}.{number}.{n // PER_SERIES}.{n % PER_SERIES}" for n in itertools.count(1000))

    def run(self) -> None:
        """Called by the thread."""
        uid = next(self._uids)
        while not self.finish.is_set():
            try:
                with Peer(self._port, patience=60) as peer:
                    peer.associate()
                    while not self.finish.is_set():
                        self._send(peer, uid)
                        uid = next(self._uids)
                    peer.release()
            except (PeerGoneError, ConnectionError):
                self.sent_again += 1
                self.finish.wait(0.02)  # the listener is being started again
            except TimeoutError as error:
                self.failures.append(str(error))
                return

    def _send(self, peer: Peer, uid: str) -> None:
        data_set = make_data_set(uid)
        message = wire.store_message(uid, data_set)
        half = self._random.randrange(len(message))
        peer.send(message[:half])
        self._trigger.reached("half")
        peer.send(message[half:])
        self._trigger.reached("sent")
        status = peer.read_status(1)
        self._trigger.reached("answered")
        if status != 0:
            self.failures.append(f"status {status:04X}")
            return
        self.acknowledged.append(uid)
        if self._random.random() < 0.1:  # as a sender that lost the answer
            self.sent_again += 1
            peer.send(message)
            if peer.read_status(1) != 0:
                self.failures.append("a repeated instance was refused")
