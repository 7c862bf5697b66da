"""Asks senders how many instances their series have, in a thread of its own: the intake never waits for a peer."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from dicom_listener.completion.call_back import callable_peer
from dicom_listener.completion.intake_events import CountAnswer, CountQuestion
from dicom_listener.completion.sender_count import count_at_sender
from dicom_listener.errors import CallBackError, in_short
from dicom_listener.peers import Peer

LOGGER = logging.getLogger(__name__)

MAXIMUM_WAITING = 1000
"""Questions that wait at once; further ones are dropped, and the quiet time decides."""
PAUSE_SECONDS = 60.0
"""A peer that did not answer is left alone for this long: others wait behind it."""
STOP_SECONDS = 2.0
"""How long `stop` waits for a question that is under way; it dies with the process."""

Count = Callable[..., int | None]


class CountAsker:
    """Asks by C-FIND, for `dicom_listener.completion.intake_events.Asker`. What fails leaves the quiet time."""

    def __init__(
        self, peers: Sequence[Peer], *, calling_ae_title: str, seconds: float, count: Count = count_at_sender
    ) -> None:
        """Nothing runs before `start`.

        Args:
            peers: the senders; those with host and port can be asked.
            calling_ae_title: own AE title.
            seconds: how long a sender has for an answer.
            count: how a sender is asked, see `count_at_sender`.
        """
        self._peers = tuple(peers)
        self._calling_ae_title = calling_ae_title
        self._seconds = seconds
        self._count = count
        self._questions: queue.Queue[CountQuestion | None] = queue.Queue(MAXIMUM_WAITING)
        self._paused_until: dict[str, float] = {}
        self._tell: Callable[[CountAnswer], None] = lambda _answer: None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def may_ask(self, ae_title: str) -> bool:
        """Whether the settings say where this sender can be called."""
        return callable_peer(self._peers, ae_title) is not None

    def start(self, tell: Callable[[CountAnswer], None]) -> None:
        """Begin to ask; `tell` gets the answers, in the asker's thread."""
        self._tell = tell
        self._questions = queue.Queue(MAXIMUM_WAITING)  # what was left at a stop is asked anew by the intake
        self._stopping = threading.Event()
        # a daemon: a peer that hangs must not keep the process from ending
        arguments = (self._questions, self._stopping)
        self._thread = threading.Thread(target=self._run, args=arguments, name="count-asker", daemon=True)
        self._thread.start()

    def ask(self, question: CountQuestion) -> None:
        """Take a question and return at once."""
        try:
            self._questions.put_nowait(question)
        except queue.Full:
            LOGGER.warning("not asked for a count, too many questions wait: series=%s", question.series_key)

    def stop(self) -> None:
        """End; what a question that is under way gives is not told any more."""
        if self._thread is None:
            return
        self._stopping.set()
        with suppress(queue.Full):  # it looks after each question whether it is to stop
            self._questions.put_nowait(None)
        self._thread.join(STOP_SECONDS)
        self._thread = None

    def _run(self, questions: "queue.Queue[CountQuestion | None]", stopping: threading.Event) -> None:
        while (question := questions.get()) is not None and not stopping.is_set():
            try:
                self._answer(question)
            except Exception as error:  # noqa: BLE001 (one question must not end the asking)
                LOGGER.error("asking for a count failed: series=%s %s", question.series_key, in_short(error))

    def _answer(self, question: CountQuestion) -> None:
        peer = callable_peer(self._peers, question.ae_title)
        if peer is None or time.monotonic() < self._paused_until.get(question.ae_title, 0.0):
            return
        try:
            count = self._count(peer, question, calling_ae_title=self._calling_ae_title, seconds=self._seconds)
        except CallBackError as error:
            self._paused_until[question.ae_title] = time.monotonic() + PAUSE_SECONDS
            LOGGER.warning(
                "no count from the sender, the quiet time decides: series=%s %s", question.series_key, in_short(error)
            )
            return
        LOGGER.debug("the sender counts: series=%s instances=%s", question.series_key, count)
        if count is not None and not self._stopping.is_set():
            self._tell(CountAnswer(question.series_key, question.version, count))
