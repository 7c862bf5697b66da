"""A server started for tests, in a process group of its own that never outlives them."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.peers.ports import wait_for_port
from tests.peers.waiting import wait_until


class PeerError(RuntimeError):
    """A peer that is installed could not be started; the message ends with what it printed last."""


def ending_with_us(command: Sequence[str], how: signal.Signals) -> list[str]:
    """Make the kernel signal the command when this process dies without tearing down (Linux; elsewhere unchanged).

    The signal belongs to the thread that starts the command, so only the main thread asks for it.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return list(command)
    return [setpriv, "--pdeathsig", how.name.removeprefix("SIG"), "--", *command]


class ServerProcess:
    """One server program and its children; output goes to a file, so that nothing blocks on a full pipe."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Prepare to run `command` in `directory`; `stop_signal` is how this program is asked to end."""
        self.command = [str(part) for part in command]
        self.log = log
        self._environment = dict(os.environ if environment is None else environment)
        self._directory = directory
        self._stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._printed_before = 0

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the program; the output is appended to the log file."""
        if self.is_running:
            raise PeerError(f"{self.command[0]} runs already")
        self._printed_before = len(self.output())
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ending_with_us(self.command, self._stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
            )

    def start_and_wait_for_port(self, port: int, *, timeout: float = 180) -> None:
        """Start the program and return when it accepts connections on the loopback port.

        Raises:
            PeerError: it ended, or did not listen within `timeout` seconds; it is stopped then.
        """
        self.start()
        self.wait_for_port(port, timeout=timeout)

    def wait_for_port(self, port: int, *, timeout: float = 180) -> None:
        """Return when the running program accepts connections on the loopback port; raises as above."""
        if not wait_for_port(port, self._running(), timeout):
            self.kill()
            raise PeerError(f"{self.command[0]} does not listen on port {port}:\n{self.output()[-4000:]}")

    def wait_for_output(self, text: str, *, timeout: float = 180) -> None:
        """Return when the running program has printed something; raises as above. A port may answer before that."""

        def is_there() -> bool:
            return text in self.output()[self._printed_before :] or not self.is_running

        try:
            wait_until(is_there, f"{self.command[0]} prints {text!r}", timeout=timeout)
        except TimeoutError:
            self.kill()
            raise PeerError(f"{self.command[0]} does not print {text!r}:\n{self.output()[-4000:]}") from None
        if not self.is_running:
            raise PeerError(f"{self.command[0]} ended:\n{self.output()[-4000:]}")

    def stop(self, *, timeout: float = 20) -> int:
        """Ask the server to end and wait; after `timeout` seconds its whole group is killed.

        Returns the exit status, negative for a signal.
        """
        process = self._running()
        process.send_signal(self._stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        return self.kill()

    def kill(self) -> int:
        """Kill the server's whole process group (SIGKILL) and wait; returns the exit status of its leader."""
        process = self._running()
        with suppress(ProcessLookupError):  # when nobody of the group is left
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        self._process = None
        return status

    def suspend(self) -> None:
        """Stop the whole group where it is (SIGSTOP): it takes connections, as the kernel does, and never answers."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a suspended group go on (SIGCONT)."""
        os.killpg(self.pid, signal.SIGCONT)

    def wait(self, timeout: float) -> int:
        """Wait until the server ends by itself; returns its exit status (subprocess.TimeoutExpired if it does not)."""
        return self._running().wait(timeout)

    def close(self) -> None:
        """Stop the server if it still runs: for teardown."""
        if self._process is not None:
            self.stop()

    def output(self) -> str:
        """Everything that the server printed so far, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise PeerError(f"{self.command[0]} does not run")
        return self._process
