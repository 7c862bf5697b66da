"""`deploy/kafka/create-topics.sh` on a real broker with an authorizer."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qc.stream.kafka_admin import check_broker, ensure_topics
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.topics import ALERTS, DEAD_LETTERS, VERDICTS, metrics_topic
from tests.peers.kafka import KafkaBroker

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "create-topics.sh"


@pytest.fixture(scope="module")
def broker(kafka_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "false",
    }
    made = KafkaBroker(kafka_home, tmp_path_factory.mktemp("broker"), settings)
    try:
        made.start()
        yield made
    finally:
        made.close()


def run(broker: KafkaBroker, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **broker.environment,
        "KAFKA_HOME": str(broker.home),
        "BOOTSTRAP": broker.bootstrap,
        "REPLICATION": "1",
        "KAFKA_HEAP_OPTS": "-Xmx128m",
        **more,
    }
    command = ["sh", str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


def rules(broker: KafkaBroker) -> str:
    command = [str(broker.home / "bin" / "kafka-acls.sh"), "--bootstrap-server", broker.bootstrap, "--list"]
    done = subprocess.run(command, env=broker.environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_topics_suit_central_and_a_site_may_write_to_its_own_alone(broker: KafkaBroker) -> None:
    for arguments in (("central",), ("site", "north"), ("site", "north")):  # again is harmless
        done = run(broker, *arguments)
        assert done.returncode == 0, done.stderr
    names = (VERDICTS, ALERTS, DEAD_LETTERS, metrics_topic("north"))
    connection = KafkaConnection(broker.bootstrap)
    assert set(names) <= set(check_broker(connection).topics)
    assert ensure_topics(connection, names) == ()  # checks partitions and clean-up too
    found = rules(broker)
    (of_north,) = [part for part in found.split("Current ACLs") if metrics_topic("north") in part]
    assert "principal=User:north, host=*, operation=WRITE" in of_north
    assert found.count("principal=User:north") == of_north.count("principal=User:north") == 2  # and to describe it
    assert "principal=User:central, host=*, operation=READ" in found


def test_a_central_on_trial_reads_as_a_group_of_its_own(broker: KafkaBroker) -> None:
    done = run(broker, "central", "User:trial", GROUP="segwatch-trial")
    assert done.returncode == 0, done.stderr
    (of_group,) = [part for part in rules(broker).split("Current ACLs") if "name=segwatch-trial," in part]
    assert "resourceType=GROUP" in of_group
    assert "principal=User:trial, host=*, operation=READ" in of_group


def test_use_is_told(broker: KafkaBroker) -> None:
    for arguments in ((), ("site",), ("nothing",)):
        done = run(broker, *arguments)
        assert done.returncode == 2
        assert "create-topics.sh site ID" in done.stderr
