"""Quotients of numerics against PostgreSQL, close to where rounding twice shows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal, localcontext

import psycopg
import pyarrow as pa
import pytest

from cdc.schema import Column, TableName, TableSchema
from tailrace.service.localpg import LocalPostgres
from transforms.engine import Engine, EvaluationError
from transforms.expressions.translate import Place, source_columns, translate

ROWS = 400
SHAPES = [
    # a numeric(p,s), b numeric(p,s), digits of the result
    ((12, 2), (10, 4), 2),
    ((12, 2), (12, 2), 4),
    ((18, 0), (6, 0), 0),
    ((18, 0), (6, 0), 1),
    ((20, 10), (5, 0), 3),
    ((9, 9 - 1), (9, 1), 6),
    ((15, 3), (15, 9), 5),
    ((6, 0), (18, 0), 9),
    ((19, 4), (3, 2), 8),
    ((30, 2), (4, 1), 1),
    ((5, 4), (25, 3), 12),
    ((16, 2), (16, 2), 0),
]


@pytest.fixture(scope="module")
def connection(pg18: LocalPostgres) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(pg18.url(), autocommit=True) as found:
        yield found


def _number(dice: random.Random, precision: int, scale: int) -> Decimal:
    """Of any magnitude the type has room for; never 0."""
    digits = dice.randint(1, precision)
    return Decimal(dice.randint(1, 10**digits - 1)).scaleb(-scale) * dice.choice((1, -1))


def _near_half(
    dice: random.Random, divisor: Decimal, shape: tuple[int, int], digits: int
) -> Decimal:
    """A dividend whose quotient is close to a half of the last digit, from either side."""
    precision, scale = shape
    with localcontext(prec=80):
        half = (Decimal(dice.randint(0, 10**4)) + Decimal("0.5")).scaleb(-digits)
        last = Decimal(1).scaleb(-scale)
        near = (half * divisor).quantize(last) + last * dice.randint(-1, 1)
        return near if abs(near) < Decimal(10) ** (precision - scale) else last


def _pairs(
    dice: random.Random, a: tuple[int, int], b: tuple[int, int], digits: int
) -> list[tuple[str | None, str | None]]:
    pairs: list[tuple[str | None, str | None]] = [(None, "1"), ("1", None), ("0", "3")]
    while len(pairs) < ROWS:
        divisor = _number(dice, *b)
        near = dice.random() < 0.6
        dividend = _near_half(dice, divisor, a, digits) if near else _number(dice, *a)
        pairs.append((f"{dividend:f}", f"{divisor:f}"))
    return pairs


@pytest.mark.parametrize(("a", "b", "digits"), SHAPES)
def test_as_postgres(
    connection: psycopg.Connection[tuple[object, ...]],
    a: tuple[int, int],
    b: tuple[int, int],
    digits: int,
) -> None:
    types = [f"numeric({a[0]},{a[1]})", f"numeric({b[0]},{b[1]})"]
    connection.execute("drop table if exists q")
    connection.execute(f"create temp table q (i int, a {types[0]}, b {types[1]})".encode())
    pairs = _pairs(random.Random(f"{a}{b}{digits}"), a, b, digits)
    with connection.cursor().copy("copy q from stdin") as copy:
        for row, pair in enumerate(pairs):
            copy.write_row((str(row), *pair))
    rows = connection.execute(
        f"select a::text, b::text, round(a / b, {digits})::text from q order by i".encode()
    ).fetchall()
    schema = TableSchema(
        TableName("s", "q"),
        (Column("a", types[0], "numeric"), Column("b", types[1], "numeric")),
        ("a",),
    )
    typed = translate(f"round(a / b, {digits})", Place("m", ()), source_columns(schema)).typed
    found = _evaluated(
        f"CAST({typed.value} AS VARCHAR)", [list(c) for c in zip(*rows, strict=True)][:2]
    )
    differing = [(row, have) for row, have in zip(rows, found, strict=True) if row[2] != have]
    failed = [have for _, have in differing if have == "<error>"]
    assert [one for one in differing if one[1] != "<error>"] == []
    assert len(failed) < ROWS / 10  # beyond 38 digits a row fails, aloud


def _evaluated(sql: str, columns: list[list[object]]) -> list[str | None]:
    engine = Engine()
    schema = pa.schema([("c0", pa.string()), ("c1", pa.string())])
    select = f"SELECT {sql} FROM ".replace("{", "{{").replace("}", "}}") + "{input}"
    statement = engine.statement(schema, select)
    arrays = [pa.array(column, pa.string()) for column in columns]

    def run(start: int, stop: int) -> list[str | None]:
        try:
            found = statement.run([array.slice(start, stop - start) for array in arrays])
            return list(found[0].to_pylist())
        except EvaluationError:
            middle = (start + stop) // 2
            return ["<error>"] if stop - start == 1 else run(start, middle) + run(middle, stop)

    try:
        return run(0, len(columns[0]))
    finally:
        engine.close()


@pytest.mark.parametrize(
    "divisor", ["100", "100.0", "1.19", "3", "-7", "0.0003", "1000000", "12345.678"]
)
def test_by_constants(connection: psycopg.Connection[tuple[object, ...]], divisor: str) -> None:
    for shape, digits in (((12, 2), 2), ((12, 2), 6), ((20, 4), 3), ((18, 0), 4)):
        dice = random.Random(f"{divisor}{shape}{digits}")
        values = [_near_half(dice, Decimal(divisor), shape, digits) for _ in range(150)]
        values += [_number(dice, *shape) for _ in range(150)]
        type_ = f"numeric({shape[0]},{shape[1]})"
        rows = connection.execute(
            f"select a::text, round(a / {divisor}, {digits})::text from"
            f" (select a::{type_}, i from unnest(%s::text[]) with ordinality as x (a, i)) y"
            " order by i".encode(),
            ([f"{value:f}" for value in values],),
        ).fetchall()
        schema = TableSchema(TableName("s", "q"), (Column("a", type_, "numeric"),), ("a",))
        expression = f"round(a / {divisor}, {digits})"
        typed = translate(expression, Place("m", ()), source_columns(schema)).typed
        texts: list[object] = [row[0] for row in rows]
        found = _evaluated(f"CAST({typed.value} AS VARCHAR)", [texts, texts])
        assert [(row, have) for row, have in zip(rows, found, strict=True) if row[1] != have] == []
