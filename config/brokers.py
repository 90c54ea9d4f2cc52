"""Kafka: whether its library is installed, and what a topic as a target cannot hold."""

from __future__ import annotations

from importlib.util import find_spec

from cdc.kafka.settings import KafkaDebeziumSource
from config.owners import composites
from config.problems import Problems
from config.project import Project
from sinks.kafka.settings import KafkaTarget

_LIBRARIES = {
    "kafka-python": (("kafka", "crc32c", "lz4", "zstandard"), "pip install 'tailrace[kafka]'"),
    "confluent": (
        ("confluent_kafka", "crc32c", "lz4", "zstandard"),
        "pip install 'tailrace[confluent]'",
    ),
}


def check_brokers(project: Project, problems: Problems) -> None:
    for name, source in project.sources.items():
        if isinstance(source, KafkaDebeziumSource):
            _installed(project, problems, ("sources", name), source)
    _refuse_back(project, problems)
    for name, target in project.targets.items():
        if not isinstance(target, KafkaTarget):
            continue
        _installed(project, problems, ("targets", name), target)
        if problems.found:
            return
        for composite in composites(project, name).values():
            problems.add(
                f"targets.{name}: several sources feed {composite.entity}, which only a database"
                " can compute",
                project.where("targets", name, "type"),
                "let one source feed it here, or write it to a database first, whose log is a"
                " source, too",
            )


def _installed(
    project: Project,
    problems: Problems,
    loc: tuple[str, str],
    settings: KafkaTarget | KafkaDebeziumSource,
) -> None:
    libraries, install = _LIBRARIES[settings.client]
    if any(find_spec(library) is None for library in libraries):
        what = f"{'.'.join(loc)}: {loc[0]} of type {settings.type} are not installed"
        problems.add(what, project.where(*loc, "type"), install)


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
