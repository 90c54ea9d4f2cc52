"""Fields of a row, by Connect's schema: what a column is called here, and how its values are read.

https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cdc.kafka import moments, numbers
from cdc.kafka.declared import CONNECT, DATA, TIME
from cdc.kafka.numbers import Convert
from cdc.schema import Column

MYSQLS = frozenset({"mysql", "mariadb"})


class UnknownType(Exception):
    """A logical type that is not known: its values could mean anything."""


@dataclass(frozen=True, slots=True)
class Field:
    """`parsed`: the Arrow type of its JSON. `convert`: those values → PostgreSQL's text.
    `is_unsent`: parsed values and the placeholder → flags."""

    column: Column
    parsed: pa.DataType
    convert: Convert
    is_unsent: Callable[[pa.Array, str], pa.Array | None]


def fields_of(schema: Sequence[Mapping[str, Any]], connector: str) -> tuple[Field, ...]:
    """Of the struct that a row is. Errors: UnknownType, which names the field."""
    return tuple(_field(one, connector) for one in schema)


def _field(schema: Mapping[str, Any], connector: str) -> Field:
    name = str(schema["field"])
    type_, native, parsed, convert, is_unsent = _read(schema, connector, name)
    type_ = str(schema.get("spelled", type_))
    column = Column(name, type_, base_of(type_), bool(schema.get("optional", True)), native)
    return Field(column, parsed, convert, is_unsent)


def base_of(type_: str) -> str:
    """The type that mappings compute on: without its modifier; of arrays their text."""
    if type_.endswith("[]"):
        return "text"
    head, parenthesis, rest = type_.partition("(")
    return head + rest.partition(")")[2] if parenthesis else type_


Read = tuple[str, str, pa.DataType, Convert, Callable[[pa.Array, str], "pa.Array | None"]]
"""(PostgreSQL's name of the type, native name, parsed, convert, is_unsent)."""


def _read(schema: Mapping[str, Any], connector: str, field: str) -> Read:
    kind, name = schema["type"], str(schema.get("name") or "")
    parameters: Mapping[str, str] = schema.get("parameters") or {}
    if name == f"{CONNECT}Decimal":
        return _decimal(parameters)
    if name == f"{DATA}VariableScaleDecimal":
        parsed = pa.struct([("scale", pa.int32()), ("value", pa.string())])
        return "numeric", "", parsed, numbers.variable_decimals, _variable
    if name == f"{DATA}Bits":
        length = int(parameters.get("length", 1))
        return f"bit({length})", "", pa.string(), numbers.bits(length), _encoded
    if connector in MYSQLS and name in _MYSQL_TIMES:
        unit = _MYSQL_TIMES[name]
        return "interval", "mysql:time(6)", pa.int64(), moments.times(unit), never
    if name in _LOGICAL:
        type_, native, parsed, convert = _LOGICAL[name]
        if type_ == "json":
            return type_, native, parsed, convert, _json_unsent
        return type_, native, parsed, convert, _same if parsed == pa.string() else never
    if kind == "array":
        return _array(schema["items"], connector, field)
    if not name and kind in _PRIMITIVE:
        type_, parsed, convert = _PRIMITIVE[kind]
        plain = _encoded if kind == "bytes" else _same if kind == "string" else never
        return type_, "", parsed, convert, plain
    raise UnknownType(f"field {field} has the type {name or kind}")


def _decimal(parameters: Mapping[str, str]) -> Read:
    scale = int(parameters.get("scale", 0))
    precision = parameters.get("connect.decimal.precision")
    type_ = f"numeric({precision},{scale})" if precision and scale >= 0 else "numeric"
    return type_, "", pa.string(), numbers.decimals(scale), _encoded


def _array(items: Mapping[str, Any], connector: str, field: str) -> Read:
    """An array of PostgreSQL, as it prints one."""
    type_, _, parsed, convert, _ = _read(items, connector, field)

    def literals(column: pa.ListArray) -> pa.Array:
        flat = convert(column.flatten())
        texts = flat.to_pylist()
        found: list[str | None] = []
        at = 0
        for size in column.value_lengths().to_pylist():
            found.append(None if size is None else numbers.array_literal(texts[at : at + size]))
            at += size or 0
        return pa.array(found, pa.string())

    return f"{type_}[]", "", pa.list_(parsed), literals, _list_unsent


# What stands for a value that was not sent


def never(column: pa.Array, placeholder: str) -> None:
    """Values of these types are never left out."""


def _same(column: pa.Array, placeholder: str) -> pa.Array:
    return pc.equal(column, placeholder).fill_null(False)


def _encoded(column: pa.Array, placeholder: str) -> pa.Array:
    return _same(column, _b64(placeholder))


def _json_unsent(column: pa.Array, placeholder: str) -> pa.Array:
    """Of an hstore it is a map."""
    return pc.is_in(column, pa.array([placeholder, f'{{"{placeholder}":"{placeholder}"}}']))


def _variable(column: pa.StructArray, placeholder: str) -> pa.Array:
    return _encoded(pc.struct_field(column, "value"), placeholder)


def _list_unsent(column: pa.ListArray, placeholder: str) -> pa.Array | None:
    """A list of the placeholder alone, or of the UUID made of it, or, of numbers, of its bytes."""
    items = column.type.value_type
    if pa.types.is_string(items):
        wanted: list[list[object]] = [[placeholder], [_b64(placeholder)], [_uuid(placeholder)]]
    elif pa.types.is_integer(items) or pa.types.is_floating(items):
        wanted = [list(placeholder.encode())]
    else:
        return None
    lengths = column.value_lengths().fill_null(-1).to_numpy()
    found = np.zeros(len(column), bool)
    for row in np.flatnonzero(np.isin(lengths, [len(one) for one in wanted])):
        found[row] = column[int(row)].as_py() in wanted
    return pa.array(found)


def _uuid(text: str) -> str:
    """Java's `UUID.nameUUIDFromBytes`."""
    return str(UUID(bytes=md5(text.encode(), usedforsecurity=False).digest(), version=3))


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_PRIMITIVE: Mapping[str, tuple[str, pa.DataType, Convert]] = {
    "int8": ("smallint", pa.int16(), numbers.integers),
    "int16": ("smallint", pa.int16(), numbers.integers),
    "int32": ("integer", pa.int32(), numbers.integers),
    "int64": ("bigint", pa.int64(), numbers.integers),
    "float": ("real", pa.float64(), numbers.doubles),
    "float32": ("real", pa.float64(), numbers.doubles),
    "double": ("double precision", pa.float64(), numbers.doubles),
    "float64": ("double precision", pa.float64(), numbers.doubles),
    "boolean": ("boolean", pa.bool_(), numbers.truths),
    "string": ("text", pa.string(), numbers.texts),
    "bytes": ("bytea", pa.string(), numbers.hexed),
}
_MOMENT, _CLOCK = "timestamp without time zone", "time without time zone"
_LOGICAL: Mapping[str, tuple[str, str, pa.DataType, Convert]] = {
    f"{TIME}Date": ("date", "", pa.int64(), moments.dates),
    f"{CONNECT}Date": ("date", "", pa.int64(), moments.dates),
    f"{TIME}IsoDate": ("date", "", pa.string(), moments.iso_dates),
    f"{TIME}Timestamp": (_MOMENT, "", pa.int64(), moments.moments("ms")),
    f"{CONNECT}Timestamp": (_MOMENT, "", pa.int64(), moments.moments("ms")),
    f"{TIME}MicroTimestamp": (_MOMENT, "", pa.int64(), moments.moments("us")),
    f"{TIME}NanoTimestamp": (_MOMENT, "", pa.int64(), moments.moments("ns")),
    f"{TIME}IsoTimestamp": (_MOMENT, "", pa.string(), moments.iso_moments),
    f"{TIME}ZonedTimestamp": (
        "timestamp with time zone",
        "",
        pa.string(),
        moments.zoned_moments,
    ),
    f"{TIME}Time": (_CLOCK, "", pa.int64(), moments.times("ms")),
    f"{CONNECT}Time": (_CLOCK, "", pa.int64(), moments.times("ms")),
    f"{TIME}MicroTime": (_CLOCK, "", pa.int64(), moments.times("us")),
    f"{TIME}NanoTime": (_CLOCK, "", pa.int64(), moments.times("ns")),
    f"{TIME}IsoTime": (_CLOCK, "", pa.string(), moments.iso_times),
    f"{TIME}ZonedTime": ("time with time zone", "", pa.string(), moments.zoned_times),
    f"{TIME}MicroDuration": ("interval", "", pa.int64(), moments.durations),
    f"{TIME}Interval": ("interval", "", pa.string(), numbers.texts),
    f"{TIME}Year": ("integer", "mysql:year", pa.int32(), numbers.integers),
    f"{DATA}Json": ("json", "", pa.string(), numbers.texts),
    f"{DATA}Uuid": ("uuid", "", pa.string(), numbers.texts),
    f"{DATA}Xml": ("text", "", pa.string(), numbers.texts),
    f"{DATA}Ltree": ("text", "", pa.string(), numbers.texts),
    f"{DATA}Enum": ("text", "", pa.string(), numbers.texts),
    f"{DATA}EnumSet": ("text", "", pa.string(), numbers.texts),
    f"{DATA}TsVector": ("text", "", pa.string(), numbers.texts),
}
_MYSQL_TIMES = {
    f"{TIME}Time": "ms",
    f"{CONNECT}Time": "ms",
    f"{TIME}MicroTime": "us",
    f"{TIME}NanoTime": "ns",
}
