"""What reaches a field is what PostgreSQL would assign: ``INSERT INTO … SELECT expression``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tailrace.service.localpg import LocalPostgres
from tests.transforms.oracle import FAILED, Both, both
from transforms.assign import assign
from transforms.types import field_type


@pytest.fixture(scope="module")
def oracle(pg18: LocalPostgres) -> Iterator[Both]:
    yield from both(pg18.url())


CASES = [
    *(
        (column, "text")
        for column in ("s", "c", "v", "i", "k", "n", "u", "f", "r", "b", "d", "ts", "tz", "x")
    ),
    *(
        (expression, "text")
        for expression in ("i + 1", "n * 2", "n = 1", "d + 1", "tz::date", "null", "'lit'")
    ),
    *((expression, "smallint") for expression in ("h", "i", "n", "i % 100", "'7'", "null")),
    *(
        (expression, "integer")
        for expression in ("h", "i", "k", "n", "m", "u", "f", "i * 2", "n / 3", "'12'")
    ),
    *(
        (expression, "decimal(12,2)")
        for expression in ("i", "k", "n", "m", "u", "f", "r", "n * 1.19", "n / 3")
    ),
    *(
        (expression, "decimal(12,2)")
        for expression in ("coalesce(n, 0)", "coalesce(u, 1)", "greatest(n, m)")
    ),
    *((expression, "decimal(6,3)") for expression in ("n", "m", "i", "'1.2345'")),
    *((expression, "decimal") for expression in ("i", "n", "u", "n * m", "'1.50'")),
    *(
        (expression, "double")
        for expression in ("i", "k", "n", "m", "u", "f", "r", "f * 2", "n * 2", "'1.5'")
    ),
    *((expression, "boolean") for expression in ("b", "not b", "i = 1", "'yes'", "null")),
    *(
        (expression, "date")
        for expression in ("d", "ts", "tz", "d + 7", "'2024-02-29'", "nullif(d, e)")
    ),
    *(
        (expression, "timestamp")
        for expression in ("ts", "d", "date_trunc('day', ts)", "'2024-02-29 12:00'")
    ),
    *(
        (expression, "timestamptz")
        for expression in ("tz", "ts at time zone 'UTC'", "date_trunc('day', tz)")
    ),
    *(
        (expression, "timestamptz")
        for expression in ("'2024-02-29 12:00:00+02'", "date_trunc('month', d)")
    ),
    *(
        (expression, "uuid")
        for expression in ("x", "x::text::uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'")
    ),
    *((expression, "json") for expression in ("""'{"a": 1}'""", "'[]'")),
    *((expression, "time") for expression in ("'12:30'", "'12:30:59.5'")),
]


@pytest.mark.parametrize(("expression", "type_"), CASES)
def test_as_postgres_assigns(oracle: Both, expression: str, type_: str) -> None:
    field = field_type(type_)
    typed = oracle.translate(expression)
    oracle.connection.execute("drop table if exists a, b")
    for name in ("a", "b"):
        oracle.connection.execute(f"create temp table {name} (id int, x {field.postgres})".encode())
    texts = oracle.ours(assign(typed, field).sql)
    with oracle.connection.cursor().copy("copy b from stdin") as copy:
        for row, text in enumerate(texts):
            if text != FAILED:
                copy.write_row((str(row), text))
    refused = _insert_what_fits(oracle, expression)
    differing = oracle.connection.execute(
        "select a.id, a.x::text, b.x::text, b.id from a full join b using (id)"
        " where a.id is null or b.id is null or a.x::text is distinct from b.x::text"
    ).fetchall()
    beyond = [row for row in differing if _beyond(str(row[1])) and row[3] is None]
    assert [row for row in differing if row not in beyond] == []
    assert refused == sum(text == FAILED for text in texts) - len(beyond)


def _insert_what_fits(oracle: Both, expression: str) -> int:
    """Rows that PostgreSQL refuses to assign are left out, and counted."""
    every = f"insert into a select id, {expression} from edges"
    before = oracle.connection.execute("select count(*) from edges").fetchone()
    assert before is not None
    oracle.connection.execute(
        f"""do $$ declare at_row int; begin
              for at_row in select id from edges loop
                begin {every} where id = at_row;
                exception when data_exception then null; end;
              end loop;
            end $$""".encode()
    )
    after = oracle.connection.execute("select count(*) from a").fetchone()
    assert after is not None
    return int(str(before[0])) - int(str(after[0]))


def _beyond(wanted: str) -> bool:
    """Values that PostgreSQL has and that are errors here."""
    return wanted in ("NaN", "Infinity", "-Infinity") or wanted.endswith("BC")
