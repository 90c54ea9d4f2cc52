"""Kafka: whether its library is installed, and what a topic as a target cannot hold."""

from __future__ import annotations

from cdc.kafka.settings import KafkaDebeziumSource
from config.extras import Extra, check_installed
from config.owners import refuse_shared
from config.problems import Problems
from config.project import Project
from sinks.kafka.settings import KafkaTarget

_EXTRAS = {
    "kafka-python": Extra("kafka", ("kafka", "crc32c", "lz4", "zstandard")),
    "confluent": Extra("confluent", ("confluent_kafka", "crc32c", "lz4", "zstandard")),
}


def check_brokers(project: Project, problems: Problems) -> None:
    for name, source in project.sources.items():
        if isinstance(source, KafkaDebeziumSource):
            extra = _EXTRAS[source.client]
            check_installed(project, problems, ("sources", name), source.type, extra)
    _refuse_back(project, problems)
    for name, target in project.targets.items():
        if not isinstance(target, KafkaTarget):
            continue
        check_installed(project, problems, ("targets", name), target.type, _EXTRAS[target.client])
        if problems.found:
            return
        refuse_shared(project, name, problems)


def _refuse_back(project: Project, problems: Problems) -> None:
    """Events would have to name a connector and its place in a log, and the topics have neither."""
    for name, pipeline in project.pipelines.items():
        source = project.sources.get(pipeline.source)
        target = project.targets.get(pipeline.target)
        if isinstance(source, KafkaDebeziumSource) and isinstance(target, KafkaTarget):
            problems.add(
                f"pipelines.{name}: what Debezium wrote to Kafka is not written to Kafka again",
                project.where("pipelines", name, "target"),
                "let the readers read Debezium's topics, or write it to a database first, whose"
                " log is a source, too",
            )
