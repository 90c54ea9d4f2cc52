"""The whole script for the DBAs of a project: every source, every target, and the way back."""

from __future__ import annotations

from cdc.kafka.settings import KafkaDebeziumSource
from cdc.mysql.script import source_script as binlog_script
from cdc.mysql.settings import BinlogSource
from cdc.patterns import Pattern, Patterns
from cdc.postgres.script import source_script
from config.project import Project
from tailrace.service.assemble_capture import object_name
from tailrace.service.targets.registry import adapter_of
from transforms.model import Replicate
from transforms.rules import target_name

_HEAD = """\
-- Run with: psql -U <administrator> -d postgres -f <this file>
-- It connects to each database in turn and makes what Tailrace needs there; nothing it makes is
-- used before `tailrace run`. It can be run again. How to take all back stands after each part.
"""


_TOPICS = """\
-- Source {name}: topics of Kafka, {topics}. Where the cluster has ACLs its user needs DESCRIBE,
-- READ and DESCRIBE_CONFIGS on them, DESCRIBE on the cluster, and READ on the group {group}.
"""


def script(project: Project) -> str:
    """For psql; needs the projects' URLs and connects to nothing."""
    parts = [_HEAD]
    for name, source in project.sources.items():
        if isinstance(source, KafkaDebeziumSource):
            topics = ", ".join(source.topics)
            group = source.group or object_name(project, name)
            parts.append(_TOPICS.format(name=name, topics=topics, group=group))
        elif isinstance(source, BinlogSource):
            parts.append(binlog_script(f"Source {name}", source))
        else:
            parts.append(source_script(f"Source {name}", source, object_name(project, name)))
    for name, target in project.targets.items():
        pipelines = [key for key, one in project.pipelines.items() if one.target == name]
        parts.append(adapter_of(target).script(name, _writes(project, name), pipelines))
    return "\n".join(parts)


def _writes(project: Project, target: str) -> Patterns:
    """The tables of a target that the project's pipelines write, as far as its files tell."""
    texts: dict[str, None] = {}
    for name, pipeline in project.pipelines.items():
        if pipeline.target != target:
            continue
        for mapping in project.pipeline_mappings(name):
            for _, rows in mapping.parts:
                texts[_exactly(rows.target.schema, rows.target.name)] = None
        for rule in pipeline.replicate:
            for pattern in rule.patterns.included:
                texts[_copied(pattern, rule)] = None
    return Patterns.parse(texts)


def _copied(pattern: Pattern, rule: Replicate) -> str:
    """What the target's tables are called that a pattern is copied into."""
    table = target_name(pattern.exact or pattern.written, rule)
    if pattern.exact is not None:
        return _exactly(table.schema, table.name)
    text = f"{table.schema}.{table.name}"
    return text if '"' not in text and text.count(".") == 1 else "*.*"


def _exactly(schema: str, name: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
