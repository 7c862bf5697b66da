"""Has receivers started by a process that copies itself, see `dicom_listener.receiving.__main__`."""

import socket
import subprocess
import sys
import threading

from dicom_listener.receiving.channel import Channel


class ReceiverStarter:
    """That process, made when it is needed; for any number of threads."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def start(self, channel: Channel) -> None:
        """Start a receiver at this end of a channel. Raises `OSError`: it cannot be started now."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._begin()
            assert self._socket is not None  # noqa: S101 (made with the process)
            socket.send_fds(self._socket, [b"+"], channel.descriptors)

    def close(self) -> None:
        """Let it end; the receivers go on until their channels end."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            if self._process is not None:
                self._process.wait()

    def _begin(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                # -P: what lies in the working directory is no module of ours
                [sys.executable, "-P", "-m", "dicom_listener.receiving", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
