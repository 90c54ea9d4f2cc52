"""The whole script for the DBAs of a project: every source, every target, and the way back."""

from __future__ import annotations

from cdc.patterns import Pattern, Patterns
from config.project import Project
from tailrace.service.sources.registry import adapter_of as source_adapter
from tailrace.service.targets.registry import adapter_of as target_adapter
from transforms.model import Replicate
from transforms.rules import target_name

_HEAD = """\
-- Run with: psql -U <administrator> -d postgres -f <this file>
-- It connects to each database in turn and makes what Tailrace needs there; nothing it makes is
-- used before `tailrace run`. It can be run again. How to take all back stands after each part.
"""


def script(project: Project) -> str:
    """For psql; needs the projects' URLs and connects to nothing."""
    parts = [_HEAD, *(source_adapter(project, name).script(name) for name in project.sources)]
    for name, target in project.targets.items():
        pipelines = [key for key, one in project.pipelines.items() if one.target == name]
        parts.append(target_adapter(target).script(name, _writes(project, name), pipelines))
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
