"""Whether a project fits the tables that its sources really have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc.schema import TableName, TableSchema
from config.owners import seen_entities
from config.places import Loc
from config.problems import Problems, suggest
from config.project import Project
from config.writers import check_writers
from tailrace.errors import ConfigError
from transforms.compile import compile_mapping
from transforms.declared import fits_declared
from transforms.disjoint import check_together
from transforms.model import Mapping as MappingModel


def validate_mappings(
    project: Project, schemas: Mapping[str, Sequence[TableSchema]]
) -> list[ConfigError]:
    """Everything that is wrong, each error with file and line.

    `schemas`: by source the tables it captures. A source that is not among them was not reached,
    and its pipelines are not looked at.
    """
    problems = Problems()
    for name, pipeline in project.pipelines.items():
        if pipeline.source in schemas:
            _fit(project, name, schemas[pipeline.source], problems)
    tables = {source: [schema.table for schema in found] for source, found in schemas.items()}
    check_writers(project, problems, tables)
    return problems.found


def _fit(project: Project, name: str, schemas: Sequence[TableSchema], problems: Problems) -> None:
    tables = {str(schema.table): schema for schema in schemas}
    source = project.pipelines[name].source
    entities = seen_entities(project, name)
    for mapping in project.pipeline_mappings(name):
        schema = tables.get(str(mapping.source))
        if schema is None:
            problems.add(
                f"mapping {mapping.mapping} reads {mapping.table}, which source {source} does not"
                " have, or which is not captured",
                project.where_in_mapping(mapping.mapping, ("table",)),
                suggest(mapping.table, tables, "it has"),
            )
            continue
        if mapping.declared is not None:
            misfits = fits_declared(schema, mapping.declared)
            _declared(project, mapping.mapping, (), misfits, problems)
        if not _lookups(project, mapping, tables, problems):
            continue
        known = {one.table: one for one in schemas}
        _, errors = compile_mapping(
            mapping, entities, schema, known, project.pipeline_mappings(name)
        )
        problems.place(errors, project.mapping_places[mapping.mapping])
    found = project.pipeline_mappings(name)
    for error in check_together(found, entities, tables):
        problems.place([error], project.mapping_places[error.mapping])
    _rules(project, name, [schema.table for schema in schemas], problems)


def _lookups(
    project: Project,
    mapping: MappingModel,
    tables: Mapping[str, TableSchema],
    problems: Problems,
) -> bool:
    """Whether all looked up tables are there."""
    absent = False
    for alias, lookup in mapping.lookups.items():
        loc: Loc = ("lookups", alias)
        real = tables.get(lookup.table)
        if real is None:
            absent = True
            problems.add(
                f"lookup {alias} of mapping {mapping.mapping} reads {lookup.table}, which its"
                " source does not have, or which is not captured",
                project.where_in_mapping(mapping.mapping, (*loc, "table")),
                suggest(lookup.table, tables, "it has"),
            )
        elif lookup.declared is not None:
            misfits = fits_declared(real, lookup.declared)
            _declared(project, mapping.mapping, loc, misfits, problems)
    return not absent


def _declared(
    project: Project,
    mapping: str,
    loc: Loc,
    misfits: Mapping[str | None, str],
    problems: Problems,
) -> None:
    for column, what in misfits.items():
        at = (*loc, "columns", *([column] if column else []))
        problems.add(
            f"mapping {mapping}, {'.'.join(map(str, (*loc, 'columns')))}: {what}",
            project.where_in_mapping(mapping, at),
            "write `columns` as the source has them; the examples hold for these only",
        )


def _rules(project: Project, name: str, tables: Sequence[TableName], problems: Problems) -> None:
    """A table that a rule names exactly must be there; one that a wildcard means may come later."""
    for at, rule in enumerate(project.pipelines[name].replicate):
        absent = {p.text for p in rule.patterns.without_match(tables) if p.exact is not None}
        for pattern_at, text in enumerate(rule.tables):
            if text.strip() in absent:
                problems.add(
                    f"source {project.pipelines[name].source} has no table {text}, or it is not"
                    " captured",
                    project.where("pipelines", name, "replicate", at, "tables", pattern_at),
                    suggest(text, map(str, tables), "it has"),
                )
