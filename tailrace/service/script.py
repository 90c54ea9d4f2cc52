"""The whole script for the DBAs of a project: every source, every target, and the way back."""

from __future__ import annotations

from cdc.mysql.script import source_script as binlog_script
from cdc.mysql.settings import BinlogSource
from cdc.patterns import Pattern, Patterns
from cdc.postgres.script import source_script
from config.project import Project
from sinks.embedded.settings import FileTarget
from sinks.http.settings import HttpTarget
from sinks.kafka.settings import KafkaTarget
from sinks.mysql.script import target_script as mariadb_target_script
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.postgres.script import target_script
from tailrace.service.assemble_capture import object_name
from transforms.model import Replicate
from transforms.rules import target_name

_HEAD = """\
-- Run with: psql -U <administrator> -d postgres -f <this file>
-- It connects to each database in turn and makes what Tailrace needs there; nothing it makes is
-- used before `tailrace run`. It can be run again. How to take all back stands after each part.
"""


_RIGHTS = """\
-- Target {name}: a Kafka cluster. Who writes there needs, of its ACLs: Describe, DescribeConfigs,
-- Create, Read and Write on its topics and on tailrace.PIPELINE, and Describe and Write on the
-- transactional ids tailrace.PIPELINE ({pipelines}).
"""


def script(project: Project) -> str:
    """For psql; needs the projects' URLs and connects to nothing."""
    parts = [_HEAD]
    for name, source in project.sources.items():
        if isinstance(source, BinlogSource):
            parts.append(binlog_script(f"Source {name}", source))
        else:
            parts.append(source_script(f"Source {name}", source, object_name(project, name)))
    for name, target in project.targets.items():
        if isinstance(target, KafkaTarget):
            parts.append(_RIGHTS.format(name=name, pipelines=_pipelines(project, name)))
            continue
        if isinstance(target, HttpTarget):
            parts.append(f"-- Target {name}: an API, for which a database has nothing to run\n")
            continue
        writes = _writes(project, name)
        if isinstance(target, FileTarget):
            parts.append(f"-- Target {name}: a file, {target.path}; nothing is to be granted.\n")
        elif isinstance(target, MariadbTarget | MysqlTarget):
            parts.append(mariadb_target_script(f"Target {name}", target, writes))
        else:
            parts.append(target_script(f"Target {name}", target, writes))
    return "\n".join(parts)


def _pipelines(project: Project, target: str) -> str:
    return ", ".join(name for name, one in project.pipelines.items() if one.target == target)


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
