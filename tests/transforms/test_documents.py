"""JSON against PostgreSQL: the text of scalars, to the digit."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from tailrace.service.localpg import LocalPostgres
from tests.transforms.oracle import FAILED
from tests.transforms.tables import here, table, there
from transforms.engine import Engine
from transforms.errors import ExpressionError
from transforms.expressions.translate import Place, source_columns, translate

TYPES = {"j": "json", "b": "jsonb", "s": "text"}
DOCUMENTS = [
    '{"a": 1}',
    '{"a": 1.10}',
    '{"a": -0}',
    '{"a": 1e400}',
    '{"a": 1E+2, "b": {"c": 0.10}}',
    '{"a": 123456789012345678901234567890.123456789}',
    '{"a": "1.10"}',
    '{"a": "x\\"y:1,2"}',
    '{"a": "ä\\u00e4\\n\\\\"}',
    '{"a": "\\ud83d\\ude00"}',
    '{"a": true, "b": {"c": false}}',
    '{"a": null, "b": null}',
    '{"a": "", "b": {"c": ""}}',
    '{ "a" : [ 1 , 2.50 , "x" , null , [7] ] }',
    '{"a": {"b": 1}, "b": {"c": "x", "d": [{"e": 3.140}]}}',
    '{"b": [1,2]}',
    '[1, 2.0, {"a": 5}]',
    "[]",
    "{}",
    "5.50",
    '"text"',
    "null",
    "true",
    '{"1": "x", "a b": 7, "a.b": 8, "A": 9}',
    None,
]
EXPRESSIONS = [
    expression.replace("j", column, 1)
    for column in ("j", "b")
    for expression in (
        "j ->> 'a'",
        "j -> 'b' ->> 'c'",
        "j ->> 'a b'",
        "j ->> 'a.b'",
        "j ->> 0",
        "j ->> -1",
        "j -> 'a' ->> 1",
        "j -> 'a' ->> -2",
        "j -> 'b' -> 'd' -> 0 ->> 'e'",
        "j #>> '{b,c}'",
        "j -> 2 ->> 'a'",
        "(j ->> 'a') || 'x'",
        "j ->> 'a' || 'x'",
        "j ->> 'a' = '1.10'",
        "coalesce(j ->> 'zz', 'none')",
    )
] + ["json_extract_path_text(j, 'b', 'c')", "s::json ->> 'a'"]  # fmt: skip
MALFORMED = [
    '{"a": 1,}',
    '{"a": 01}',
    '{"a": 1..2}',
    '{"a": .5}',
    '{"a": NaN}',
    '{"a": 1',
    "{'a': 1}",
    '{"a": 1} x',
    "",
    "{a: 1}",
    '{"a": "\t"}',
    '{"a": -}',
    '{"a": 1.}',
    '{"a": 1e}',
    '{"a": "\\x"}',
    '{"a": "NaN, 1,}"}',
    '{"a": "\\u0000"}',
    '{"a" 1}',
    '{"a": "1" "2"}',
    "[1 2]",
    '{"a": 1 2}',
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


@pytest.mark.parametrize("version", ["18", "15"])
def test_as_postgres(request: pytest.FixtureRequest, engine: Engine, version: str) -> None:
    """A document where a scalar is asked for is an error here, and never its text."""
    server: LocalPostgres = request.getfixturevalue(f"pg{version}")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        rows = [(document, document, document) for document in DOCUMENTS]
        printed = list(zip(DOCUMENTS, _printed(connection), DOCUMENTS, strict=True))
        wanted = there(connection, TYPES, rows, EXPRESSIONS)
        found = here(engine, table(TYPES), printed, EXPRESSIONS)
    for expression, ours, theirs in zip(EXPRESSIONS, found, wanted, strict=True):
        for document, a, b in zip(DOCUMENTS, ours, theirs, strict=True):
            nested = (b or "")[:1] in ("{", "[") or "= '" in expression
            scalar = document in ("5.50", '"text"', "null", "true") and expression[:1] == "b"
            unlike = a == FAILED and (nested or scalar)
            assert a == b or unlike, (expression, document, a, b)
    values = sum(value not in (None, FAILED) for row in found for value in row)
    assert values > 150


def _printed(connection: psycopg.Connection[tuple[object, ...]]) -> list[str | None]:
    found = there(connection, {"b": "jsonb"}, [(document,) for document in DOCUMENTS], ["b"])
    return found[0]


def test_what_is_no_json_fails_as_in_postgres(pg18: LocalPostgres, engine: Engine) -> None:
    rows = [(text,) for text in MALFORMED]
    with psycopg.connect(pg18.url(), autocommit=True) as connection:
        wanted = there(connection, {"s": "text"}, rows, ["s::json ->> 'a'"])
    found = here(engine, table({"s": "text"}), rows, ["s::json ->> 'a'"])
    assert found == wanted


def test_a_key_that_stands_twice_is_an_error(engine: Engine) -> None:
    rows = [('{"a": 1, "a": 2}',), ('{"b": {"c": 1, "c": 2}, "a": 3}',), ('{"a": 1, "b": 2}',)]
    found = here(engine, table({"j": "json"}), rows, ["j ->> 'a'", "j -> 'b' ->> 'c'"])
    assert found == [[FAILED, "3", "1"], [FAILED, FAILED, None]]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("j -> 'a'", "-> gives a document"),
        ("j #> '{a}'", "#> gives a document"),
        ("s ->> 'a'", "JSON is expected"),
        ("j ->> s", "a quoted constant"),
        ("j #>> '{a,0}'", "a key or an index"),
        ("j #>> 'a'", "written as"),
        ("'x' || j ->> 'a'", "JSON is expected"),
        ("j ->> ''", "not empty"),
        ("j ->> 'a\"b'", "no quotes"),
        ("j ? 'a'", "not"),
    ],
)
def test_refused(expression: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(why)):
        translate(expression, Place("m", ()), source_columns(table(TYPES)))
