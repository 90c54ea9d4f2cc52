"""What the catalog says of the tables an operator means, and of one the stream has just named.

Columns are those that the log carries, in its order (`attnum`): without dropped ones, without
generated ones (unless the publication has them), without those a publication's column list leaves
out. All queries are set-wise: a schema of thousands of tables takes as many as one of three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cdc.patterns import OWN_SCHEMA, Patterns
from cdc.postgres.session import Connection
from cdc.postgres.typenames import TypeName, name_types
from cdc.schema import Column, Identity, TableName, TableSchema

Kind = Literal["table", "partitioned", "foreign", "view"]

_KINDS: dict[str, Kind] = {
    "r": "table", "p": "partitioned", "f": "foreign", "v": "view", "m": "view",
}  # fmt: skip
_IDENTITIES: dict[str, Identity] = {"d": "default", "i": "index", "f": "full", "n": "nothing"}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    references: TableName
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """A unique index. `plain`: neither partial nor over expressions, and valid. `immediate`: not
    deferrable."""

    name: str
    columns: tuple[str, ...]
    primary: bool
    identity: bool
    immediate: bool
    plain: bool


@dataclass(frozen=True, slots=True)
class Published:
    """How a publication publishes one table; `columns` None: those it publishes by default."""

    columns: tuple[str, ...] | None
    row_filter: str | None


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table as the catalog has it; `schema` as the log sends it.

    withheld         columns that the log does not carry, and why: ``generated`` or ``unlisted``
    parent           the table it inherits from or is a partition of
    has_children     other tables inherit from it (not: partitions)
    published        how the publication has it; None: not at all
    rows_estimated   what the last ANALYZE found, over all partitions; -1: never analysed
    bytes            the same for the rows' size. (Measuring it would take a lock on each table.)
    """

    oid: int
    schema: TableSchema
    kind: Kind
    persistence: Literal["permanent", "unlogged", "temporary"]
    owner: str
    comment: str | None
    column_comments: dict[str, str]
    withheld: dict[str, str]
    primary_key: tuple[str, ...]
    unique_indexes: tuple[UniqueIndex, ...]
    foreign_keys: tuple[ForeignKey, ...]
    parent: TableName | None
    has_children: bool
    published: Published | None
    rows_estimated: int
    bytes: int

    @property
    def name(self) -> TableName:
        return self.schema.table

    @property
    def is_capturable(self) -> bool:
        """Whether it is a table of this server, with rows of its own or in partitions."""
        return self.kind in ("table", "partitioned")


_RELATIONS = """
select c.oid, n.nspname as schema, c.relname as name, c.relkind::text as kind,
       c.relpersistence::text as persistence, c.relreplident::text as identity,
       c.relispartition as is_partition, pg_get_userbyid(c.relowner) as owner,
       obj_description(c.oid, 'pg_class') as comment,
       (select inhparent from pg_inherits where inhrelid = c.oid order by inhseqno limit 1)
           as parent,
       c.relhassubclass and c.relkind = 'r'
           and exists (select from pg_inherits where inhparent = c.oid) as has_children
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f', 'v', 'm')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname, c.relname
"""
_SIZES = """
select r.oid, case when bool_or(leaf.reltuples < 0) then -1 else sum(leaf.reltuples)::bigint end,
       sum(leaf.relpages::bigint) * current_setting('block_size')::bigint
from unnest(%s::oid[]) r(oid)
cross join lateral (
    select r.oid where not exists (select from pg_partition_tree(r.oid))
    union all select relid from pg_partition_tree(r.oid) where isleaf
) part(oid)
join pg_class leaf on leaf.oid = part.oid
group by r.oid
"""
_COLUMNS = """
select attrelid, attname, atttypid, atttypmod, attnotnull, attgenerated <> '',
       col_description(attrelid, attnum)
from pg_attribute
where attrelid = any(%s) and attnum > 0 and not attisdropped
order by attrelid, attnum
"""
_UNIQUE_INDEXES = """
select i.indrelid, c.relname, i.indisprimary, i.indisreplident, i.indimmediate,
       i.indisvalid and i.indpred is null and i.indexprs is null,
       array(select a.attname::text from unnest(i.indkey) with ordinality k(attnum, n)
             join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
             where k.n <= i.indnkeyatts order by k.n)
from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indisunique and i.indrelid = any(%s)
order by i.indrelid, not i.indisprimary, c.relname
"""
_FOREIGN_KEYS = """
select f.conrelid, f.conname, rn.nspname, rc.relname,
       array(select a.attname::text from unnest(f.conkey) with ordinality k(attnum, n)
             join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.attnum order by k.n),
       array(select a.attname::text from unnest(f.confkey) with ordinality k(attnum, n)
             join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.attnum order by k.n)
from pg_constraint f
join pg_class rc on rc.oid = f.confrelid join pg_namespace rn on rn.oid = rc.relnamespace
where f.contype = 'f' and f.conparentid = 0 and f.conrelid = any(%s)
order by f.conrelid, f.conname
"""
_PUBLISHED_14 = """
select schemaname, tablename, null::text[], null::text
from pg_publication_tables where pubname = %s
"""
_PUBLISHED_15 = """
select schemaname, tablename, attnames::text[], rowfilter
from pg_publication_tables where pubname = %s
"""


