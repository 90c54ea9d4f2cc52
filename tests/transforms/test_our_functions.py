"""parse_date and parse_decimal, which PostgreSQL does not have; and letters of every script."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pytest

from cdc.schema import Column, TableName, TableSchema
from tailrace.service.localpg import LocalPostgres
from transforms.assign import assign
from transforms.engine import Engine, EvaluationError
from transforms.expressions.translate import Place, source_columns, translate
from transforms.types import field_type

FAILS = "<error>"
TABLE = TableSchema(
    TableName("s", "t"),
    (
        Column("s", "text", "text"),
        Column("c", "character(12)", "character"),
        Column("i", "integer", "integer"),
    ),
    ("s",),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


def value(
    engine: Engine, expression: str, type_: str, written: str | None, column: str = "s"
) -> str | None:
    typed = translate(expression, Place("m", ()), source_columns(TABLE)).typed
    sql = assign(typed, field_type(type_)).sql
    schema = pa.schema([(f"c{at}", pa.string()) for at in range(3)])
    select = f"SELECT {sql} FROM ".replace("{", "{{").replace("}", "}}") + "{input}"
    row = [written if name == column else None for name in ("s", "c", "i")]
    statement = engine.statement(schema, select)
    try:
        found: str | None = statement.run([pa.array([text], pa.string()) for text in row])[0][
            0
        ].as_py()
    except EvaluationError:
        return FAILS
    return found


GERMAN = "parse_decimal(s, decimal => ',', group => '.')"
DECIMALS = [
    (GERMAN, "1.234,50", "1234.50"),
    (GERMAN, "1234,5", "1234.50"),
    (GERMAN, "-1.234.567,89", "-1234567.89"),
    (GERMAN, "+7", "7.00"),
    (GERMAN, "12,50-", "-12.50"),
    (GERMAN, "12,50+", "12.50"),
    (GERMAN, ",5", "0.50"),
    (GERMAN, "5,", "5.00"),
    (GERMAN, "  7,25 ", "7.25"),
    (GERMAN, "1,005", "1.01"),
    (GERMAN, "-1,005", "-1.01"),
    (GERMAN, "", None),
    (GERMAN, "   ", None),
    (GERMAN, None, None),
    (GERMAN, "1.5", FAILS),
    (GERMAN, "1.2345", FAILS),
    (GERMAN, "12.34,5", FAILS),
    (GERMAN, "1,2,3", FAILS),
    (GERMAN, "--1", FAILS),
    (GERMAN, "-1-", FAILS),
    (GERMAN, "1 234", FAILS),
    (GERMAN, "abc", FAILS),
    (GERMAN, ",", FAILS),
    (GERMAN, "-", FAILS),
    (GERMAN, "1e5", FAILS),
    (GERMAN, "99999999999", FAILS),
    ("parse_decimal(s)", "12.5", "12.50"),
    ("parse_decimal(s)", "12,5", FAILS),
    ("parse_decimal(s, group => ',')", "1,234.5", "1234.50"),
    ("parse_decimal(s, decimal => ',', group => '''')", "1'234,5", "1234.50"),
    ("parse_decimal(s, decimal => ',', group => ' ')", "1 234,5", "1234.50"),
    ("coalesce(parse_decimal(s), 0)", "", "0.00"),
    ("- parse_decimal(s)", "5", "-5.00"),
    ("round(parse_decimal(s), 1)", "1.25", "1.30"),
    ("parse_decimal(s)::numeric(12,1)", "1.25", "1.30"),
]


@pytest.mark.parametrize(("expression", "written", "wanted"), DECIMALS)
def test_parse_decimal(
    engine: Engine, expression: str, written: str | None, wanted: str | None
) -> None:
    assert value(engine, expression, "decimal(12,2)", written) == wanted


DATES = [
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", "20240229", "2024-02-29"),
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", "99991231", None),
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", "0", None),
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", " 20240229 ", "2024-02-29"),
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", "", None),
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", "  ", None),
    ("parse_date(s, 'YYYYMMDD', empty => '0,99991231')", None, None),
    ("parse_date(s, 'YYYYMMDD')", "99991231", "9999-12-31"),
    ("parse_date(s, 'YYYYMMDD')", "0", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "00000000", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "00000101", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "20230229", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "20231301", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "2023010", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "202301011", FAILS),
    ("parse_date(s, 'YYYYMMDD')", "2023-1-1", FAILS),
    ("parse_date(s, 'DD.MM.YYYY')", "31.12.2023", "2023-12-31"),
    ("parse_date(s, 'DD.MM.YYYY')", "31-12-2023", FAILS),
    ("parse_date(s, 'DD.MM.YYYY')", "12.31.2023", FAILS),
    ("parse_date(s, 'YYYY-MM-DD')", "2023-12-31", "2023-12-31"),
]


@pytest.mark.parametrize(("expression", "written", "wanted"), DATES)
def test_parse_date(
    engine: Engine, expression: str, written: str | None, wanted: str | None
) -> None:
    assert value(engine, expression, "date", written) == wanted


def test_parse_date_with_time_is_a_timestamp(engine: Engine) -> None:
    expression = "parse_date(s, 'YYYYMMDD HH24MISS')"
    assert value(engine, expression, "timestamp", "20240229 123456") == "2024-02-29 12:34:56"
    assert value(engine, expression, "timestamp", "20240229 126000") == FAILS
    assert value(
        engine, "parse_date(s, 'DD.MM.YYYY HH24:MI')", "timestamp", "29.02.2024 07:08"
    ) == ("2024-02-29 07:08:00")


def test_parse_takes_numbers_and_padded_text(engine: Engine) -> None:
    assert (
        value(engine, "parse_date(i, 'YYYYMMDD', empty => '0')", "date", "20240229", "i")
        == "2024-02-29"
    )
    assert value(engine, "parse_date(i, 'YYYYMMDD', empty => '0')", "date", "0", "i") is None
    assert value(engine, "parse_date(c, 'YYYYMMDD')", "date", "20240229    ", "c") == "2024-02-29"
    assert (
        value(engine, GERMAN.replace("(s", "(c"), "decimal(12,2)", "1.234,5     ", "c") == "1234.50"
    )


@pytest.mark.parametrize("version", ["18", "15"])
def test_letters_of_every_script(request: pytest.FixtureRequest, version: str) -> None:
    """upper() and lower() of each character, but of those that only newer Unicode pairs."""
    server: LocalPostgres = request.getfixturevalue(f"pg{version}")
    characters = (
        "select i, chr(i) from generate_series(1, 1114111) i where i not between 55296 and 57343"
    )
    with psycopg.connect(server.url()) as connection:
        wanted = connection.execute(
            f"select i, upper(c), lower(c) from ({characters}) x (i, c) order by i".encode()
        ).fetchall()
    engine = Engine()
    columns = source_columns(TABLE)
    items = [
        translate(f"{name}(s)", Place("m", ()), columns).typed.value for name in ("upper", "lower")
    ]
    schema = pa.schema([("c0", pa.string())])
    statement = engine.statement(schema, f"SELECT {', '.join(items)} FROM {{input}}")
    found = statement.run([pa.array([chr(row[0]) for row in wanted])])
    engine.close()
    differing = [
        chr(row[0])
        for row, upper, lower in zip(
            wanted, found[0].to_pylist(), found[1].to_pylist(), strict=True
        )
        if (upper, lower) != row[1:]
    ]
    assert len(wanted) > 1_000_000
    assert all(character.upper() == character.lower() == character for character in differing), (
        differing
    )
    assert all(_new_case(character) for character in differing)


def _new_case(character: str) -> bool:
    """Whether this Python's Unicode knows the character without its pair, or not at all."""
    return unicodedata.category(character) in ("Cn", "Ll", "Lu")
