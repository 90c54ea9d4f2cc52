"""Cases written by hand after a vendor's manual: one row, one expression, what it gives."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import pytest

from tests.transforms.oracle import FAILED
from tests.transforms.tables import here, table
from transforms.engine import Engine
from transforms.errors import ExpressionError
from transforms.expressions.translate import Place, source_columns, translate

COLUMNS = {
    "id": "integer",
    "s": "character varying(40)",
    "t": "text",
    "c": "character(5)",
    "i": "integer",
    "j": "integer",
    "k": "bigint",
    "n": "numeric(10,2)",
    "m": "numeric(10,4)",
    "f": "double precision",
    "d": "date",
    "e": "date",
    "ts": "timestamp(0) without time zone",
    "tz": "timestamp with time zone",
    "b": "boolean",
}

Given = Mapping[str, str | None]


def given(engine: Engine, expression: str, row: Given, dialect: str) -> str | None:
    """The expression's text over one row; columns that are not named are NULL."""
    unknown = set(row) - set(COLUMNS)
    assert not unknown
    values = [row.get(name, "1" if name == "id" else None) for name in COLUMNS]
    found: str | None = here(engine, table(COLUMNS), [values], [expression], dialect)[0][0]
    return found


FAILS = FAILED


def is_refused(expression: str, why: str, dialect: str) -> None:
    columns = source_columns(table(COLUMNS), dialect)
    with pytest.raises(ExpressionError, match=re.escape(why)):
        translate(expression, Place("m", ("fields", "x"), dialect), columns)


def have_cases(functions: Collection[str], expressions: Iterable[str]) -> None:
    """Every function of a dialect, but for ours, is called in one of the expressions."""
    called = {name.lower() for text in expressions for name in re.findall(r"(\w+)\(", text)}
    assert set(functions) - {"parse_date", "parse_decimal"} <= called