def read_tables(
    connection: Connection, patterns: Patterns, publication: str | None = None
) -> list[CatalogTable]:
    """The relations that `patterns` name, by name; of a partitioned table only its root.

    With `publication` the columns are those that it publishes. Views and foreign tables are among
    them, for a preflight to refuse.
    """
    return _Reader(connection, publication).read(_chosen(connection, patterns))


def read_names(connection: Connection) -> list[TableName]:
    """Every table and view that is not the system's."""
    return [TableName(row[1], row[2]) for row in connection.execute(_RELATIONS)]


def _chosen(connection: Connection, patterns: Patterns) -> list[Any]:
    cursor = connection.execute(_RELATIONS)
    names = [column.name for column in cursor.description or ()]
    relations = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}

    def is_meant(relation: dict[str, Any]) -> bool:
        found = patterns.named_by(TableName(relation["schema"], relation["name"]))
        return found is not None and (found.exact is not None or relation["schema"] != OWN_SCHEMA)

    meant = {oid for oid, relation in relations.items() if is_meant(relation)}

    def root_is_meant(relation: dict[str, Any]) -> bool:
        while relation["is_partition"]:
            if relation["parent"] in meant:
                return True
            relation = relations[relation["parent"]]
        return False

    for relation in relations.values():
        above = relations.get(relation["parent"])
        relation["parent_name"] = above and TableName(above["schema"], above["name"])
    return [relations[oid] for oid in meant if not root_is_meant(relations[oid])]


