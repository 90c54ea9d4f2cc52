"""Types: what a source column holds, what an entity's field holds, and what lies between.

| field type     | in PostgreSQL                 | computed in DuckDB as |
|----------------|-------------------------------|-----------------------|
| `text`         | `text`                        | VARCHAR               |
| `smallint`     | `smallint`                    | SMALLINT              |
| `integer`      | `bigint`                      | BIGINT                |
| `decimal(p,s)` | `numeric(p,s)`                | DECIMAL(p,s), p <= 38 |
| `decimal`      | `numeric`                     | not computed on       |
| `double`       | `double precision`            | DOUBLE                |
| `boolean`      | `boolean`                     | BOOLEAN               |
| `date`         | `date`                        | DATE                  |
| `timestamp`    | `timestamp without time zone` | TIMESTAMP             |
| `timestamptz`  | `timestamp with time zone`    | TIMESTAMP, in UTC     |
| `time`         | `time without time zone`      | not computed on       |
| `uuid`         | `uuid`                        | VARCHAR               |
| `json`         | `jsonb`                       | not computed on       |
| `bytes`        | `bytea`                       | not computed on       |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from cdc.schema import Column

DIGITS_MAX = 38
"""Digits of DuckDB's widest decimal; beyond it nothing is exact, so nothing is computed."""


class Kind(Enum):
    """Families of PostgreSQL types by how expressions treat them."""

    TEXT = "text"
    VARCHAR = "character varying"
    BPCHAR = "character"
    INT2 = "smallint"
    INT4 = "integer"
    INT8 = "bigint"
    NUMERIC = "numeric"
    FLOAT4 = "real"
    FLOAT8 = "double precision"
    BOOL = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp without time zone"
    TIMESTAMPTZ = "timestamp with time zone"
    UUID = "uuid"
    LITERAL = "unknown"  # a quoted literal or NULL whose type its neighbours decide
    OTHER = "other"  # carried as text, not computed on


STRINGS = frozenset({Kind.TEXT, Kind.VARCHAR, Kind.BPCHAR})
INTEGERS = frozenset({Kind.INT2, Kind.INT4, Kind.INT8})
FLOATS = frozenset({Kind.FLOAT4, Kind.FLOAT8})
NUMBERS = INTEGERS | FLOATS | {Kind.NUMERIC}
MOMENTS = frozenset({Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ})

INTEGER_DIGITS = {Kind.INT2: 5, Kind.INT4: 10, Kind.INT8: 19}
INTEGER_RANGE = {Kind.INT2: 1 << 15, Kind.INT4: 1 << 31, Kind.INT8: 1 << 63}

_DUCKDB = {
    Kind.INT2: "SMALLINT",
    Kind.INT4: "INTEGER",
    Kind.INT8: "BIGINT",
    Kind.FLOAT4: "FLOAT",
    Kind.FLOAT8: "DOUBLE",
    Kind.BOOL: "BOOLEAN",
    Kind.DATE: "DATE",
    Kind.TIMESTAMP: "TIMESTAMP",
    Kind.TIMESTAMPTZ: "TIMESTAMP",
}


@dataclass(frozen=True, slots=True)
class Type:
    """`precision` and `scale` of a numeric whose scale is fixed; None where each value has its own.

    `name` is PostgreSQL's spelling, for messages and for types that are only carried; of those,
    `prints` says whether the cast to text gives what the source printed.
    """

    kind: Kind
    precision: int | None = None
    scale: int | None = None
    name: str = ""
    prints: bool = True

    @property
    def duckdb(self) -> str:
        """The DuckDB type that values of this type are computed in."""
        if self.kind is Kind.NUMERIC and self.precision is not None:
            # with no room before the point DuckDB prints .5, PostgreSQL 0.5
            return f"DECIMAL({max(self.precision, (self.scale or 0) + 1)},{self.scale})"
        return _DUCKDB.get(self.kind, "VARCHAR")

    @property
    def fixed(self) -> bool:
        """A numeric whose values all have one scale."""
        return self.kind is Kind.NUMERIC and self.precision is not None

    def __str__(self) -> str:
        if self.kind is Kind.NUMERIC and self.precision is not None:
            return f"numeric({self.precision},{self.scale})"
        return self.name or self.kind.value


