"""A central consumer to be killed: `python -m tests.integration.central_process BOOTSTRAP URL GROUP`."""

import sys
import threading

from qc.central.consumer import CentralConsumer, StoredPositions
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import KafkaSource
from qc.stream.topics import ALL_METRICS
from segwatch.database import make_engine
from tests.unit.qc_central.samples import judge


def make_consumer(bootstrap: str, url: str, group: str, *, discover_s: float = 1.0) -> CentralConsumer:
    """Put a consumer of the samples together."""
    connection = KafkaConnection(bootstrap)
    engine = make_engine(url)
    return CentralConsumer(
        source=KafkaSource(
            connection,
            ALL_METRICS,
            StoredPositions(engine),
            group=group,
            timeout_s=10,
            discover_s=discover_s,
        ),
        sink=KafkaSink(connection, timeout_s=10),
        engine=engine,
        judge=judge(),
    )


if __name__ == "__main__":
    make_consumer(*sys.argv[1:4]).run(threading.Event())
