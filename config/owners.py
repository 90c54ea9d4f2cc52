"""Entities that several sources feed: who owns what, checked; and the plan for the target.

A table of a target is fed by the mappings of all pipelines that write it. Where these read several
sources, the entity's `system_of_record` says which of them owns which field.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass

from cdc.schema import TableName
from config.places import Loc
from config.problems import Problems, suggest
from config.project import Project
from transforms.composite import RESERVED, Composite, composite, side_name
from transforms.entity import Entity
from transforms.held import seen_by, unjudged
from transforms.model import Mapping, Rows
from transforms.ownership import DEFAULT, ROWS
from transforms.words import IDENTIFIER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Feed:
    """One of a mapping's rows, in a pipeline of `source`."""

    source: str
    mapping: Mapping
    loc: Loc
    rows: Rows

    @property
    def fields(self) -> list[str]:
        """What it delivers, without the key."""
        soft = self.rows.on_delete.column
        return [*self.rows.fields, *([soft] if soft else [])]

    def loc_of(self, field: str) -> Loc:
        inside = ("fields", field) if field in self.rows.fields else ("on_delete",)
        return (*self.loc, *inside)


def composites(project: Project, target: str) -> dict[TableName, Composite]:
    """By the entity's table, the plans for what several sources feed at `target`."""
    found = {}
    for table, feeds in _feeds(project, target).items():
        entity = project.entities[feeds[0].rows.entity]
        if len({feed.source for feed in feeds}) > 1:
            rules = project.targets[target].protect
            dropped = [
                name
                for name, field in entity.fields.items()
                if rules.rule(field.field_class).action == "drop"
            ]
            found[table] = composite(entity, table, _delivered(feeds), dropped)
    return found


def refuse_shared(project: Project, target: str, problems: Problems) -> None:
    """Of a target that computes nothing."""
    for one in composites(project, target).values():
        problems.add(
            f"targets.{target}: several sources feed {one.entity}, which only a database can"
            " compute",
            project.where("targets", target, "type"),
            "let one source feed it here, or write it to a database first, whose log is a"
            " source, too",
        )


def seen_entities(project: Project, pipeline: str) -> dict[str, Entity]:
    """The entities as far as the source of `pipeline` is held to them."""
    source = project.pipelines[pipeline].source
    return {name: seen_by(entity, source) for name, entity in project.entities.items()}


def entities_of(project: Project, mapping: str) -> MappingABC[str, Entity]:
    """The entities as far as the source of `mapping` is held to them; whole where none uses it."""
    for name, pipeline in project.pipelines.items():
        if mapping in pipeline.mappings:
            return seen_entities(project, name)
    return project.entities


def beside(project: Project, mapping: str) -> list[Mapping]:
    """The mappings of the first pipeline that uses this one; where none does, all there are."""
    for pipeline in project.pipelines.values():
        if mapping in pipeline.mappings:
            return [project.mappings[one] for one in pipeline.mappings if one in project.mappings]
    return list(project.mappings.values())


def check_owners(project: Project, problems: Problems) -> None:
    """Whether each field of each entity has one owner, which delivers it."""
    for entity in project.entities.values():
        _declared(project, entity, problems)
    if problems.found:
        return
    for target in project.targets:
        seen: dict[str, TableName] = {}
        sides: dict[TableName, str] = {}
        for table, feeds in _feeds(project, target).items():
            if len({feed.rows.entity for feed in feeds}) > 1:
                continue  # two entities in one table, which others say
            _Check(project, target, table, feeds, problems).run(seen, sides)


def _feeds(project: Project, target: str) -> dict[TableName, list[Feed]]:
    found: dict[TableName, list[Feed]] = {}
    for pipeline in project.pipelines.values():
        for name in pipeline.mappings if pipeline.target == target else ():
            mapping = project.mappings.get(name)
            for loc, rows in mapping.parts if mapping is not None else ():
                if rows.entity in project.entities:
                    feed = Feed(pipeline.source, mapping, loc, rows)  # type: ignore[arg-type]
                    found.setdefault(rows.target, []).append(feed)
    return found


def _delivered(feeds: Sequence[Feed]) -> dict[str, set[str]]:
    """By source the fields that it delivers, without the key."""
    found: dict[str, set[str]] = {}
    for feed in feeds:
        found.setdefault(feed.source, set()).update(feed.fields)
    return found


def _declared(project: Project, entity: Entity, problems: Problems) -> None:
    """What `system_of_record` says, by itself."""
    record = entity.system_of_record
    if record is None:
        return
    place, base = project.entity_places[entity.entity], "system_of_record"

    def add(what: str, word: str, fix: str | None = None) -> None:
        problems.add(f"{base}.{word}: {what}", place.where((base, word)), fix)

    for word in (ROWS, DEFAULT):
        if word in entity.fields:
            add(f"a field is called {word}, too, so it cannot be told what is meant", word)
    for name in record.named:
        if name in entity.key:
            add("the key has no owner, since every source gives it", name, "leave it out")
        elif name not in entity.fields:
            fields = [field for field in entity.fields if field not in entity.key]
            add(f"{entity.entity} has no such field", name, suggest(name, fields, "it has"))
    words = {name: owners.sources for name, owners in record.named.items()}
    words |= {ROWS: (record.rows,)} | ({DEFAULT: record.default.sources} if record.default else {})
    for word, sources in words.items():
        for source in sources:
            if source not in project.sources:
                add(
                    f"there is no source {source!r}",
                    word,
                    suggest(source, project.sources, "sources are"),
                )


