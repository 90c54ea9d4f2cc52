"""The tables of a source as its catalog has them, in the words of the log's table maps.

Both ways lead through `layout.row_table`, so that a table's schema in the snapshot is the one that
its changes have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from cdc.mysql import charsets, defaults
from cdc.mysql import tablemap as tm
from cdc.mysql.collations import Collations
from cdc.mysql.definitions import GEOMETRIES
from cdc.mysql.layout import BINARY_CHARSET, row_table
from cdc.mysql.session import Connection, query
from cdc.mysql.sqltext import tokens, unescaped
from cdc.mysql.tablemap import Default, MapColumn, TableMap
from cdc.mysql.withheld import computed, leaves_out, schema_without
from cdc.patterns import OWN_SCHEMA, Patterns
from cdc.schema import TableName, TableSchema
from tailrace.errors import PreflightError, TailraceError

_COLLATIONS = (
    "select collation_name, id, character_set_name, is_default = 'Yes'"
    " from information_schema.collations where id is not null"
)
_FULL_COLLATIONS = (
    "select full_collation_name, id, character_set_name, is_default = 'Yes'"
    " from information_schema.collation_character_set_applicability"
)
"""From MariaDB 10.10 on, where a collation's name may be that of several character sets."""
_SYSTEM = ("mysql", "information_schema", "performance_schema", "sys", OWN_SCHEMA)

_TYPES = {
    "tinyint": tm.TINY,
    "smallint": tm.SHORT,
    "mediumint": tm.INT24,
    "int": tm.LONG,
    "bigint": tm.LONGLONG,
    "decimal": tm.NEWDECIMAL,
    "float": tm.FLOAT,
    "double": tm.DOUBLE,
    "year": tm.YEAR,
    "date": tm.DATE,
    "datetime": tm.DATETIME2,
    "timestamp": tm.TIMESTAMP2,
    "time": tm.TIME2,
    "bit": tm.BIT,
    "json": tm.JSON,
    "enum": tm.ENUM,
    "set": tm.SET,
    "char": tm.STRING,
    "binary": tm.STRING,
    "varchar": tm.VARCHAR,
    "varbinary": tm.VARCHAR,
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), tm.BLOB),
    **dict.fromkeys(("tinyblob", "blob", "mediumblob", "longblob"), tm.BLOB),
    **dict.fromkeys(GEOMETRIES, tm.GEOMETRY),
    "uuid": tm.UUID,
    "inet4": tm.INET4,
    "inet6": tm.INET6,
}
_VECTOR = {"vector": tm.VARCHAR}
"""MariaDB's, which is bytes to it, and to its log; MySQL's is a type of its own."""
_COMPRESSED = re.compile(r"/\*M?!\d+ COMPRESSED\b[^*]*\*/\s*\Z")
_COLUMNS = (
    "select table_schema, table_name, column_name, data_type, column_type, is_nullable,"
    " numeric_precision, numeric_scale, datetime_precision, character_octet_length, collation_name,"
    " extra, /*M! column_default */ /*!80000"
    " case when data_type in ('bit', 'binary', 'varbinary') then column_default"
    " when column_default is not null then quote(column_default) end */"
    " from information_schema.columns where (table_schema, table_name) in %s"
    " order by ordinal_position"
)
_KEYS = (
    "select table_schema, table_name, column_name from information_schema.statistics"
    " where (table_schema, table_name) in %s and index_name = 'PRIMARY' order by seq_in_index"
)
_LENGTH_BYTES = {"tiny": 1, "medium": 3, "long": 4}
_LABEL = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CatalogTable:
    """A table that can be captured. `map`: its columns as a table map would have them; `withheld`:
    those that changes, and so `schema`, go without (see `cdc.mysql.withheld`)."""

    schema: TableSchema
    map: TableMap
    rows_estimated: int
    charset: int = 0
    """Number of the collation of columns that name none."""
    withheld: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[MapColumn, ...]:
        """Those of `schema`."""
        return tuple(column for column in self.map.columns if column.name not in self.withheld)

    @property
    def name(self) -> TableName:
        return self.schema.table


