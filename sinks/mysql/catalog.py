"""What the target's catalog says of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cdc.schema import TableName
from sinks.foreign_keys import ForeignKey
from sinks.mysql.selfrefs import SelfReference
from sinks.mysql.session import Connection, query

_TABLE = """
select table_type, engine from information_schema.tables
where table_schema = %s and table_name = %s
"""
_COLUMNS = """
select column_name, column_type, data_type, character_set_name, collation_name, is_nullable,
       column_default is not null and column_default <> 'NULL' or extra like '%%auto_increment%%',
       extra regexp '(VIRTUAL|STORED|PERSISTENT) GENERATED',
       extra like '%%on update%%', datetime_precision, extra like '%%auto_increment%%',
       collation_name is not null
       and (0 /*M! or _utf8mb4'a' = _utf8mb4 0x6100 collate utf8mb4_nopad_bin */)
from information_schema.columns where table_schema = %s and table_name = %s
"""
"""The last: to MariaDB 10.5 a text is the same with a character of no bits at its end."""
_UNIQUE_KEYS = """
select index_name, column_name, sub_part is null and column_name is not null, nullable <> 'YES'
from information_schema.statistics
where table_schema = %s and table_name = %s and non_unique = 0
order by index_name, seq_in_index
"""
_FOREIGN_KEYS = """
select if(@@lower_case_table_names, lower(k.table_schema), k.table_schema),
       if(@@lower_case_table_names, lower(k.table_name), k.table_name),
       if(@@lower_case_table_names, lower(k.referenced_table_schema), k.referenced_table_schema),
       if(@@lower_case_table_names, lower(k.referenced_table_name), k.referenced_table_name),
       coalesce(r.delete_rule in ('CASCADE', 'SET NULL', 'SET DEFAULT'), 1)
from information_schema.key_column_usage k
left join information_schema.referential_constraints r
  on k.constraint_schema = r.constraint_schema and k.constraint_name = r.constraint_name
 and k.table_name = r.table_name
where k.ordinal_position = 1
  and ((k.referenced_table_schema, k.referenced_table_name) in %s
       or (k.table_schema, k.table_name) in %s and k.referenced_table_name is not null)
"""
"""A key that refers to a table on which we have no rights has no row of referential_constraints."""
_SELF_REFERENCES = """
select k.constraint_name, k.column_name, k.referenced_column_name, c.is_nullable = 'YES'
from information_schema.key_column_usage k
join information_schema.columns c
  on c.table_schema = k.table_schema and c.table_name = k.table_name
 and c.column_name = k.column_name
where k.table_schema = %s and k.table_name = %s
  and k.referenced_table_schema = k.table_schema and k.referenced_table_name = k.table_name
order by k.constraint_name, k.ordinal_position
"""
_KEPT_NAME = """
select @@lower_case_table_names,
       lower(convert(%s using utf8mb3)), lower(convert(%s using utf8mb3))
"""
_EXACT = ("_nopad_bin", "_0900_bin")


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """`type` as in DDL, `kind` without its size; `charset` and `collation` of characters; `digits`
    of a second. `touched`: an update that leaves it out puts the present time into it. `counts`: a
    NULL becomes the next number. `blind`: as `_COLUMNS` says of its last."""

    name: str
    type: str
    kind: str
    charset: str | None
    collation: str | None
    nullable: bool
    filled: bool
    generated: bool
    touched: bool
    digits: int | None
    counts: bool
    blind: bool

    @property
    def ddl(self) -> str:
        """For a copy that takes NULL, too. In place of characters beyond U+FFFF the catalog has
        question marks, so the copy of a column with such labels takes any text."""
        words = ["longtext" if "?" in self.type else self.type]
        if self.charset:
            words.append(f"character set {self.charset} collate {self.collation}")
        return " ".join([*words, "null"])

    @property
    def loose(self) -> bool:
        """Whether its collation takes different values for the same: case, accents, spaces."""
        return self.collation is not None and not self.collation.endswith(_EXACT)

    @property
    def merges(self) -> bool:
        """Whether anything does."""
        return self.loose or self.blind


def table_kind(connection: Connection, table: TableName) -> tuple[str, str | None] | None:
    """(``BASE TABLE`` or another kind, engine); None where it is not there, or not shown to us."""
    rows = query(connection, _TABLE, table.schema, table.name)
    return (str(rows[0][0]), rows[0][1]) if rows else None


def columns(connection: Connection, table: TableName) -> dict[str, CatalogColumn]:
    found = {}
    for row in query(connection, _COLUMNS, table.schema, table.name):
        name, type_, kind, charset, collation, nullable, filled, generated, *more = row
        found[str(name)] = CatalogColumn(
            str(name),
            str(type_),
            str(kind),
            charset,
            collation,
            nullable == "YES",
            bool(filled),
            bool(generated),
            bool(more[0]),
            None if more[1] is None else int(more[1]),
            bool(more[2]),
            bool(more[3]),
        )
    return found


def unique_keys(connection: Connection, table: TableName) -> list[tuple[list[str], bool]]:
    """The columns of each unique index that is on whole columns, and whether none may be NULL."""
    keys: dict[str, list[str]] = {}
    partial, loose = set(), set()
    for name, column, whole, filled in query(connection, _UNIQUE_KEYS, table.schema, table.name):
        keys.setdefault(str(name), []).append(str(column))
        if not whole:
            partial.add(name)
        if not filled:
            loose.add(name)
    return [(key, name not in loose) for name, key in keys.items() if name not in partial]


def kept_name(connection: Connection, table: TableName) -> TableName:
    """The name by which the server tells it from others: in lower case where it ignores case."""
    ((ignores_case, schema, name),) = query(connection, _KEPT_NAME, table.schema, table.name)
    return TableName(str(schema), str(name)) if int(ignores_case) else table


def foreign_keys(
    connection: Connection, tables: Mapping[TableName, TableName]
) -> Iterator[ForeignKey]:
    """Those that refer to one of `tables` or that one of them has, as far as we are shown them.

    `tables`: the name that the server keeps (see `kept_name`) → ours.
    """
    names = tuple((table.schema, table.name) for table in tables)
    for schema, child, parent_schema, parent, acts in (
        query(connection, _FOREIGN_KEYS, names, names) if names else ()
    ):
        of_child = TableName(str(schema), str(child))
        of_parent = TableName(str(parent_schema), str(parent))
        yield ForeignKey(
            tables.get(of_child, of_child), tables.get(of_parent, of_parent), bool(acts)
        )


def self_references(connection: Connection, table: TableName) -> list[SelfReference]:
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for name, column, of, nullable in query(connection, _SELF_REFERENCES, table.schema, table.name):
        found.setdefault(str(name), []).append((str(column), str(of), bool(nullable)))
    return [
        SelfReference(
            tuple(column for column, _, _ in parts),
            tuple(of for _, of, _ in parts),
            tuple(column for column, _, nullable in parts if nullable),
        )
        for parts in found.values()
    ]