class _Check:
    """One table of one target."""

    def __init__(
        self,
        project: Project,
        target: str,
        table: TableName,
        feeds: Sequence[Feed],
        problems: Problems,
    ) -> None:
        self._project = project
        self._target = target
        self._table = table
        self._feeds = feeds
        self._problems = problems
        self._entity = project.entities[feeds[0].rows.entity]
        self._delivered = _delivered(feeds)

    def run(self, tables: dict[str, TableName], sides: dict[TableName, str]) -> None:
        """`tables`: by entity its table with several sources, as far as seen; `sides`: whose side
        tables are called so."""
        record = self._entity.system_of_record
        several = len(self._delivered) > 1
        if record is None:
            if several:
                self._unowned()
            return
        if record.rows not in self._delivered:
            self._of_entity(
                f"{record.rows} makes the rows of {self._name}, but no mapping of it writes"
                f" {self._place}",
                ROWS,
                "name a source that does, or add a mapping to a pipeline of it",
            )
        for field in self._entity.fields:
            self._field(field, several)
        if several:
            self._fits(tables, sides)

    @property
    def _name(self) -> str:
        return self._entity.entity

    @property
    def _place(self) -> str:
        return f"{self._table} of {self._target}"

    def _unowned(self) -> None:
        first = self._feeds[0]
        second = next(feed for feed in self._feeds if feed.source != first.source)
        shared = [name for name in second.fields if name in first.fields]
        claimed = f" and claim {', '.join(shared)}" if shared else ""
        one = self._project.mapping_places[first.mapping.mapping].named(first.loc)
        two = self._project.mapping_places[second.mapping.mapping].named(second.loc)
        self._problems.add(
            f"mapping {first.mapping.mapping} ({one}) of source {first.source} and mapping"
            f" {second.mapping.mapping} ({two}) of source {second.source} both write"
            f" {self._place}{claimed}",
            self._project.where_in_mapping(
                second.mapping.mapping, second.loc_of(shared[0]) if shared else second.loc
            ),
            f"say who owns what in {self._project.entity_places[self._name].file}:"
            f" system_of_record: {{rows: {first.source}, default: {first.source}, …}}; or let"
            " each write a table of its own (into: …)",
        )

    def _field(self, field: str, several: bool) -> None:
        record = self._entity.system_of_record
        assert record is not None
        by = [source for source, fields in self._delivered.items() if field in fields]
        owners = record.owners(field)
        if field in self._entity.key or (not by and field not in record.named):
            return
        if owners is None:
            self._of_entity(
                f"{field} of {self._name} has no owner, and {' and '.join(by)} delivers it",
                "",
                f"add {field}: {by[0]}, or a default",
            )
            return
        absent = [source for source in owners.sources if source not in by]
        if field in record.named and several and absent:
            self._of_entity(
                f"{absent[0]} owns {field} of {self._name}, but no mapping of it delivers it to"
                f" {self._place}",
                field,
                f"add {field} to a mapping of {absent[0]}, or name an owner that delivers it",
            )
        elif by and len(absent) == len(owners.sources):
            feed = next(feed for feed in self._feeds if field in feed.fields)
            self._problems.add(
                f"mapping {feed.mapping.mapping} delivers {field} of {self._name}, which"
                f" {' and '.join(owners.sources)} owns and does not deliver to {self._place}",
                self._project.where_in_mapping(feed.mapping.mapping, feed.loc_of(field)),
                f"add {field}: {feed.source} to system_of_record in"
                f" {self._project.entity_places[self._name].file}, or leave the field out",
            )

    def _fits(self, tables: dict[str, TableName], sides: dict[TableName, str]) -> None:
        for field in self._entity.fields:
            if field.startswith(RESERVED):
                where = self._project.entity_places[self._name].where(("fields", field))
                what = (
                    f"{field}: where several sources feed an entity, names in {RESERVED}… are ours"
                )
                self._problems.add(what, where, "rename the field")
        for loc, reads in unjudged(self._entity, list(self._delivered)):
            self._problems.add(
                f"{'.'.join(map(str, loc))}: no source owns all that it reads ({', '.join(reads)}),"
                " so nothing can judge it",
                self._project.entity_places[self._name].where(loc),
                "let it read fields of one owner",
            )
        other = tables.setdefault(self._name, self._table)
        if other != self._table:
            feed = self._feeds[0]
            self._problems.add(
                f"{self._name} is fed by several sources both in {other} and in {self._table} of"
                f" {self._target}",
                self._project.where_in_mapping(feed.mapping.mapping, (*feed.loc, "into")),
                "let all of them write one table",
            )
        for feed in self._feeds:
            if feed.mapping.existing == "keep":
                self._problems.add(
                    f"mapping {feed.mapping.mapping}: rows of others cannot be kept in"
                    f" {self._place}, which is computed from several sources",
                    self._project.where_in_mapping(feed.mapping.mapping, ("existing",)),
                    "remove existing: keep",
                )
        for source in self._delivered:
            self._side(source, sides)

    def _side(self, source: str, sides: dict[TableName, str]) -> None:
        side = side_name(self._name, source)
        of = sides.setdefault(side, self._name)
        if len(side.name.encode()) > IDENTIFIER_BYTES_MAX:
            what = f"the name of its table {side} has more than {IDENTIFIER_BYTES_MAX} bytes"
        elif of != self._name:
            what = f"its table {side} would be that of entity {of}, too"
        else:
            return
        where = self._project.entity_places[self._name].where(("entity",))
        self._problems.add(f"entity {self._name}: {what}", where, "rename the entity")

    def _of_entity(self, what: str, word: str, fix: str) -> None:
        loc: Loc = ("system_of_record", word) if word else ("system_of_record",)
        self._problems.add(what, self._project.entity_places[self._name].where(loc), fix)
