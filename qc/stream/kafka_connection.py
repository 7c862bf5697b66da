"""How to reach a Kafka cluster, and waiting until it can be reached."""

import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from qc.errors import StreamError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

CONNECT_TIMEOUT_S = 2.0
LOOK_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """The address of a cluster and how a client proves who it is; a secret never shows in `repr`."""

    bootstrap_servers: str
    """`host:port`, several separated by commas."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = field(default=None, repr=False)
    """Opens `ssl_keyfile`."""
    sasl_mechanism: SaslMechanism | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check the addresses and that SASL is complete. Raises `StreamError`."""
        _ = self.addresses
        uses_sasl = self.security_protocol.startswith("SASL")
        if uses_sasl and not (self.sasl_mechanism and self.sasl_username and self.sasl_password):
            raise StreamError(f"{self.security_protocol} needs a SASL mechanism, a user name and a password")

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each bootstrap server. Raises `StreamError`."""
        found = []
        for server in self.bootstrap_servers.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
                raise StreamError(f"{server.strip()!r} is no Kafka address: write host:port")
            found.append((host.strip("[]"), int(port)))
        return tuple(found)

    def check_files(self) -> None:
        """Check that the files of keys are there, which kafka-python would try for long. Raises `StreamError`."""
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise StreamError(f"{name}: there is no file {path}")

    def client_settings(self) -> dict[str, Any]:
        """The keyword arguments that every client of kafka-python takes."""
        return {
            "bootstrap_servers": [f"{host}:{port}" for host, port in self.addresses],
            "client_id": "segwatch",
            "security_protocol": self.security_protocol,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
            "ssl_password": self.ssl_password,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            # the default of 30 s would keep a client away long after the broker is back
            "reconnect_backoff_max_ms": 1000,
        }


def wait_for_broker(connection: KafkaConnection, timeout_s: float) -> None:
    """Return as soon as one of the servers accepts a TCP connection.

    A client that is made while nobody listens waits much longer than the broker's restart takes. Raises `StreamError`.
    """
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while True:
        for address in connection.addresses:
            try:
                socket.create_connection(address, timeout=min(CONNECT_TIMEOUT_S, max(timeout_s, 0.1))).close()
            except OSError:
                continue
            return
        if time.monotonic() >= deadline:
            raise StreamError(
                f"no Kafka broker answers at {connection.bootstrap_servers} (waited {timeout_s:g} s): "
                "check the address and that the broker runs"
            )
        never.wait(LOOK_INTERVAL_S)