def read_collations(connection: Connection) -> Collations:
    """All that the server knows, by their whole names."""
    ((full,),) = query(
        connection,
        "select count(*) from information_schema.columns where table_schema = 'information_schema'"
        " and lower(table_name) = 'collation_character_set_applicability'"
        " and lower(column_name) = 'full_collation_name'",
    )
    rows = query(connection, _FULL_COLLATIONS if full else _COLLATIONS)
    return Collations.of((name, int(n), charset, bool(own)) for name, n, charset, own in rows)


def read_charsets(connection: Connection) -> dict[int, str]:
    """Character sets by the numbers of their collations."""
    return dict(read_collations(connection).charset_of)


def read_tables(
    connection: Connection,
    patterns: Patterns,
    charset_of: Mapping[int, str],
    *,
    only: TableName | None = None,
) -> tuple[list[CatalogTable], list[TailraceError]]:
    """(tables that can be captured, why the others of `patterns` cannot).

    `only` this one is quicker than many.
    """
    collations = read_collations(connection).numbers
    names = query(
        connection,
        "select table_schema, table_name, ifnull(table_rows, 0), table_type, table_collation"
        " from information_schema.tables"
        " where table_type in ('BASE TABLE', 'SYSTEM VERSIONED') and table_schema not in %s"
        + (" and table_schema = %s and table_name = %s" if only else "")
        + " order by 1, 2",
        _SYSTEM,
        *((only.schema, only.name) if only else ()),
    )
    wanted = [(TableName(*row[:2]), *row[2:]) for row in names]
    wanted = [row for row in wanted if patterns.matches(row[0])]
    version = str(query(connection, "select version()")[0][0])
    left_out = leaves_out(version)
    types = _TYPES | _VECTOR if "mariadb" in version.lower() else _TYPES
    columns, keys = _columns_and_keys(connection, [row[0] for row in wanted])
    found, refused = [], []
    for name, estimate, kind, collation in wanted:
        try:
            if kind != "BASE TABLE":
                raise PreflightError(
                    f"table {name} is system-versioned: its old rows carry the key of its new ones",
                    where={"table": str(name)},
                    fix="leave the table out of `tables`",
                )
            described = _described(name, columns[name], keys[name], collations, types)
            layout = row_table(described, charset_of)
        except TailraceError as error:
            refused.append(error)
        else:
            charset = _charset(name, "(any)", collation, collations)
            withheld = computed(described.columns) if left_out else ()
            schema = schema_without(layout.schema_of, frozenset(withheld))
            found.append(CatalogTable(schema, described, int(estimate), charset, withheld))
    return found, refused


def tables_beyond(
    connection: Connection, patterns: Patterns, known: Set[TableName]
) -> list[TableName]:
    """Those of `patterns` that are not in `known`, by name.

    Names alone cost a server no look into its tables, however many it has.
    """
    names = query(
        connection,
        "select table_schema, table_name from information_schema.tables"
        " where table_schema not in %s",
        _SYSTEM,
    )
    new = [TableName(*name) for name in names]
    new = [name for name in new if name not in known and patterns.matches(name)]
    if not new:
        return []
    kinds = query(
        connection,
        "select table_schema, table_name from information_schema.tables where table_type in"
        " ('BASE TABLE', 'SYSTEM VERSIONED') and (table_schema, table_name) in %s order by 1, 2",
        tuple((name.schema, name.name) for name in new),
    )
    return [TableName(*name) for name in kinds]


Rows = list[tuple[Any, ...]]


def _columns_and_keys(
    connection: Connection, tables: list[TableName]
) -> tuple[dict[TableName, Rows], dict[TableName, Rows]]:
    """For each table its columns, and the names in its primary key, in order."""
    found: list[dict[TableName, Rows]] = []
    for sql in (_COLUMNS, _KEYS):
        of: dict[TableName, Rows] = {name: [] for name in tables}
        names = tuple((name.schema, name.name) for name in tables)
        for schema, table, *row in query(connection, sql, names) if tables else ():
            of[TableName(schema, table)].append(tuple(row))
        found.append(of)
    return found[0], found[1]


