"""`Supervisor`: the process tree of `segwatch site`.

Children are the very commands a person could start by hand (`segwatch listen`, `work`, `deliver`). One that dies
after it was ready is started again with a growing pause; one that never got ready has told why, and stops the site.
"""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child: a unique name and the arguments of `segwatch`."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Event:
    """What happened: `ready`, `exited`, `restart` or `stop`."""

    kind: str
    child: str = ""
    detail: str = ""


class Supervisor:
    """Starts the children, restarts those that die, stops all of them."""

    def __init__(
        self, specs: Sequence[ChildSpec], environment: Mapping[str, str], on_ready: Callable[[str, str], None]
    ) -> None:
        """`on_ready` is called with the child's name and its own words."""
        self._specs = {spec.name: spec for spec in specs}
        self._environment = dict(environment)
        self._on_ready = on_ready
        self._events: SimpleQueue[_Event] = SimpleQueue()
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._ready: set[str] = set()
        self._pauses: dict[str, float] = {}

    def request_stop(self) -> None:
        """Ask `run` to stop; safe in a signal handler."""
        self._events.put(_Event("stop"))

    def run(self) -> int:
        """Run until asked to stop (0) or until a child could not start (its exit status)."""
        for name in self._specs:
            self._start(name)
        while True:
            event = self._events.get()
            if event.kind == "stop":
                self._stop_all()
                return 0
            if event.kind == "ready":
                self._ready.add(event.child)
                self._pauses.pop(event.child, None)
                self._on_ready(event.child, event.detail)
            elif event.kind == "restart":
                self._start(event.child)
            elif event.child not in self._ready:
                self._stop_all()
                return max(1, self._children[event.child].returncode)  # negative: a signal
            else:
                self._restart_later(event.child)

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "segwatch", *self._specs[name].arguments]
        child = subprocess.Popen(  # noqa: S603 (our own command with our own arguments)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment
        )
        self._children[name] = child
        threading.Thread(target=self._watch, args=(name, child), name=f"watch-{name}", daemon=True).start()

    def _watch(self, name: str, child: "subprocess.Popen[str]") -> None:
        assert child.stdout is not None  # noqa: S101 (it was asked for above)
        with child.stdout:
            for line in child.stdout:
                self._events.put(_Event("ready", name, str(json.loads(line)["text"])))
        child.wait()
        self._events.put(_Event("exited", name))

    def _restart_later(self, name: str) -> None:
        pause = self._pauses.get(name, FIRST_PAUSE_S)
        self._pauses[name] = min(2 * pause, LONGEST_PAUSE_S)
        logger.error("%s ended with status %s; starting it again in %g s", name, self._children[name].returncode, pause)
        timer = threading.Timer(pause, self._events.put, (_Event("restart", name),))
        timer.daemon = True
        timer.start()

    def _stop_all(self) -> None:
        logger.info("stopping: %s", ", ".join(self._children))
        for child in self._children.values():
            if child.stdin is not None:
                child.stdin.close()
            child.terminate()
        for name, child in self._children.items():
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                logger.warning(
                    "%s did not stop in %g s and is killed; its work is resumed at the next start", name, STOP_TIMEOUT_S
                )
                child.kill()
                child.wait()
        logger.info("stopped")
