"""Free TCP ports on loopback, and waiting until somebody listens there."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Mapping

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 20_000, 32_000
"""Below the range from which Linux takes the ports of outgoing connections (32768 and up): a port stays free while
its server is down, which tests of an unreachable peer rely on."""
_handed_out: set[int] = set()


def own_ports(environment: Mapping[str, str]) -> range:
    """The ports of this process: where pytest-xdist runs several at once, each has its part.

    Otherwise one could take the port of a server that another one has stopped for a while.
    """
    worker, count = environment.get("PYTEST_XDIST_WORKER"), int(environment.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    size = (_LAST - _FIRST) // count
    first = _FIRST + size * int(worker.removeprefix("gw") if worker else 0)
    return range(first, first + size)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # as servers do it: a port whose last connections are in TIME_WAIT counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return port not in _handed_out


def free_ports(count: int = 1) -> int:
    """Return the first of `count` consecutive TCP ports that nobody listens on; none is handed out twice."""
    ours = own_ports(os.environ)
    for _ in range(1000):
        first = random.randrange(ours.start, ours.stop - count + 1)  # noqa: S311 (not a secret)
        wanted = range(first, first + count)
        if all(_is_free(port) for port in wanted):
            _handed_out.update(wanted)
            return first
    raise RuntimeError(f"no {count} consecutive free ports between {ours.start} and {ours.stop}")


def is_listening(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a connection to the port is accepted now."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", timeout: float) -> bool:
    """Wait until the process accepts connections; False when it ended or `timeout` seconds passed before."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if is_listening(port):
            return process.poll() is None
        try:
            process.wait(timeout=0.05)  # the pause between two looks ends at once when the process does
        except subprocess.TimeoutExpired:
            continue
        return False
    return False
