"""Opens the message log of the settings; shared by site and central."""

from pathlib import Path

from qc.stream.journal import JournalSink
from qc.stream.kafka_connection import KafkaConnection
from qc.stream.kafka_sink import KafkaSink
from qc.stream.messages import Sink
from segwatch.settings import kafka_password
from segwatch.settings_sections import StreamSection


def kafka_connection(stream: StreamSection) -> KafkaConnection:
    """The Kafka cluster of the settings. Raises `SettingsError` without a password, `StreamError` for a bad address."""
    kafka = stream.kafka
    uses_sasl = kafka.security_protocol.startswith("SASL")
    return KafkaConnection(
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol=kafka.security_protocol,
        ssl_cafile=_text(kafka.ssl_cafile),
        ssl_certfile=_text(kafka.ssl_certfile),
        ssl_keyfile=_text(kafka.ssl_keyfile),
        sasl_mechanism=kafka.sasl_mechanism if uses_sasl else None,
        sasl_username=kafka.sasl_username,
        sasl_password=kafka_password(kafka),
    )


def make_sink(stream: StreamSection) -> Sink:
    """Open the message log for appending. Raises `StreamError`, `SettingsError`."""
    if stream.kind == "kafka":
        return KafkaSink(kafka_connection(stream))
    return JournalSink(stream.journal_dir)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