def _described(
    name: TableName,
    columns: Rows,
    keys: Rows,
    collations: Mapping[str, int],
    types: Mapping[str, int] = _TYPES,
) -> TableMap:
    order = [row[0] for row in columns]
    return TableMap(
        name,
        tuple(_column(name, row, collations, types) for row in columns),
        tuple(order.index(key) for (key,) in keys),
        described=True,
    )


def _column(
    table: TableName,
    row: tuple[Any, ...],
    collations: Mapping[str, int],
    types: Mapping[str, int],
) -> MapColumn:
    name, data_type, column_type, nullable, precision, scale, digits, octets, collation = row[:9]
    extra, default = row[9:]
    type_ = types.get(data_type)
    if type_ is None:
        raise PreflightError(
            f"column {name} of {table} has a type that is not read yet ({column_type})",
            where={"table": str(table), "column": name},
            fix="leave the table out of `tables`",
        )
    labels: tuple[bytes, ...] = ()
    if type_ in (tm.ENUM, tm.SET):
        labels = tuple(unescaped(found).encode() for found in _LABEL.findall(column_type))
    size, more = _sizes(type_, data_type, precision, scale, digits, octets, len(labels))
    if _COMPRESSED.search(column_type):
        type_ = tm.PACKED[type_]
        size += type_ == tm.VARCHAR_COMPRESSED  # for the byte that says how
    if labels:
        charset = str(collation).partition("_")[0]
        more = tm.WIDE_LABELS * (charset in charsets.WIDE)
        if charset in charsets.BEYOND_BMP and any(b"?" in label for label in labels):
            more |= tm.UNSHOWN_LABELS
    made = MapColumn(
        name=name,
        type=type_,
        size=size,
        more=more,
        nullable=nullable == "YES",
        unsigned="unsigned" in column_type,
        # The catalog gives labels as UTF-8, whatever the column's character set is.
        charset=_charset(table, name, "utf8mb4_bin" if labels else collation, collations),
        labels=labels,
        virtual="VIRTUAL" in extra.upper(),
        stored="STORED" in extra.upper(),
    )
    if "GENERATED" in extra.upper():  # MySQL says DEFAULT_GENERATED of an expression
        return made
    return replace(made, default=_default(made, default))


def _default(column: MapColumn, written: str | None) -> Default:
    """`written`: an SQL literal or expression, None where a column has none."""
    if written is None:
        return defaults.absent(column)
    if "?" in written and column.charset is not None:  # perhaps for a character beyond U+FFFF
        return defaults.UNKNOWN
    return defaults.written(column, tokens(written))


def _charset(
    table: TableName, column: str, collation: str | None, collations: Mapping[str, int]
) -> int:
    """A collation's number. Errors: PreflightError."""
    if collation is None:
        return BINARY_CHARSET
    if collation not in collations:
        raise PreflightError(
            f"column {column} of {table} has a collation that is not known ({collation})",
            where={"table": str(table), "column": column},
            fix="leave the table out of `tables`",
        )
    return collations[collation]


def _sizes(
    type_: int,
    data_type: str,
    precision: int | None,
    scale: int | None,
    digits: int | None,
    octets: int | None,
    labels: int,
) -> tuple[int, int]:
    """`size` and `more` as in `MapColumn`."""
    if type_ == tm.NEWDECIMAL:
        return int(precision or 0), int(scale or 0)
    if type_ == tm.BIT:
        return int(precision or 0), 0
    if type_ in (tm.DATETIME2, tm.TIMESTAMP2, tm.TIME2):
        return int(digits or 0), 0
    if type_ == tm.JSON:
        return 4, 0
    if type_ == tm.GEOMETRY:
        return 4, 0
    if type_ == tm.BLOB:
        return _LENGTH_BYTES.get(re.sub("text|blob", "", data_type), 2), 0
    if type_ == tm.ENUM:
        return 1 if labels < 256 else 2, 0
    if type_ == tm.SET:
        return next(size for size in (1, 2, 3, 4, 8) if labels <= 8 * size), 0
    return int(octets or 0), 0
