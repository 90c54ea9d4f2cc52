"""A source table as its mapping declares it, for checks and examples without a database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from difflib import get_close_matches
from uuid import UUID

from cdc.schema import Column, TableName, TableSchema
from transforms.types import FLOATS, INTEGER_RANGE, INTEGERS, Kind, source_type
from transforms.words import NULL

_SHORT = {
    "bool": "boolean",
    "char": "character",
    "decimal": "numeric",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
_WITH_SIZE = frozenset({"character", "character varying", "numeric", "bit", "bit varying"})
_OTHERS = frozenset(
    {
        "bigint",
        "bytea",
        "cidr",
        "date",
        "inet",
        "interval",
        "json",
        "jsonb",
        "macaddr",
        "money",
        "name",
        "oid",
        "point",
        "text",
        "tsvector",
        "uuid",
        "xml",
    }
)
_NAMES = frozenset({*_SHORT.values(), *_OTHERS, *_WITH_SIZE})

_DECLARED = re.compile(
    r"(?P<name>[a-z][a-z0-9_ ]*?)\s*(?:\(\s*(?P<size>\d+)\s*(?:,\s*(?P<scale>\d+)\s*)?\))?"
    r"(?P<array>(?:\[\])*)"
)
_MOMENT = re.compile(
    r"(?P<name>timestamptz|timestamp|timetz|time|interval)\s*\((?P<digits>[0-6])\)(?P<zone>.*)"
)
_OWN = re.compile(r"""[^\s."(]+\.[^\s."(]+""")
_CONSTRAINT = re.compile(r"\s+(primary\s+key|not\s+null|unique)\s*$", re.IGNORECASE)


CHARS_MAX = 200
"""Of a declaration; a name has at most 63."""


@dataclass(frozen=True, slots=True)
class DeclaredColumn:
    """As in a CREATE TABLE: ``integer primary key``, ``varchar(40) not null``, ``shop.status``."""

    type: str
    base_type: str
    nullable: bool
    primary: bool
    unique: bool = False


def declared_column(text: str) -> DeclaredColumn:
    """Errors: ValueError."""
    if len(text) > CHARS_MAX:
        raise ValueError(f"a text of {len(text)} characters is no type of PostgreSQL")
    words: set[str] = set()
    type_ = text.strip()
    while match := _CONSTRAINT.search(type_):
        words.add(match[1].split()[0].lower())
        type_ = type_[: match.start()].strip()
    primary = "primary" in words
    full, base = _type(type_)
    return DeclaredColumn(full, base, not words & {"primary", "not"}, primary, "unique" in words)


def _type(text: str) -> tuple[str, str]:
    """The type in PostgreSQL's spelling, with its size and without."""
    if _OWN.fullmatch(text):
        return text, "text"
    if moment := _MOMENT.fullmatch(text.lower()):
        base = _type(moment["name"] + moment["zone"])[1]
        word, blank, zone = base.partition(" ")
        return f"{word}({moment['digits']}){blank}{zone}", base
    match = _DECLARED.fullmatch(text.lower())
    name = "" if match is None else " ".join(match["name"].split())
    name = _SHORT.get(name, name)
    if match is None or name not in _NAMES:
        close = get_close_matches(text.lower().partition("(")[0], [*_SHORT, *_NAMES], 1)
        raise ValueError(
            f"{text!r} is no type of PostgreSQL"
            + (f"; did you mean {close[0]}?" if close else "; one of your own is schema.name")
        )
    size, scale = match["size"], match["scale"]
    if (size and name not in _WITH_SIZE) or (scale and name != "numeric"):
        raise ValueError(f"the type {name} has no size")
    if name in ("character", "bit") and not size:
        size = "1"
    if name == "numeric" and size:
        scale = scale or "0"
    shown = f"({size},{scale})" if scale else f"({size})" if size else ""
    return f"{name}{shown}{match['array']}", f"{name}{match['array']}"


def declared_schema(table: TableName, columns: Mapping[str, DeclaredColumn]) -> TableSchema:
    """The table's shape, as a source with its default replica identity shows it."""
    return TableSchema(
        table,
        tuple(
            Column(name, column.type, column.base_type, column.nullable)
            for name, column in columns.items()
        ),
        tuple(name for name, column in columns.items() if column.primary),
    )


def fits_declared(real: TableSchema, declared: TableSchema) -> dict[str | None, str]:
    """By column what is declared otherwise than it is; None: of the key."""
    found: dict[str | None, str] = {}
    columns = {column.name: column for column in real.columns}
    for column in declared.columns:
        there = columns.get(column.name)
        if there is None:
            found[column.name] = f"{real.table} has no column {column.name}"
        elif not _alike(column, there):
            found[column.name] = f"{column.name} is {there.type} in {real.table}, not {column.type}"
    if set(real.key) != set(declared.key):
        found[None] = f"the key of {real.table} is {', '.join(real.key)}"
    return found


def _alike(declared: Column, there: Column) -> bool:
    one, other = source_type(declared), source_type(there)
    if (one.kind, one.precision, one.scale) != (other.kind, other.precision, other.scale):
        return False
    of_their_own = there.type.partition("(")[0] != there.base_type.partition("(")[0]
    sized = one.kind in (Kind.OTHER, Kind.VARCHAR, Kind.BPCHAR)
    return not sized or of_their_own or declared.type == there.type


def printed(column: Column, written: str) -> str | None:
    """The text that the source prints for a value that is written in an example.

    Errors: ValueError where a column of this type cannot hold it.
    """
    if written == NULL:
        if not column.nullable:
            raise ValueError("the column is NOT NULL")
        return None
    type_ = source_type(column)
    try:
        text = _printed(type_.kind, column, written, type_.scale if type_.fixed else None)
    except (ValueError, ArithmeticError):
        text = None
    if text is None:
        raise ValueError(f"{written!r} is no {column.type} as the source prints it")
    return text


def _printed(kind: Kind, column: Column, written: str, scale: int | None) -> str | None:
    """None, ValueError or ArithmeticError: it cannot hold that."""
    if kind in INTEGERS:
        number = int(written)
        limit = INTEGER_RANGE[kind]
        return str(number) if -limit <= number < limit else None
    if kind is Kind.NUMERIC:
        return _number(written, scale, column.type)
    if kind in FLOATS:
        return written if float(written) is not None else None
    if kind is Kind.BOOL:
        return {"true": "t", "t": "t", "false": "f", "f": "f"}.get(written)
    if kind in (Kind.BPCHAR, Kind.VARCHAR):
        size = _size(column.type)
        if size is None:
            return written
        text = written.ljust(size) if kind is Kind.BPCHAR else written
        return text if len(text) <= size else None
    if kind is Kind.UUID:
        return str(UUID(written))
    if kind is Kind.DATE:
        return written if "infinity" in written else date.fromisoformat(written).isoformat()
    if kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return _moment(written, zone=kind is Kind.TIMESTAMPTZ)
    return written


def _number(written: str, scale: int | None, type_: str) -> str | None:
    number = Decimal(written)
    if scale is None or not number.is_finite():
        return written
    digits = _size(type_) or 0
    fixed = number.quantize(Decimal(1).scaleb(-scale))
    whole = len(fixed.as_tuple().digits) <= digits or abs(fixed) < Decimal(10) ** (digits - scale)
    return f"{fixed:f}" if fixed == number and whole else None


def _moment(written: str, *, zone: bool) -> str | None:
    """``2024-01-31 10:00:00``, with time zone ``2024-01-31 10:00:00+00``."""
    if "infinity" in written:
        return written
    bare = written.removesuffix("+00") if zone else written
    datetime.fromisoformat(bare)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])?", bare):
        return None
    return f"{bare}+00" if zone else bare


def _size(type_: str) -> int | None:
    match = re.search(r"\((\d+)", type_)
    return int(match[1]) if match else None
