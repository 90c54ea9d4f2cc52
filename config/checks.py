"""What the files say of each other: names, tables, and who writes where."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cdc.patterns import OWN_SCHEMA, Pattern
from cdc.postgres.settings import IDENTIFIER_BYTES_MAX, PostgresSource
from cdc.schema import TableName
from config.apis import check_apis
from config.brokers import check_brokers
from config.embedded import check_files
from config.identities import check_identities
from config.owners import beside, check_owners, entities_of, seen_entities
from config.places import Loc, Places
from config.problems import Problems, suggest
from config.project import Pipeline, Project, Source
from config.protection import check_keys, check_protection
from config.secrets import is_unresolved
from config.writers import check_writers
from transforms.entity import Entity
from transforms.model import Mapping, Replicate
from transforms.rules import target_name


def check(project: Project, problems: Problems) -> None:
    """Everything below, in this order."""
    for rule in _RULES:
        rule(project, problems)


def _names(project: Project, problems: Problems) -> None:
    def check_name(name: str, known: Iterable[str], kind: str, loc: Loc) -> None:
        if name not in known:
            what = f"{_dotted(loc)}: there is no {kind} {name!r}"
            problems.add(what, project.where(*loc), suggest(name, known, f"{kind}s are"))

    for name, pipeline in project.pipelines.items():
        loc: Loc = ("pipelines", name)
        check_name(pipeline.source, project.sources, "source", (*loc, "source"))
        check_name(pipeline.target, project.targets, "target", (*loc, "target"))
        for at, mapping in enumerate(pipeline.mappings):
            check_name(mapping, project.mappings, "mapping", (*loc, "mappings", at))
            if mapping in pipeline.mappings[:at]:
                what = f"pipelines.{name}.mappings names {mapping!r} twice"
                problems.add(what, project.where(*loc, "mappings", at), "remove one of them")
        if not pipeline.replicate and not pipeline.mappings:
            problems.add(
                f"pipelines.{name} moves nothing",
                project.where(*loc),
                "give it `replicate` rules or `mappings`",
            )


def _slots(project: Project, problems: Problems) -> None:
    """Each source has a slot of its own, whose name is not cut off."""
    seen: dict[tuple[str, str], str] = {}
    for name, source in project.sources.items():
        if not isinstance(source, PostgresSource):
            continue
        long = len(f"tailrace_{project.project}_{name}") > IDENTIFIER_BYTES_MAX
        if long and not (source.slot and source.publication):
            problems.add(
                f"sources.{name}: a slot named after project and source has more than"
                f" {IDENTIFIER_BYTES_MAX} characters",
                project.where("sources", name),
                "shorten a name, or set `slot` and `publication`",
            )
        if source.slot is None:
            continue
        other = seen.setdefault((source.url, source.slot), name)
        if other != name:
            problems.add(
                f"sources.{name}.slot is that of sources.{other}, too",
                project.where("sources", name, "slot"),
                "a slot serves one source: name another",
            )


def check_contract(entity: Entity, places: Places, problems: Problems) -> None:
    """Whether an entity's contract contradicts itself."""
    if entity.demanding:
        from transforms.contradictions import check_entity  # it takes DuckDB

        problems.place(check_entity(entity), places)


def _entities(project: Project, problems: Problems) -> None:
    for name, entity in project.entities.items():
        check_contract(entity, project.entity_places[name], problems)
    if any(entity.demanding for entity in project.entities.values()) and not problems.found:
        from transforms.contradictions import never_judged

        for error in never_judged(project.entities, project.mappings.values()):
            problems.place([error], project.entity_places[error.entity])


def _mappings(project: Project, problems: Problems) -> None:
    if not project.mappings:
        return
    # Only now, since the parser takes as long to import as all the rest together.
    from transforms.checks import check_syntax
    from transforms.compile import compile_mapping
    from transforms.example_checks import check_examples

    for name, mapping in project.mappings.items():
        users = [key for key, pipeline in project.pipelines.items() if name in pipeline.mappings]
        for entities in [seen_entities(project, key) for key in users] or [dict(project.entities)]:
            errors = check_syntax(mapping, entities)
            declared = mapping.declared is not None and _lookups_declared(mapping)
            if mapping.declared is not None and declared and not errors:
                others = beside(project, name)
                _, errors = compile_mapping(mapping, entities, mapping.declared, others=others)
            problems.place(errors, project.mapping_places[name])
        problems.place(check_examples(mapping), project.mapping_places[name])
        for loc, rows in mapping.parts:
            where = project.where_in_mapping(name, (*loc, "into" if rows.into else "entity"))
            _check_target(rows.target, where, f"mapping {name}", problems)


def _freshness(project: Project, problems: Problems) -> None:
    """What a contract promises of a field, some mapping has to deliver from its source."""
    for name, entity in project.entities.items():
        if entity.freshness is None or problems.found:
            continue
        field = entity.freshness.field
        parts = [
            rows
            for pipeline in project.pipelines
            for mapping in project.pipeline_mappings(pipeline)
            for _, rows in mapping.parts
            if rows.entity == name
        ]
        given = [rows.fields[field] for rows in parts if field in rows.fields]
        keyed = any(field in rows.key for rows in parts)
        if parts and not keyed and all(rule.value is not None for rule in given):
            what = "gives it a constant" if given else "delivers it"
            who = "every mapping" if given else "no mapping"
            problems.add(
                f"entity {name}, freshness: {who} {what}, so it never gets any newer",
                project.entity_places[name].where(("freshness", "field")),
                "map it to a column that says when the row was changed",
            )


