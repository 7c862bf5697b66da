"""The message log between sites and central: one protocol, Kafka and an embedded journal."""
