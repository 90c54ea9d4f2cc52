"""Cases written by hand after a vendor's manual: one row, one expression, what it gives."""

from __future__ import annotations

from collections.abc import Mapping

from tests.transforms.oracle import FAILED
from tests.transforms.tables import here, table
from transforms.engine import Engine

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