TEXT = Type(Kind.TEXT)
BOOL = Type(Kind.BOOL)
DATE = Type(Kind.DATE)
TIMESTAMP = Type(Kind.TIMESTAMP)
TIMESTAMPTZ = Type(Kind.TIMESTAMPTZ)
UUID = Type(Kind.UUID)
INT2, INT4, INT8 = Type(Kind.INT2), Type(Kind.INT4), Type(Kind.INT8)
FLOAT4, FLOAT8 = Type(Kind.FLOAT4), Type(Kind.FLOAT8)
NUMERIC = Type(Kind.NUMERIC)
LITERAL = Type(Kind.LITERAL, name="a quoted literal")


def numeric(precision: int, scale: int) -> Type:
    return Type(Kind.NUMERIC, precision, scale)


_SOURCE_KINDS = {kind.value: kind for kind in Kind if kind not in (Kind.LITERAL, Kind.OTHER)} | {
    "bpchar": Kind.BPCHAR,
    "varchar": Kind.VARCHAR,
}
_MODIFIER = re.compile(r"\((\d+)(?:,(-?\d+))?\)")


_TEXT_BY_OUTPUT = frozenset(
    {
        "time without time zone",
        "time with time zone",
        "json",
        "jsonb",
        "bytea",
        "interval",
        "name",
        "oid",
    }
)
"""Carried types whose cast to text is what the source printed (inet's, for one, is not)."""


def source_type(column: Column) -> Type:
    """The type of a source column as expressions see it.

    A user-defined type is an `OTHER` unless it is a domain over a type we compute on: its text is
    known, but not how it compares.
    """
    base = _MODIFIER.sub("", column.base_type)
    kind = _SOURCE_KINDS.get(base)
    defined_by_user = _MODIFIER.sub("", column.type) != base
    if kind is Kind.TEXT and defined_by_user:
        return Type(Kind.OTHER, name=column.type)
    if kind is None:
        prints = base in _TEXT_BY_OUTPUT or base.endswith("[]")
        return Type(Kind.OTHER, name=column.type, prints=prints)
    if kind is not Kind.NUMERIC:
        return Type(kind, name=column.type)
    modifier = _MODIFIER.search(column.type)
    if modifier:
        precision, scale = int(modifier[1]), int(modifier[2] or 0)
        if 0 <= scale <= precision <= DIGITS_MAX and scale < DIGITS_MAX:
            return numeric(precision, scale)
    return Type(kind, name=column.type)


@dataclass(frozen=True, slots=True)
class FieldType:
    """A canonical type: `name` as declared, `postgres` its spelling at a PostgreSQL target."""

    name: str
    postgres: str
    type: Type

    def __str__(self) -> str:
        return self.name


FIELD_TYPES = {
    "text": FieldType("text", "text", TEXT),
    "smallint": FieldType("smallint", "smallint", INT2),
    "integer": FieldType("integer", "bigint", INT8),
    "decimal": FieldType("decimal", "numeric", NUMERIC),
    "double": FieldType("double", "double precision", FLOAT8),
    "boolean": FieldType("boolean", "boolean", BOOL),
    "date": FieldType("date", "date", DATE),
    "timestamp": FieldType("timestamp", "timestamp without time zone", TIMESTAMP),
    "timestamptz": FieldType("timestamptz", "timestamp with time zone", TIMESTAMPTZ),
    "time": FieldType("time", "time without time zone", Type(Kind.OTHER, name="time")),
    "uuid": FieldType("uuid", "uuid", UUID),
    "json": FieldType("json", "jsonb", Type(Kind.OTHER, name="json")),
    "bytes": FieldType("bytes", "bytea", Type(Kind.OTHER, name="bytes")),
}

_DECIMAL = re.compile(r"decimal\(\s*(\d{1,4})\s*,\s*(\d{1,4})\s*\)")


def field_type(text: str) -> FieldType:
    """Errors: ValueError naming the types there are."""
    if text in FIELD_TYPES:
        return FIELD_TYPES[text]
    if match := _DECIMAL.fullmatch(text):
        precision, scale = int(match[1]), int(match[2])
        if scale < precision <= DIGITS_MAX:
            name = f"decimal({precision},{scale})"
            return FieldType(name, f"numeric({precision},{scale})", numeric(precision, scale))
        raise ValueError(f"decimal(p,s) needs p <= {DIGITS_MAX} and s < p")
    names = ", ".join("decimal(p,s)" if name == "decimal" else name for name in FIELD_TYPES)
    raise ValueError(f"{text!r} is no field type; write one of {names}")
