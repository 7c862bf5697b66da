"""The message log on Apache Kafka, under one name; only the `kafka_*` modules beside it import kafka-python."""

from qc.stream.kafka_admin import BrokerReport, TopicSettings, check_broker, ensure_topics
from qc.stream.kafka_connection import KafkaConnection, wait_for_broker
from qc.stream.kafka_sink import KafkaSink
from qc.stream.kafka_source import KafkaSource

__all__ = [
    "BrokerReport",
    "KafkaConnection",
    "KafkaSink",
    "KafkaSource",
    "TopicSettings",
    "check_broker",
    "ensure_topics",
    "wait_for_broker",
]
