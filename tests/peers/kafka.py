"""A real Apache Kafka broker (KRaft, one node) on loopback, from KAFKA_HOME."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.peers.missing import missing_peer
from tests.peers.ports import LOOPBACK, free_ports
from tests.peers.processes import PeerError, ServerProcess


class KafkaBroker:
    """One broker over one folder; killed and started again it is the same broker on the same port."""

    def __init__(self, home: Path, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """Prepare a broker of the distribution at `home` that keeps all its data under `folder`.

        `settings` are of Kafka's own names, e.g. `{"auto.create.topics.enable": "false"}`.
        """
        self.home = home
        self.folder = folder
        self._settings = dict(settings or {})
        self.port = free_ports(2)  # the controller listens on the next one
        self.bootstrap = f"{LOOPBACK}:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "LOG_DIR": str(folder / "logs"), "KAFKA_OPTS": _java_options()}
        """In which Kafka's scripts are to be run."""
        self._server = ServerProcess(self._command(), log=folder / "broker.log", environment=self.environment)

    def start(self) -> None:
        """Start and return when the broker accepts clients."""
        if self._server.command[0].endswith("kafka-server-start.sh"):
            self._format_once()
        self._server.start_and_wait_for_port(self.port)

    def stop(self) -> None:
        """Stop in an orderly way; clients are refused from now on, the data stays."""
        self._server.stop()

    def kill(self) -> None:
        """End without a chance to finish anything (SIGKILL)."""
        self._server.kill()

    def suspend(self) -> None:
        """Let it hang: connections are taken, nothing is answered until `resume`."""
        self._server.suspend()

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        self._server.resume()

    def close(self) -> None:
        """End if still running; nobody reads the data afterwards, so the quick way."""
        if self._server.is_running:
            self._server.kill()

    @property
    def is_running(self) -> bool:
        """Whether the broker runs now."""
        return self._server.is_running

    def log(self) -> str:
        """What the broker printed."""
        return self._server.output()

    def _command(self) -> list[str | Path]:
        short = self.home / "bin" / "kafka-single-node"
        if short.exists():
            own = [f"{key}={value}" for key, value in self._settings.items()]
            return [short, self.folder, str(self.port), *own]
        return [self.home / "bin" / "kafka-server-start.sh", self._properties]

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def _format_once(self) -> None:
        data = self.folder / "data"
        if (data / "meta.properties").exists():
            return
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.port + 1}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{self.port + 1}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(data),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # after a kill the restarted broker waits for the session of its former self
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            **self._settings,
        }
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._storage("format", "--cluster-id", self._storage("random-uuid"), "--config", str(self._properties))

    def _storage(self, *arguments: str) -> str:
        command: list[str | Path] = [self.home / "bin" / "kafka-storage.sh", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise PeerError(f"kafka-storage.sh {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout.split()[-1] if arguments[0] == "random-uuid" else done.stdout


def console_consume(home: Path, bootstrap: str, topic: str, *, count: int, timeout: float = 60) -> list[str]:
    """Read the first `count` records of a topic with Kafka's own console consumer, one text each."""
    command: list[str | Path] = [
        home / "bin" / "kafka-console-consumer.sh",
        "--bootstrap-server",
        bootstrap,
        "--topic",
        topic,
    ]
    options = ["--from-beginning", "--max-messages", str(count), "--timeout-ms", str(int(timeout * 1000))]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=timeout + 30)
    return done.stdout.splitlines()


def find_kafka(home: Path) -> Path:
    """Check that a broker can be run from `home`, or end the test."""
    if not (home / "bin" / "kafka-server-start.sh").exists():
        missing_peer(
            "Apache Kafka", f"KAFKA_HOME ({home}) holds no bin/kafka-server-start.sh; unpack Kafka 3.3 or newer"
        )
    if (version := _java_version()) < 17:
        found = f"found version {version}" if version else "found none"
        missing_peer("Java", f"Kafka needs Java 17 or newer, {found} (Debian package openjdk-17-jre-headless)")
    return home


def _java_options() -> str:
    """Java's quick compiler alone: the other one takes more time than it saves what lives for a minute."""
    return f"-XX:TieredStopAtLevel=1 {os.environ.get('KAFKA_OPTS', '')}".strip()


def _java_version() -> int:
    """Major version of the Java that Kafka's scripts would run; 0 when there is none."""
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if "JAVA_HOME" in os.environ else shutil.which("java")
    if java is None:
        return 0
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return 0
    version = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(version[1]) if version else 0
