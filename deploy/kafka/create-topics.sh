#!/bin/sh
# Makes Segwatch's topics and their access rules; run by whoever administers the Kafka cluster. Running it again is harmless.
#
#   create-topics.sh central [PRINCIPAL]      topics of the central host; it reads every site's records (User:central)
#   create-topics.sh site ID [PRINCIPAL]      the topic of one site; that site alone may write to it (User:ID)
#
# Environment: KAFKA_HOME (unpacked Apache Kafka), BOOTSTRAP (default 127.0.0.1:9092), COMMAND_CONFIG (properties of the
# administrator's account), REPLICATION (default 3; 1 for a single broker), RETENTION_DAYS (default 365),
# GROUP (consumer group of central, default segwatch-central), ACL=no (topics alone, for a broker without authorizer).
set -eu

usage() { sed -n '4,5s/^# *//p' "$0" >&2; exit 2; }
what=${1:-}
: "${KAFKA_HOME:?the folder of an unpacked Apache Kafka}"
bootstrap=${BOOTSTRAP:-127.0.0.1:9092}
replication=${REPLICATION:-3}
retention_ms=$((${RETENTION_DAYS:-365} * 24 * 3600 * 1000))
# an acknowledged record must survive the loss of a broker where there are several
if [ "$replication" -ge 3 ]; then in_sync=2; else in_sync=1; fi

kafka() { # kafka SCRIPT ARGUMENT...
    script=$1; shift
    "$KAFKA_HOME/bin/$script" --bootstrap-server "$bootstrap" ${COMMAND_CONFIG:+--command-config "$COMMAND_CONFIG"} "$@"
}

topic() { # topic NAME: one partition keeps a site's records in order; compaction would lose records
    kafka kafka-topics.sh --create --if-not-exists --topic "$1" --partitions 1 --replication-factor "$replication" \
        --config cleanup.policy=delete --config retention.ms="$retention_ms" --config min.insync.replicas=$in_sync
}

allow() { # allow PRINCIPAL ARGUMENT...
    if [ "${ACL:-yes}" = no ]; then return; fi
    principal=$1; shift
    kafka kafka-acls.sh --add --allow-principal "$principal" "$@" >/dev/null
}

case $what in
central)
    principal=${2:-User:central}
    for name in segwatch.verdicts.v1 segwatch.alerts.v1 segwatch.deadletter.v1; do
        topic $name
        allow "$principal" --operation Write --operation Describe --operation DescribeConfigs --topic $name
    done
    allow "$principal" --operation Read --operation Describe \
        --topic segwatch.metrics.v1. --resource-pattern-type prefixed
    allow "$principal" --operation Read --operation Describe --group "${GROUP:-segwatch-central}"
    ;;
site)
    id=${2:-}
    if [ -z "$id" ]; then usage; fi
    topic "segwatch.metrics.v1.$id"
    allow "${3:-User:$id}" --operation Write --operation Describe --topic "segwatch.metrics.v1.$id"
    ;;
*) usage ;;
esac
