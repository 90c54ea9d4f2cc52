"""Who writes which table of which target: each table has one writer.

A pipeline knows only the rows that it wrote itself; a snapshot of one would clear those of another.
The mappings of one pipeline may share a table; `transforms.disjoint` sees to those. So may those of
several sources, each of which then has a side table of its own (`config.owners`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from cdc.patterns import Pattern
from cdc.schema import TableName
from config.places import Loc
from config.problems import Problems
from config.project import Project, Source, Target
from transforms.rules import rule_for, target_name


@dataclass(frozen=True, slots=True)
class Writer:
    """`what` writes: a mapping to `entity`, or a copy of a table. `at`: where that is declared."""

    pipeline: str
    target: str
    table: TableName
    reads: TableName
    what: str
    entity: str | None
    at: str
    where: dict[str, object]


def check_writers(
    project: Project,
    problems: Problems,
    tables: Mapping[str, Iterable[TableName]] | None = None,
) -> None:
    """`tables`: what each source really has; left out, the tables that the files name exactly."""
    known = _named_tables(project) if tables is None else tables
    first: dict[tuple[str, TableName], Writer] = {}
    for writer in _writers(project, known):
        other = first.setdefault((writer.target, writer.table), writer)
        if other is not writer and _conflict(project, other, writer):
            problems.add(
                f"{writer.what} and {other.what} ({other.at}) both write {writer.table} of"
                f" {writer.target}",
                writer.where,
                "name another table with `into` in one of them",
            )
        if _is_itself(project, writer):
            problems.add(
                f"{writer.what} writes the table it reads: source and target are one database",
                writer.where,
                "name another table with `into`",
            )
    _check_same_rules(project, problems)
    _check_onto_itself(project, problems)


def _conflict(project: Project, one: Writer, two: Writer) -> bool:
    """`config.owners` sees to the mappings of several sources that feed one entity."""
    if one.pipeline == two.pipeline:
        return not (one.entity and two.entity) and one.what != two.what
    sources = {project.pipelines[writer.pipeline].source for writer in (one, two)}
    return one.entity is None or one.entity != two.entity or len(sources) == 1


def _is_itself(project: Project, writer: Writer) -> bool:
    source = project.sources[project.pipelines[writer.pipeline].source]
    return writer.reads == writer.table and _is_one(source, project.targets[writer.target])


def _writers(project: Project, tables: Mapping[str, Iterable[TableName]]) -> Iterator[Writer]:
    for name, pipeline in project.pipelines.items():
        if pipeline.source not in project.sources or pipeline.target not in project.targets:
            continue
        for mapping in pipeline.mappings:
            if mapping in project.mappings:
                yield from _mapped(project, name, mapping)
        patterns = project.sources[pipeline.source].patterns
        for table in sorted(set(tables.get(pipeline.source, ()))):
            rule = rule_for(table, pipeline.replicate)
            if rule is not None and patterns.matches(table):
                loc: Loc = ("pipelines", name, "replicate", pipeline.replicate.index(rule))
                yield Writer(
                    name,
                    pipeline.target,
                    target_name(table, rule),
                    table,
                    f"pipeline {name}'s copy of {table}",
                    None,
                    project.places.named(loc),
                    project.places.where(loc),
                )


def _mapped(project: Project, pipeline: str, mapping: str) -> Iterator[Writer]:
    places = project.mapping_places[mapping]
    declared = project.mappings[mapping]
    for loc, rows in declared.parts:
        at = (*loc, "into" if rows.into else "entity")
        yield Writer(
            pipeline,
            project.pipelines[pipeline].target,
            rows.target,
            declared.source,
            f"mapping {mapping} in pipeline {pipeline}",
            rows.entity,
            places.named(at),
            places.where(at),
        )


def _named_tables(project: Project) -> dict[str, set[TableName]]:
    """The tables of each source that the files name without a wildcard."""
    named: dict[str, set[TableName]] = {
        name: {p.exact for p in source.patterns.included if p.exact is not None}
        for name, source in project.sources.items()
    }
    for pipeline in project.pipelines.values():
        for rule in pipeline.replicate:
            exact = {p.exact for p in rule.patterns.included if p.exact is not None}
            named.setdefault(pipeline.source, set()).update(exact)
    return named


def _check_same_rules(project: Project, problems: Problems) -> None:
    """Two pipelines from one source to one target with one wildcard in common."""
    for (name, one), (other_name, two) in combinations(project.pipelines.items(), 2):
        if (one.source, one.target) != (two.source, two.target):
            continue
        for at, rule in enumerate(two.replicate):
            for first_at, first in enumerate(one.replicate):
                if first.into == rule.into and _share(first.tables, rule.tables):
                    named = project.places.named(("pipelines", name, "replicate", first_at))
                    problems.add(
                        f"pipelines {name} ({named}) and {other_name} both copy the same tables"
                        f" to {two.target}",
                        project.where("pipelines", other_name, "replicate", at),
                        "name other tables with `into` in one of them, or remove it",
                    )


def _check_onto_itself(project: Project, problems: Problems) -> None:
    for name, pipeline in project.pipelines.items():
        source = project.sources.get(pipeline.source)
        target = project.targets.get(pipeline.target)
        if source is None or target is None or not _is_one(source, target):
            continue
        for at, rule in enumerate(pipeline.replicate):
            wild = any(pattern.exact is None for pattern in rule.patterns.included)
            if wild and rule.into == "{schema}.{table}":
                problems.add(
                    f"pipeline {name} copies tables onto themselves: source and target are one"
                    " database",
                    project.where("pipelines", name, "replicate", at),
                    "name another schema with `into`",
                )


def _share(one: Iterable[str], two: Iterable[str]) -> bool:
    """Whether both have a pattern with a wildcard in common."""
    shared = {text.strip() for text in one} & {text.strip() for text in two}
    patterns = [Pattern.parse(text) for text in shared]
    return any(pattern.exact is None and not pattern.excludes for pattern in patterns)


def _is_one(source: Source, target: Target) -> bool:
    """Whether they are one database, as far as what is written tells; a file or a topic has no
    `url`."""
    url = getattr(source, "url", None)
    return url is not None and url == getattr(target, "url", None)
