"""Expressions that mean harm: refused when the files are checked, at once and in every dialect."""

from __future__ import annotations

import logging
import time

import pytest

from tests.transforms.manuals import COLUMNS
from tests.transforms.tables import table
from transforms.errors import ExpressionError
from transforms.expressions.dialects import DIALECTS
from transforms.expressions.translate import Place, source_columns, syntax, translate

SECONDS_MAX = 10.0
"""Of the processor, which others may use, too."""

HOSTILE = {
    "10 MB of text": "'" + "x" * 10_000_000 + "'",
    "10 MB of terms": "+".join(["1"] * 5_000_000),
    "10,000 brackets": "(" * 10_000 + "1" + ")" * 10_000,
    "4,000 brackets": "(" * 4_000 + "1" + ")" * 4_000,
    "4,000 brackets left open": "(" * 4_000,
    "nested calls": "upper(" * 1_500 + "s" + ")" * 1_500,
    "nested CASE": "CASE WHEN 1 = 1 THEN " * 400 + "1" + " END" * 400,
    "nested NOT": "NOT " * 2_000 + "i = 1",
    "many minus signs": "- " * 4_000 + "1",
    "a long chain": " + ".join(["i"] * 2_400),
    "a long OR": " OR ".join(["i = 1"] * 900),
    "NUL": "'a\x00b'",
    "a statement": "DROP TABLE x",
    "an insert": "INSERT INTO x VALUES (1)",
    "two statements": "1; DELETE FROM x",
    "COPY": "COPY x TO '/tmp/x'",
    "ATTACH": "ATTACH '/tmp/x.db'",
    "INSTALL": "INSTALL httpfs",
    "PRAGMA": "PRAGMA database_list",
    "SET": "SET x = 1",
    "a query": "SELECT 1",
    "a sub-query": "(SELECT 1)",
    "a sub-query in a call": "coalesce((SELECT 1), 2)",
    "a sub-query in IN": "i IN (SELECT 1)",
    "EXISTS": "EXISTS (SELECT 1)",
    "a recursive query": "(WITH RECURSIVE r AS (SELECT 1) SELECT * FROM r)",
    "a union": "1 UNION SELECT 2",
    "a file": "read_text('/etc/passwd')",
    "a CSV file": "read_csv('/etc/passwd')",
    "a glob": "glob('/*')",
    "the environment": "getenv('HOME')",
    "a program": "pg_read_file('/etc/passwd')",
    "a query in text": "query('select 1')",
    "a setting": "current_setting('threads')",
    "a sleep": "pg_sleep(10)",
    "a series": "generate_series(1, 1000000000)",
    "a range": "range(1000000000)",
    "a window": "row_number() OVER ()",
    "an aggregate": "count(*)",
    "a star": "*",
    "a parameter": "?",
}


def _checked(written: str, place: Place) -> None:
    """As `validate` does, then as `check` does."""
    syntax(written, place)
    translate(written, place, source_columns(table(COLUMNS), place.dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("written", HOSTILE.values(), ids=HOSTILE.keys())
def test_refused_at_once(dialect: str, written: str) -> None:
    began = time.process_time()
    place = Place("m", ("fields", "x"), dialect)
    with pytest.raises(ExpressionError) as refused:
        _checked(written, place)
    assert time.process_time() - began < SECONDS_MAX
    assert len(str(refused.value)) < 1_000


GROWING = {
    "postgres": [
        "repeat('x', 1000000000)",
        "repeat(repeat(s, 10000), 10000)",
        "lpad(s, 1000000000, 'x')",
        "rpad(s, 1000000000)",
        "replace(repeat(s, 100), 'a', repeat('b', 9000))",
        "s ~ '((a{200}){200}){200}'",
        "regexp_replace(s, '(a+)+b(', 'x')",
    ],
    "mysql": [
        "REPEAT('x', 1000000000)",
        "SPACE(1000000000)",
        "LPAD(s, 1000000000, 'x')",
        "REPLACE(REPEAT(s, 100), 'a', REPEAT('b', 9000))",
        "s REGEXP '((a{200}){200}){200}'",
    ],
    "oracle": [
        "LPAD('x', 1000000000)",
        "RPAD(s, 1000000000, 'ab')",
        "REGEXP_LIKE(s, '((a{200}){200}){200}')",
    ],
    "tsql": ["REPLICATE('x', 1000000000)", "REPLICATE(REPLICATE(s, 9999), 9999)"],
}


@pytest.mark.parametrize(
    ("dialect", "written"), [(name, text) for name, texts in GROWING.items() for text in texts]
)
def test_what_grows_without_bound_is_refused_without_a_schema(dialect: str, written: str) -> None:
    began = time.process_time()
    with pytest.raises(ExpressionError):
        syntax(written, Place("m", ("fields", "x"), dialect))
    assert time.process_time() - began < SECONDS_MAX


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_of_an_expression_is_logged(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for written in (
            "SHOW secret_value",
            "ALTER SESSION secret_value",
            "to_char(s, secret_value",
        ):
            with pytest.raises(ExpressionError):
                syntax(written, Place("m", (), dialect))
    assert "secret_value" not in caplog.text
