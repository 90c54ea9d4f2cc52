"""MariaDB (or MySQL) as the oracle: the same expression over the same rows, there and here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Any

import pyarrow as pa
import pymysql

from cdc.schema import Column, TableName, TableSchema
from tests.transforms.oracle import FAILED
from transforms.engine import Engine, EvaluationError
from transforms.expressions.casts import fixer
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.typed import Refusal, Typed, text
from transforms.types import FLOATS, Kind

INTS = ["0", "1", "-1", "2", "-7", "10", "2147483647", "-2147483648", "100", None]
BIGINTS = ["0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808", "1000000", None]
UNSIGNED = ["0", "1", "7", "4294967295", None]
DECIMALS = [
    "0.00",
    "1.00",
    "-1.00",
    "0.01",
    "-0.05",
    "12.50",
    "33.33",
    "2.50",
    "-2.50",
    "9999999.99",
    "-9999999.99",
    "0.05",
    "1.01",
    None,
]
FINE = [
    "0.00000",
    "1.00000",
    "-1.00000",
    "0.33333",
    "999.99999",
    "2.50000",
    "7.00001",
    "3.00000",
    None,
]
DOUBLES = ["0", "1", "-1", "0.1", "1.5", "2.5", "-2.5", "1e20", "1e-5", "3.5", None]
TEXTS = [
    "",
    " ",
    "a",
    "A",
    "abc",
    "Abc ",
    " abc",
    "äöü",
    "straße",
    "xäx",
    "a,b,c",
    ",",
    "a%b",
    "a_b",
    "a\\b",
    "🤦x",
    "100",
    "12.5",
    "  7 ",
    "\ttab\n",
    "aa",
    "aaaa",
    "a.b.c",
    "a\n",
    None,
]
DATES = [
    "2024-02-29",
    "2023-12-31",
    "2024-01-01",
    "1970-01-01",
    "1969-12-31",
    "1000-01-01",
    "9999-12-31",
    "2021-01-03",
    "2024-03-31",
    None,
]
STAMPS = [
    "2024-02-29 12:34:56",
    "2023-12-31 23:59:59",
    "1970-01-01 00:00:00",
    "2021-01-03 04:05:06",
    "9999-12-31 23:59:59",
    "1000-01-01 00:00:00",
    None,
]

_COLUMNS = [
    (("i", "j"), "int", "integer", "integer", "mysql:int", INTS),
    (("k", "k2"), "bigint", "bigint", "bigint", "mysql:bigint", BIGINTS),
    (("u", "u2"), "int unsigned", "bigint", "bigint", "mysql:int unsigned", UNSIGNED),
    (("n", "n2"), "decimal(9,2)", "numeric(9,2)", "numeric", "", DECIMALS),
    (("m", "m2"), "decimal(10,5)", "numeric(10,5)", "numeric", "", FINE),
    (("f", "g"), "double", "double precision", "double precision", "", DOUBLES),
    (("s", "t"), "varchar(60)", "text", "text", "mysql:varchar(60)", TEXTS),
    (("d", "e"), "date", "date", "date", "", DATES),
    (
        ("ts", "ts2"),
        "datetime",
        "timestamp(0) without time zone",
        "timestamp without time zone",
        "",
        STAMPS,
    ),
]
ROWS = 500


def _values() -> list[list[str | None]]:
    dice = random.Random(1995)
    columns: list[list[str | None]] = []
    for names, *_, edges in _COLUMNS:
        pairs = list(product(edges, repeat=len(names)))
        dice.shuffle(pairs)
        rows = [pairs[at % len(pairs)] for at in range(ROWS)]
        columns += [[row[side] for row in rows] for side in range(len(names))]
    return [list(row) for row in zip(*columns, strict=True)]


def schema() -> TableSchema:
    columns = [Column("id", "integer", "integer", nullable=False, native="mysql:int")]
    columns += [
        Column(name, type_, base, native=native)
        for names, _, type_, base, native, _ in _COLUMNS
        for name in names
    ]
    return TableSchema(TableName("shop", "edges"), tuple(columns), ("id",))


@dataclass
class Both:
    """The rows at the server and here."""

    connection: Any = field(repr=False)
    engine: Engine = field(repr=False)
    arrays: list[pa.Array] = field(repr=False)
    columns: dict[str, Typed] = field(repr=False)
    mysql: bool = False

    def there(self, expression: str) -> list[str | None]:
        """One text a row; FAILED where the expression fails for it."""

        def ask(rows: range) -> list[str | None]:
            sql = f"select cast({expression} as char) from edges"
            sql += f" where id between {rows[0]} and {rows[-1]} order by id"
            try:
                with self.connection.cursor() as cursor:
                    cursor.execute(sql)
                    return [row[0] for row in cursor.fetchall()]
            except pymysql.err.ProgrammingError:
                raise
            except pymysql.err.MySQLError:
                half = len(rows) // 2
                return ask(rows[:half]) + ask(rows[half:]) if half else [FAILED]

        return ask(range(len(self.arrays[0])))

    def translate(self, expression: str) -> Typed:
        place = Place("test", ("fields", "x"), "mysql")
        return translate(expression, place, self.columns).typed

    def here(self, sql: str) -> list[str | None]:
        names = pa.schema([(f"c{at}", pa.string()) for at in range(len(self.arrays))])
        select = f"SELECT {sql} FROM ".replace("{", "{{").replace("}", "}}") + "{input}"

        def ask(first: int, last: int) -> list[str | None]:
            try:
                statement = self.engine.statement(names, select)
                rows = [array[first:last] for array in self.arrays]
                found: list[str | None] = statement.run(rows)[0].to_pylist()
            except EvaluationError:
                if last - first == 1:
                    return [FAILED]
                half = (first + last) // 2
                return ask(first, half) + ask(half, last)
            return found

        return ask(0, len(self.arrays[0]))


def both(server: Any) -> Iterator[Both]:
    """`server` has `connect()`."""
    with closing(server.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("set names utf8mb4")
        cursor.execute("set time_zone = '+00:00'")
        cursor.execute("create database if not exists edges_of_expressions character set utf8mb4")
        cursor.execute("use edges_of_expressions")
        declared = ", ".join(f"{name} {ddl}" for names, ddl, *_ in _COLUMNS for name in names)
        cursor.execute(f"create or replace table edges (id int primary key, {declared})"
                       if "MariaDB" in connection.server_version
                       else f"create table edges (id int primary key, {declared})")  # fmt: skip
        marks = ", ".join(["%s"] * (1 + sum(len(names) for names, *_ in _COLUMNS)))
        cursor.executemany(
            f"insert into edges values ({marks})",
            [(at, *row) for at, row in enumerate(_values())],
        )
        connection.commit()
        table = schema()
        printed = ", ".join(f"cast({column.name} as char)" for column in table.columns)
        cursor.execute(f"select {printed} from edges order by id")
        rows = cursor.fetchall()
        arrays = [pa.array(list(column), pa.string()) for column in zip(*rows, strict=True)]
        engine = Engine()
        mysql = "MariaDB" not in connection.server_version
        yield Both(connection, engine, arrays, source_columns(table, "mysql"), mysql)
        engine.close()
        cursor.execute("drop database edges_of_expressions")


def compared(oracle: Both, expression: str) -> list[tuple[str | None, str | None, int]]:
    """(the server's, ours, row) for each row that differs."""
    typed = oracle.translate(expression)
    if typed.kind in FLOATS:
        wanted = oracle.there(expression)
        found = oracle.here(f"CAST({typed.value} AS VARCHAR)")
        alike = _same_double
    elif typed.fix is not None or (typed.kind is Kind.NUMERIC and not typed.exact):
        scale = _scale(typed)
        wanted = oracle.there(f"cast({expression} as decimal(38,{scale}))")
        found = oracle.here(f"CAST({fixer(typed)(38, scale)} AS VARCHAR)")
        alike = _same_number
    elif typed.kind is Kind.BOOL:
        wanted = oracle.there(expression)
        found = oracle.here(f"CAST(CAST({typed.value} AS INTEGER) AS VARCHAR)")
        alike = _same
    else:
        wanted = oracle.there(expression)
        found = oracle.here(text(typed))
        alike = _same
    return [
        (want, have, row)
        for row, (want, have) in enumerate(zip(wanted, found, strict=True))
        if not alike(want, have) and not (have == FAILED and _beyond(want))
    ]


def _scale(typed: Typed) -> int:
    """One that the number may be given."""
    if typed.fix is None:
        return 5
    for scale in range(4, 10):
        with suppress(Refusal):
            typed.fix(38, scale)
            return scale
    raise AssertionError(typed)


def _beyond(want: str | None) -> bool:
    """What is beyond 63 bits is not computed here: the row fails, aloud."""
    try:
        return abs(Decimal(want or "")) >= 2**63 - 1
    except ArithmeticError:
        return False


def _same(want: str | None, have: str | None) -> bool:
    return want == have


def _same_number(want: str | None, have: str | None) -> bool:
    if want == have or None in (want, have) or FAILED in (want, have):
        return want == have
    return Decimal(want or "") == Decimal(have or "")


def _same_double(want: str | None, have: str | None) -> bool:
    if want == have or None in (want, have) or FAILED in (want, have):
        return want == have
    return float(want or "") == float(have or "")
