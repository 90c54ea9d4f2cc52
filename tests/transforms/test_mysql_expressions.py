"""The dialect mysql against a real MariaDB and MySQL, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pytest

from tests.transforms import mysqlcases as cases
from tests.transforms.mysqloracle import Both, both, compared, schema
from transforms.engine import Engine
from transforms.errors import ExpressionError
from transforms.expressions.dialects.mysqlfunctions import FUNCTIONS
from transforms.expressions.translate import Place, source_columns, translate

ALL = [
    *(case for group in cases.FUNCTIONS.values() for case in group),
    *cases.OPERATORS,
    *cases.LOGIC,
    *cases.CASTS,
]


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def oracle(request: pytest.FixtureRequest) -> Iterator[Both]:
    name = "maria_server" if request.param == "mariadb" else "mysql"
    yield from both(request.getfixturevalue(name))


@pytest.mark.parametrize("expression", ALL)
def test_as_the_server(oracle: Both, expression: str) -> None:
    if oracle.mysql and ("md5(" in expression or "1.10" in expression):
        pytest.skip("MySQL 9 has no MD5() of its own, and keeps no digits of a JSON number")
    differing = compared(oracle, expression)
    assert not differing, differing[:5]


def test_letters_up_to_latin_extended_a(oracle: Both) -> None:
    """Their upper and lower case is the same in every collation."""
    codes = [code for code in range(1, 0x180) if chr(code) != "\\"]
    asked = " union all ".join(
        f"select {code} as n, upper('{_quoted(code)}') as u, lower('{_quoted(code)}') as l"
        for code in codes
    )
    with oracle.connection.cursor() as cursor:
        cursor.execute(asked)
        wanted = {row[0]: tuple(row[1:]) for row in cursor.fetchall()}
    names = pa.schema([("c0", pa.string())])
    columns = {"s": replace(oracle.columns["s"], sql="c0", printed="c0")}
    items = [
        translate(f"{name}(s)", Place("m", (), "mysql"), columns).typed.value
        for name in ("upper", "lower")
    ]
    select = f"SELECT {', '.join(items)} FROM {{input}}"
    statement = oracle.engine.statement(names, select)
    found = statement.run([pa.array([chr(code) for code in codes])])
    pairs = zip(found[0].to_pylist(), found[1].to_pylist(), strict=True)
    assert dict(zip(codes, pairs, strict=True)) == wanted


def _quoted(code: int) -> str:
    return chr(code).replace("'", "''")


def test_every_function_is_compared() -> None:
    ours = {"parse_date", "parse_decimal"}
    assert set(cases.FUNCTIONS) == set(FUNCTIONS) - ours


REFUSED = [
    ("s = 'a'", "utf8mb4_bin"),
    ("s in ('a', 'b')", "utf8mb4_bin"),
    ("'a' = 'A'", "utf8mb4_bin"),
    ("i <=> j < k", "which comparison"),
    ("i is true < j", "which comparison"),
    ("s like 'a%'", "utf8mb4_bin"),
    ("concat(s, 'x') = t", "utf8mb4_bin"),
    ("case s when 'a' then 1 end", "utf8mb4_bin"),
    ("nullif(s, '')", "utf8mb4_bin"),
    ("instr(s, 'b')", "utf8mb4_bin"),
    ("s regexp 'a'", "utf8mb4_bin"),
    ("locate('a' collate utf8mb4_bin, s)", "utf8mb4_bin"),
    ("instr(s, binary 'a')", "utf8mb4_bin"),
    ("replace(s, t, concat(s))", "IFNULL(x, '')"),
    ("concat(round(n, 3))", "one scale"),
    ("s collate utf8mb4_general_ci = 'a'", "utf8mb4_bin"),
    ("s collate utf8mb4_bin < 'a'", "collation"),
    ("s || t", "CONCAT(a, b)"),
    ("!i", "NOT (…)"),
    ("i + '5'", "no number"),
    ("s + 1", "no number"),
    ("i = '5'", "unquoted"),
    ("s = 5", "not compared"),
    ("d + 1", "INTERVAL 1 DAY"),
    ("d - e", "DATEDIFF"),
    ("i / j + 1", "give it a scale"),
    ("round(i / j, 9)", "digits after the point"),
    ("round(n / n2, 2)", "ROUND(ROUND(x / y, 6), 2)"),
    ("round(i / 1000, 2)", "MariaDB does not"),
    ("concat(f, 'x')", "how double precision prints"),
    ("concat(i = 1)", "how boolean prints"),
    ("s regexp 'a.b'", "write [^\\n]"),
    ("s regexp 'a$'", "write \\z"),
    ("regexp_substr(s, 'a')", "REGEXP_REPLACE()"),
    ("regexp_replace(s, '-', '\\\\1')", "mean different things"),
    ("convert_tz(ts, 'Europe/Berlin', 'UTC')", "shows twice"),
    ("date_format(d, '%W')", "knows"),
    ("str_to_date(s, s)", "quoted constant"),
    ("i /*! + 1 */", "executed"),
    ("i xor j", "xor"),
    ("i & j", "bitwiseand"),
    ("@x", "a parameter"),
    ("x'41'", "hexstring"),
    ("_utf8'x'", "introducer"),
    ("s sounds like 'x'", "soundex"),
    ("match(s) against ('x')", "not an expression"),
    ("now()", "another value at each call"),
    ("sysdate()", "another value at each call"),
    ("uuid()", "another value at each call"),
    ("rand()", "another value at each call"),
    ("current_date", "another value at each call"),
    ("unix_timestamp()", "another value at each call"),
    ("load_file('/etc/passwd')", "another value at each call"),
    ("sleep(10)", "another value at each call"),
    ("group_concat(s)", "sees other rows"),
    ("(select 1)", "sub-query"),
    ("i in (select 1)", "sub-query"),
    ("select 1", "not a statement"),
    ("1; drop table x", "several statements"),
    ("repeat('x', 100000)", "at most 10000"),
    ("lpad(s, 100000, 'x')", "at most 10000"),
]


@pytest.mark.parametrize(("expression", "why"), REFUSED)
def test_refused(expression: str, why: str) -> None:
    columns = source_columns(schema(), "mysql")
    with pytest.raises(ExpressionError, match=re.escape(why)):
        translate(expression, Place("m", ("fields", "x"), "mysql"), columns)


def test_names_of_columns_are_found_whatever_their_case() -> None:
    columns = source_columns(schema(), "mysql")
    for written in ("S", "s", "`S`", "`s`"):
        assert translate(written, Place("m", (), "mysql"), columns).typed.column == "s"


def test_time_zones_are_those_of_the_place() -> None:
    """The server's tables of zones need not be loaded, so the answers stand here."""
    from tests.transforms.tables import here, table

    engine = Engine()
    types = {"ts": "timestamp(0) without time zone"}
    rows = [("2024-07-01 12:00:00",), ("2024-01-01 12:00:00",), ("2024-10-27 01:00:00",), (None,)]
    expression = "DATE_FORMAT(CONVERT_TZ(ts, 'UTC', 'Europe/Berlin'), '%Y-%m-%d %H:%i')"
    found = here(engine, table(types), rows, [expression], "mysql")
    engine.close()
    assert found == [["2024-07-01 14:00", "2024-01-01 13:00", "2024-10-27 02:00", None]]