def _lookups_declared(mapping: Mapping) -> bool:
    """Without their columns a mapping is only checked against its source."""
    return all(lookup.columns is not None for lookup in mapping.lookups.values())


def _references(project: Project, problems: Problems) -> None:
    """References are resolved where the entities are, in the transaction that writes them."""
    for name, pipeline in project.pipelines.items():
        target = project.targets.get(pipeline.target)
        if target is None or target.type in _FINDING:
            continue
        for mapping in pipeline.mappings:
            declared = project.mappings.get(mapping)
            for loc, rows in () if declared is None else declared.parts:
                for field, rule in rows.fields.items():
                    if rule.ref is not None:
                        problems.add(
                            f"mapping {mapping}, fields.{field}: a target of type {target.type}"
                            f" (pipeline {name}) does not tell which {rule.ref} it has",
                            project.where_in_mapping(mapping, (*loc, "fields", field, "ref")),
                            "make the key by an expression",
                        )


_FINDING = ("postgres", "mariadb", "mysql", "sqlite", "duckdb")


def _constants(project: Project, problems: Problems) -> None:
    """What mappings write for certain meets the contract."""
    if problems.found or not any(entity.demanding for entity in project.entities.values()):
        return
    from transforms.contradictions import check_constants

    for name, mapping in project.mappings.items():
        found = check_constants(mapping, entities_of(project, name))
        problems.place(found, project.mapping_places[name])


def _together(project: Project, problems: Problems) -> None:
    if not project.mappings or problems.found:
        return  # a mapping that is wrong by itself would be found wrong here once more
    from transforms.disjoint import check_together

    for name, pipeline in project.pipelines.items():
        known = [project.mappings[each] for each in pipeline.mappings if each in project.mappings]
        for error in check_together(known, seen_entities(project, name), {}):
            problems.place([error], project.mapping_places[error.mapping])


def _captured(project: Project, problems: Problems) -> None:
    """What a pipeline reads is among what its source captures."""
    for name, pipeline in project.pipelines.items():
        source = project.sources.get(pipeline.source)
        if source is None or any(is_unresolved(pattern) for pattern in source.tables):
            continue
        fix = f"add it to sources.{pipeline.source}.tables"
        for mapping in pipeline.mappings:
            declared = project.mappings.get(mapping)
            if declared is not None and not source.patterns.matches(declared.source):
                problems.add(
                    f"mapping {mapping} reads {declared.table}, which source"
                    f" {pipeline.source} does not capture",
                    project.where_in_mapping(mapping, ("table",)),
                    fix,
                )
            for alias, lookup in () if declared is None else declared.lookups.items():
                if not source.patterns.matches(lookup.source):
                    problems.add(
                        f"lookup {alias} of mapping {mapping} reads {lookup.table}, which source"
                        f" {pipeline.source} does not capture",
                        project.where_in_mapping(mapping, ("lookups", alias, "table")),
                        fix,
                    )
        for at, pattern_at, pattern in _patterns(pipeline):
            if not _can_capture(source, pattern):
                loc: Loc = ("pipelines", name, "replicate", at, "tables", pattern_at)
                problems.add(
                    f"{_dotted(loc)}: source {pipeline.source} captures no table that matches"
                    f" {pattern.text}",
                    project.where(*loc),
                    fix,
                )


def _patterns(pipeline: Pipeline) -> Iterable[tuple[int, int, Pattern]]:
    """Those that include tables, with the index of their rule and their own."""
    for at, rule in enumerate(pipeline.replicate):
        for pattern_at, text in enumerate(rule.tables):
            pattern = Pattern.parse(text)
            if not pattern.excludes:
                yield at, pattern_at, pattern


def _can_capture(source: Source, pattern: Pattern) -> bool:
    if pattern.exact is not None:
        return source.patterns.matches(pattern.exact)
    return any(pattern.meets(other) for other in source.patterns.included)


def _replicate(project: Project, problems: Problems) -> None:
    for name, pipeline in project.pipelines.items():
        for at, rule in enumerate(pipeline.replicate):
            where = project.where("pipelines", name, "replicate", at, "into")
            place = f"pipelines.{name}.replicate.{at}"
            _check_target(_example_target(rule), where, place, problems)
            if "{table}" in rule.into:
                continue
            if any(pattern.exact is None for pattern in rule.patterns.included):
                problems.add(
                    f"{place} writes all tables that match into {rule.into}",
                    where,
                    "put {table} into the name, or name one table",
                )


def _example_target(rule: Replicate) -> TableName:
    """The target of some table; its schema is the rule's own unless it says ``{schema}``."""
    return target_name(TableName("any", "any"), rule)


def _check_target(
    target: TableName, where: dict[str, object], place: str, problems: Problems
) -> None:
    system = target.schema.startswith("pg_") or target.schema == "information_schema"
    if target.schema == OWN_SCHEMA or system:
        owner = "the database's own" if system else "where Tailrace keeps its checkpoints"
        problems.add(
            f"{place} writes into schema {target.schema}, which is {owner}",
            where,
            "name another schema with `into`",
        )


def _dotted(loc: Loc) -> str:
    return ".".join(map(str, loc))


_RULES: tuple[Callable[[Project, Problems], None], ...] = (
    _names,
    _slots,
    _entities,
    _mappings,
    _references,
    _freshness,
    _constants,
    check_owners,
    check_files,
    _together,
    _captured,
    _replicate,
    check_writers,
    check_keys,
    check_protection,
    check_identities,
    check_brokers,
    check_apis,
)
