"""Kafka targets: whether their library is installed, and what a topic cannot hold."""

from __future__ import annotations

from importlib.util import find_spec

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
    for name, target in project.targets.items():
        if not isinstance(target, KafkaTarget):
            continue
        libraries, install = _LIBRARIES[target.client]
        if any(find_spec(library) is None for library in libraries):
            what = f"targets.{name}: targets of type kafka are not installed"
            problems.add(what, project.where("targets", name, "type"), install)
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
