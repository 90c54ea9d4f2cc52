"""Declared columns are what PostgreSQL makes of the same words, and examples' values what it
prints."""

from __future__ import annotations

from typing import Any

import pytest

from cdc.patterns import Patterns
from cdc.postgres.catalog import read_tables
from cdc.postgres.session import connect
from cdc.schema import Column, TableName, TableSchema
from transforms.declared import declared_column, declared_schema, fits_declared, printed
from transforms.types import source_type

TABLE = TableName("s", "t")

TYPES = [
    *("bool", "boolean", "bigint", "int", "int2", "int4", "int8", "integer", "smallint"),
    *("char", "char(3)", "character(3)", "varchar", "varchar(5)", "character varying(7)", "text"),
    *("name", "oid", "numeric", "numeric(7)", "numeric(12,2)", "decimal(5,5)"),
    *("float4", "float8", "real", "double precision", "date", "time", "timetz", "timestamp"),
    *("timestamptz", "time without time zone", "timestamp with time zone", "interval", "uuid"),
    *("json", "jsonb", "bytea", "bit", "bit(8)", "varbit", "varbit(9)", "inet", "cidr"),
    *("macaddr", "money", "point", "xml", "tsvector", "int[]", "text[]", "varchar(4)[]", "s.mood"),
    *("timestamp(6)", "timestamptz(3)", "timestamp(0) with time zone", "time(2)", "timetz(1)"),
    *("interval(0)", "interval(6)"),
]


def real_table(database: Any, columns: dict[str, str], key: str = "id") -> TableSchema:
    listed = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
    database.execute("create schema s")
    database.execute("create type s.mood as enum ('sad', 'ok')")
    database.execute("create domain s.code as varchar(4)")
    database.execute(f"create table s.t ({listed}, primary key ({key}))")
    with connect(database.url) as connection:
        (found,) = read_tables(connection, Patterns.parse(["s.t"]))
    return found.schema


def declared(columns: dict[str, str]) -> TableSchema:
    return declared_schema(TABLE, {name: declared_column(t) for name, t in columns.items()})


def test_types_are_read_as_postgresql_reads_them(database18: Any) -> None:
    columns = {f"c{at}": name for at, name in enumerate(TYPES)}
    real = real_table(database18, {"id": "int"} | columns)
    ours = declared({"id": "int primary key"} | columns)
    assert fits_declared(real, ours) == {}
    for column, there in zip(ours.columns, real.columns, strict=True):
        assert source_type(column) == source_type(there), column.name
        assert column.nullable == there.nullable


def test_what_is_declared_otherwise_is_named(database18: Any) -> None:
    real = real_table(
        database18, {"id": "int", "a": "char(3)", "b": "numeric(5,2)", "c": "s.code", "d": "text"}
    )
    ours = declared(
        {
            "id": "int",
            "a": "char(2) primary key",
            "b": "numeric(5,3)",
            "c": "varchar(9)",
            "d": "s.mood",
            "e": "int",
        }
    )
    assert fits_declared(real, ours) == {
        "a": "a is character(3) in s.t, not character(2)",
        "b": "b is numeric(5,2) in s.t, not numeric(5,3)",
        "d": "d is text in s.t, not s.mood",
        "e": "s.t has no column e",
        None: "the key of s.t is id",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("varchr(40)", "did you mean varchar"),
        ("", "no type"),
        ("text(4)", "has no size"),
        ("int(4)", "has no size"),
        ("varchar(4,2)", "has no size"),
        ("int check", "no type"),
        ("int; drop table x", "no type"),
        ("numeric(" + "9" * 100_000, "no type"),
        (" not null" * 50_000, "no type"),
        ("a" + " " * 100_000 + "b", "no type"),
    ],
)
def test_other_words_are_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        declared_column(text)


PRINTED = [
    ("integer", "+7"),
    ("integer", "007"),
    ("bigint", "-9223372036854775808"),
    ("boolean", "true"),
    ("boolean", "f"),
    ("char(4)", "ä"),
    ("char", ""),
    ("varchar(3)", "a b"),
    ("text", " null "),
    ("numeric(6,2)", "7"),
    ("numeric(6,2)", "-.5"),
    ("numeric(6,2)", "9999.99"),
    ("numeric(2,2)", "0.99"),
    ("numeric(6,2)", "NaN"),
    ("numeric(6,0)", "120"),
    ("numeric", "1.50"),
    ("date", "2024-02-29"),
    ("date", "infinity"),
    ("timestamp", "2024-01-31 10:00:00"),
    ("timestamp", "2024-01-31 10:00:00.25"),
    ("timestamptz", "2024-01-31 10:00:00"),
    ("timestamptz", "2024-01-31 10:00:00+00"),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
    ("s.mood", "ok"),
    ("int[]", "{1,2}"),
]


def test_values_are_printed_as_postgresql_prints_them(database18: Any) -> None:
    columns = {f"c{at}": type_ for at, (type_, _) in enumerate(PRINTED)}
    real = real_table(database18, {"id": "int"} | columns)
    values = ", ".join("'" + value.replace("'", "''") + "'" for _, value in PRINTED)
    database18.execute(f"insert into s.t values (1, {values})")
    with connect(database18.url) as connection, connection.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'")
        with cursor.copy("copy s.t to stdout") as copy:
            line = b"".join(copy).decode()
    there = line.rstrip("\n").split("\t")[1:]
    ours = [
        printed(column, value) for column, (_, value) in zip(real.columns[1:], PRINTED, strict=True)
    ]
    assert ours == there


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("integer", "x"),
        ("integer", "1.5"),
        ("integer", "2147483648"),
        ("integer", "9" * 10_000),
        ("smallint", "-32769"),
        ("boolean", "yes"),
        ("char(2)", "abc"),
        ("varchar(2)", "abc"),
        ("numeric(4,2)", "100"),
        ("numeric(4,2)", "1.005"),
        ("numeric(4,2)", "1e999999999"),
        ("numeric", "one"),
        ("double precision", "x"),
        ("date", "30.12.2024"),
        ("date", "2024-02-30"),
        ("timestamp", "2024-01-31"),
        ("timestamp", "2024-01-31 10:00:00+01"),
        ("timestamptz", "2024-01-31 10:00:00+01"),
        ("timestamp", "2024-01-31 10:00:00.50"),
        ("uuid", "x"),
    ],
)
def test_values_that_the_source_never_prints_are_refused(type_: str, value: str) -> None:
    found = declared_column(type_)
    with pytest.raises(ValueError, match="as the source prints it"):
        printed(Column("c", found.type, found.base_type), value)


def test_null() -> None:
    assert printed(Column("c", "text", "text"), "null") is None
    with pytest.raises(ValueError, match="NOT NULL"):
        printed(Column("c", "text", "text", nullable=False), "null")
