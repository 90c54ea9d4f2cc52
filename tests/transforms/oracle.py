"""PostgreSQL as the oracle: the same expression over the same rows, there and here."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product

import psycopg
import pyarrow as pa

from cdc.schema import Column, TableName, TableSchema
from transforms.engine import Engine, EvaluationError
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.typed import Typed, text
from transforms.types import FLOATS, Kind

FAILED = "<error>"

INTS = ["0", "1", "-1", "2", "3", "-7", "10", "2147483647", "-2147483648", "100", None]
SMALLINTS = ["0", "1", "-1", "5", "32767", "-32768", None]
BIGINTS = ["0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808", "1000000", None]
NUMERICS = [
    "0.00",
    "1.00",
    "-1.00",
    "0.01",
    "-0.01",
    "12.50",
    "-0.05",
    "0.05",
    "1.01",
    "9999999999.99",
    "-9999999999.99",
    "2.50",
    "3.50",
    "-2.50",
    "33.33",
    "1234567.89",
    None,
]
FINE = [
    "0.0000",
    "1.0000",
    "-1.0000",
    "0.0001",
    "0.3333",
    "-0.5000",
    "999999.9999",
    "2.5000",
    "0.0050",
    "3.0000",
    "7.1250",
    None,
]
LOOSE = [
    "0",
    "1",
    "1.50",
    "-1.5",
    "0.000000001",
    "123456789012345678901234567.5",
    "0.5",
    "2.5",
    "-2.5",
    "1.005",
    "10",
    None,
]
DOUBLES = [
    "0",
    "1",
    "-1",
    "0.1",
    "1.5",
    "2.5",
    "-2.5",
    "1e+20",
    "1e-05",
    "1e+300",
    "-1e+300",
    "1e-300",
    "NaN",
    "Infinity",
    "-Infinity",
    "123456789.123456789",
    "3.5",
    None,
]
REALS = ["0", "1", "-1", "0.1", "1.5", "3.4e+38", "1e-05", "NaN", "Infinity", None]
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
    "ÄÖÜ",
    "xäx",
    "a,b,c",
    ",",
    "a%b",
    "a_b",
    "a\\b",
    "🤦🏼‍♂️x",
    "e\u0301x",
    "100",
    "12.5",
    "  7 ",
    "\ttab\n",
    "null",
    "İı",
    None,
]
CHARS = ["", "a", "A", "abc", "ab ", "äö", "12345", " x", "a%", None]
VARCHARS = ["", "a", "a ", "A", "abc", "äöü", "12345678", " a", None]
DATES = [
    "2024-02-29",
    "2023-12-31",
    "2024-01-01",
    "1970-01-01",
    "1969-12-31",
    "0001-01-01",
    "0099-03-04",
    "9999-12-31",
    "10000-01-01",
    "2021-01-03",
    "2020-12-28",
    "infinity",
    "-infinity",
    None,
]
STAMPS = [
    "2024-02-29 12:34:56.789012",
    "2023-12-31 23:59:59.999999",
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.5",
    "0001-01-01 00:00:00",
    "2021-01-03 04:05:06",
    "9999-12-31 23:59:59",
    "12345-06-07 08:09:10.1",
    "infinity",
    "-infinity",
    None,
]
BOOLS = ["t", "f", None]
UUIDS = ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000", None]

_COLUMNS: list[tuple[tuple[str, ...], str, str, Sequence[str | None]]] = [
    (("i", "j"), "integer", "integer", INTS),
    (("h", "h2"), "smallint", "smallint", SMALLINTS),
    (("k", "k2"), "bigint", "bigint", BIGINTS),
    (("n", "n2"), "numeric(12,2)", "numeric", NUMERICS),
    (("m", "m2"), "numeric(10,4)", "numeric", FINE),
    (("u", "u2"), "numeric", "numeric", LOOSE),
    (("f", "g"), "double precision", "double precision", DOUBLES),
    (("r", "r2"), "real", "real", REALS),
    (("s", "t"), "text", "text", TEXTS),
    (("c", "c2"), "character(5)", "character", CHARS),
    (("v", "v2"), "character varying(8)", "character varying", VARCHARS),
    (("d", "e"), "date", "date", DATES),
    (("ts", "ts2"), "timestamp without time zone", "timestamp without time zone", STAMPS),
    (("tz", "tz2"), "timestamp with time zone", "timestamp with time zone", STAMPS),
    (("b", "b2"), "boolean", "boolean", BOOLS),
    (("x", "x2"), "uuid", "uuid", UUIDS),
]
ROWS = 600
PINNED = (
    "DateStyle=ISO",
    "IntervalStyle=postgres",
    "TimeZone=UTC",
    "extra_float_digits=1",
    "bytea_output=hex",
)


def edges() -> list[list[str | None]]:
    """Rows in which each pair of columns takes every combination of its edge values."""
    dice = random.Random(20240229)
    columns: list[list[str | None]] = []
    for names, _, _, edges in _COLUMNS:
        pairs = list(product(edges, repeat=len(names)))
        dice.shuffle(pairs)
        rows = [pairs[at % len(pairs)] for at in range(ROWS)]
        columns += [[row[side] for row in rows] for side in range(len(names))]
    return [list(row) for row in zip(*columns, strict=True)]


def schema() -> TableSchema:
    columns = [Column("id", "integer", "integer", nullable=False)]
    columns += [Column(name, type_, base) for names, type_, base, _ in _COLUMNS for name in names]
    return TableSchema(TableName("public", "edges"), tuple(columns), ("id",))


@dataclass
class Both:
    """The rows in PostgreSQL and, as PostgreSQL printed them, in Arrow."""

    connection: psycopg.Connection[tuple[object, ...]] = field(repr=False)
    engine: Engine = field(repr=False)
    schema: TableSchema = field(repr=False)
    arrays: list[pa.Array] = field(repr=False)
    columns: dict[str, Typed] = field(repr=False)
    failed: bool = False
    asked: tuple[str, list[str | None], bool] | None = None
    """The last that was computed here: SQL, values, whether it failed."""

    def postgres(self, expression: str) -> list[str | None]:
        """One text a row; FAILED where the expression fails for it."""

        def ask(rows: range) -> list[str | None]:
            where = f"where id between {rows[0]} and {rows[-1]}"
            try:
                return self._query(f"select {expression} from edges {where} order by id")
            except psycopg.errors.SyntaxErrorOrAccessRuleViolation:
                raise
            except psycopg.Error:
                half = len(rows) // 2
                return ask(rows[:half]) + ask(rows[half:]) if half else [FAILED]

        return ask(range(len(self.arrays[0])))

    def _query(self, sql: str) -> list[str | None]:
        cursor = self.connection.execute(sql.encode())
        result = cursor.pgresult
        assert result is not None
        raw = [result.get_value(row, 0) for row in range(result.ntuples)]
        return [None if value is None else bytes(value).decode() for value in raw]

    def translate(self, expression: str) -> Typed:
        return translate(expression, Place("test", ("fields", "x")), self.columns).typed

    def ours(self, sql: str) -> list[str | None]:
        """The same; TRY tells which rows fail.

        Within TRY DuckDB leaves out what a NULL beside it has settled, so `failed` tells whether
        the rows failed as they are evaluated in earnest.
        """
        if self.asked is None or self.asked[0] != sql:
            self.asked = (sql, self._ours(sql), self.failed)
        _, values, self.failed = self.asked
        return values

    def _ours(self, sql: str) -> list[str | None]:
        self.failed = False
        try:
            return self._select(sql)[0]
        except EvaluationError:
            self.failed = True
        kept = f"TRY({sql})", f"TRY(CASE WHEN ({sql}) IS NULL THEN 0 ELSE 1 END)"
        try:
            values, evaluated = self._select(*kept)
        except EvaluationError:  # a constant that fails
            return [FAILED] * len(self.arrays[0])
        return [
            FAILED if flag is None else value for value, flag in zip(values, evaluated, strict=True)
        ]

    def _select(self, *items: str) -> list[list[str | None]]:
        names = pa.schema([(f"c{at}", pa.string()) for at in range(len(self.arrays))])
        select = f"SELECT {', '.join(items)} FROM ".replace("{", "{{").replace("}", "}}")
        statement = self.engine.statement(names, select + "{input}")
        return [column.to_pylist() for column in statement.run(self.arrays)]


@contextmanager
def each(urls: Iterable[str]) -> Iterator[list[Both]]:
    """Several servers, which print the rows alike; each expression is computed here once."""
    with ExitStack() as stack:
        found = [stack.enter_context(contextmanager(both)(url)) for url in urls]
        assert all(one.arrays == found[0].arrays for one in found)
        yield found


def both(server_url: str) -> Iterator[Both]:
    connection = psycopg.connect(server_url, autocommit=True)
    for setting in PINNED:
        name, _, value = setting.partition("=")
        connection.execute(f"set {name} to {value}".encode())
    table = schema()
    declared = ", ".join(f"{column.name} {column.type}" for column in table.columns)
    connection.execute(f"create temp table edges ({declared})".encode())
    with connection.cursor().copy("copy edges from stdin") as copy:
        for at, row in enumerate(edges()):
            copy.write_row((str(at), *row))
    result = connection.execute("select * from edges order by id").pgresult
    assert result is not None
    printed = [
        [result.get_value(row, at) for row in range(result.ntuples)] for at in range(result.nfields)
    ]
    arrays = [
        pa.array([None if v is None else bytes(v).decode() for v in column], pa.string())
        for column in printed
    ]
    engine = Engine()
    yield Both(connection, engine, table, arrays, source_columns(table))
    engine.close()
    connection.close()


def compared(oracle: Both, expression: str) -> list[tuple[str | None, str | None, int]]:
    """(PostgreSQL's, ours, row) for each row that differs."""
    typed = oracle.translate(expression)
    if typed.kind in FLOATS:
        wanted = oracle.postgres(f"({expression})::float8")
        found = oracle.ours(f"CAST(CAST({typed.value} AS DOUBLE) AS VARCHAR)")
        return [
            (want, have, row)
            for row, (want, have) in enumerate(zip(wanted, found, strict=True))
            if not _same_double(want, have)
        ]
    if typed.kind is Kind.NUMERIC and (typed.fix is not None or not typed.exact):
        if typed.fix is not None:
            sql = f"CAST({typed.fix(38, 6)} AS VARCHAR)"
        else:
            sql = f"CAST(CAST({typed.value} AS DECIMAL(38,6)) AS VARCHAR)"
        wanted = oracle.postgres(f"(({expression})::numeric(38,6))::text")
    else:
        sql = text(typed)
        wanted = oracle.postgres(f"({expression})::text")
    found = oracle.ours(sql)
    return [
        (want, have, row)
        for row, (want, have) in enumerate(zip(wanted, found, strict=True))
        if want != have
    ]


def _same_double(want: str | None, have: str | None) -> bool:
    if want == have:
        return True
    if None in (want, have) or FAILED in (want, have):
        return False
    a, b = float(want or ""), float(have or "")
    return a == b or (a != a and b != b)