class _Reader:
    """Everything the catalog has about a list of relations."""

    def __init__(self, connection: Connection, publication: str | None) -> None:
        self._connection = connection
        self._published = _published(connection, publication)
        self._generated_sent = connection.info.server_version >= 180000

    def read(self, relations: Sequence[dict[str, Any]]) -> list[CatalogTable]:
        oids = [relation["oid"] for relation in relations]
        columns = _by_table(self._connection, _COLUMNS, oids)
        types = name_types(
            self._connection, [(row[1], row[2]) for rows in columns.values() for row in rows]
        )
        indexes = read_indexes(self._connection, oids)
        foreign_keys = _by_table(self._connection, _FOREIGN_KEYS, oids)
        sizes = _by_table(self._connection, _SIZES, oids)
        return sorted(
            (
                self._table(
                    relation,
                    columns[relation["oid"]],
                    types,
                    indexes.get(relation["oid"], ()),
                    foreign_keys[relation["oid"]],
                    sizes[relation["oid"]],
                )
                for relation in relations
            ),
            key=lambda table: table.name,
        )

    def _table(
        self,
        relation: dict[str, Any],
        columns: Sequence[Any],
        types: dict[tuple[int, int], TypeName],
        indexes: tuple[UniqueIndex, ...],
        foreign_keys: Sequence[Any],
        sizes: Sequence[Any],
    ) -> CatalogTable:
        name = TableName(relation["schema"], relation["name"])
        published = self._published.get(name)
        withheld = _withheld(columns, published, self._generated_sent)
        identity = _IDENTITIES[relation["identity"]]
        key = identity_key(identity, indexes)
        schema = TableSchema(
            table=name,
            columns=tuple(
                _column(column, types[oid, modifier], not_null)
                for column, oid, modifier, not_null, *_ in columns
                if column not in withheld
            ),
            key=() if withheld.keys() & set(key) else key,
            identity=identity,
        )
        rows, size = sizes[0]
        return CatalogTable(
            oid=relation["oid"],
            schema=schema,
            kind=_KINDS[relation["kind"]],
            persistence={"p": "permanent", "u": "unlogged", "t": "temporary"}[
                relation["persistence"]
            ],  # type: ignore[arg-type]
            owner=relation["owner"],
            comment=relation["comment"],
            column_comments={row[0]: row[5] for row in columns if row[5]},
            withheld=withheld,
            primary_key=next((index.columns for index in indexes if index.primary), ()),
            unique_indexes=indexes,
            foreign_keys=tuple(
                ForeignKey(fk, tuple(cols), TableName(*target), tuple(target_cols))
                for fk, *target, cols, target_cols in foreign_keys
            ),
            parent=relation["parent_name"],
            has_children=relation["has_children"],
            published=published,
            rows_estimated=rows,
            bytes=int(size),
        )


def read_indexes(connection: Connection, oids: Sequence[int]) -> dict[int, tuple[UniqueIndex, ...]]:
    """The unique indexes of each table, the primary key's first."""
    return {
        oid: tuple(UniqueIndex(name, tuple(columns), *flags) for name, *flags, columns in rows)
        for oid, rows in _by_table(connection, _UNIQUE_INDEXES, oids).items()
    }


def _by_table(
    connection: Connection, query: str, oids: Sequence[int]
) -> defaultdict[int, list[Any]]:
    grouped: defaultdict[int, list[Any]] = defaultdict(list)
    for oid, *rest in connection.execute(query.encode(), (list(oids),)).fetchall():
        grouped[oid].append(rest)
    return grouped


def _published(connection: Connection, publication: str | None) -> dict[TableName, Published]:
    if publication is None:
        return {}
    query = _PUBLISHED_15 if connection.info.server_version >= 150000 else _PUBLISHED_14
    return {
        TableName(schema, name): Published(columns and tuple(columns), row_filter)
        for schema, name, columns, row_filter in connection.execute(query, (publication,))
    }


def _withheld(
    columns: Sequence[Any], published: Published | None, generated_sent: bool
) -> dict[str, str]:
    """PostgreSQL 15 to 17 list generated columns as published and do not send them."""
    listed = published.columns if published else None
    withheld = {}
    for name, _, _, _, generated, _comment in columns:
        if generated and (listed is None or not generated_sent or name not in listed):
            withheld[name] = "generated"
        elif listed is not None and name not in listed:
            withheld[name] = "unlisted"
    return withheld


def _column(name: str, named: TypeName, not_null: bool) -> Column:
    return Column(name, named.type, named.base_type, not (not_null or named.not_null))


def identity_key(identity: Identity, indexes: Iterable[UniqueIndex]) -> tuple[str, ...]:
    """The columns that identify a row in the log; empty where nothing does.

    As PostgreSQL chooses: a deferrable primary key is no replica identity. With FULL the log has
    whole rows, and the primary key, deferrable or not, tells them apart.
    """
    for index in indexes:
        if identity == "default" and index.primary and index.immediate and index.plain:
            return index.columns
        if identity == "index" and index.identity and index.plain:
            return index.columns
        if identity == "full" and index.primary and index.plain:
            return index.columns
    return ()
