"""What a value becomes in Debezium's JSON, and its schema in Kafka Connect's words.

As Debezium's defaults (time.precision.mode adaptive, MySQL's TIME always in microseconds,
interval.handling.mode numeric, binary.handling.mode bytes), decimals as the target says:
https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from typing import Any, Literal
from uuid import UUID

from cdc.kafka.settings import UNAVAILABLE
from sinks import jsontext as js
from sinks.jsontext import Field, text_of
from sinks.kafka import slow
from transforms.rows import TargetColumn

Decimals = Literal["precise", "string", "double"]
Schema = dict[str, Any]

_TYPE = re.compile(
    r"([a-z][a-z0-9_ .\"]*?)(?:\(([0-9]+)(?:,\s*(-?[0-9]+))?\))?( with(?:out)? time zone)?"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a type. `schema`: Kafka Connect's, without name and whether it is optional. `zero`: what
    stands for a value that is required and unknown; `unavailable`: for one that was not sent."""

    kind: int
    schema: Schema
    unit: int = 0
    slowly: Callable[[str], str] = text_of
    zero: str = "null"
    unavailable: str = "null"


class NotRepresentable(ValueError):
    """A type that Debezium's consumers expect as something that we do not have."""


def _named(type_: str, name: str, **parameters: str) -> Schema:
    found: Schema = {"type": type_, "name": name, "version": 1}
    if parameters:
        found["parameters"] = parameters
    return found


def _integer(type_: str) -> Shape:
    return Shape(js.RAW, {"type": type_}, slowly=slow.same, zero="0")


def _string(schema: Schema | None = None) -> Shape:
    return Shape(js.TEXT, schema or {"type": "string"}, zero='""', unavailable=text_of(UNAVAILABLE))


_PLAIN: dict[str, Shape] = {
    "smallint": _integer("int16"),
    "integer": _integer("int32"),
    "bigint": _integer("int64"),
    "oid": _integer("int64"),
    "boolean": Shape(js.BOOLEAN, {"type": "boolean"}, slowly=slow.boolean, zero="false"),
    "real": Shape(js.NUMBER, {"type": "float"}, slowly=slow.number, zero="0.0"),
    "double precision": Shape(js.NUMBER, {"type": "double"}, slowly=slow.number, zero="0.0"),
    "json": _string(_named("string", "io.debezium.data.Json")),
    "jsonb": _string(_named("string", "io.debezium.data.Json")),
    "xml": _string(_named("string", "io.debezium.data.Xml")),
    "uuid": _string(_named("string", "io.debezium.data.Uuid")),
    "ltree": _string(_named("string", "io.debezium.data.Ltree")),
    "tsvector": _string(_named("string", "io.debezium.data.Tsvector")),
    "date": Shape(js.DATE, _named("int32", "io.debezium.time.Date"), slowly=slow.date, zero="0"),
    "time with time zone": Shape(
        js.SLOW,
        _named("string", "io.debezium.time.ZonedTime"),
        slowly=slow.zoned_time,
        zero='"00:00:00Z"',
    ),
    "interval": Shape(
        js.SLOW,
        _named("int64", "io.debezium.time.MicroDuration"),
        slowly=slow.interval,
        zero="0",
    ),
    "bytea": Shape(
        js.BYTES,
        {"type": "bytes"},
        slowly=slow.bytes_,
        zero='""',
        unavailable=slow.base64(UNAVAILABLE.encode()),
    ),
}


def _unavailable(item: Schema) -> str:
    """An array that was not sent, by the schema of its items: as Debezium's where it has one. It
    says null of some, which is a value; of those what it says of the like."""
    if item.get("name") == "io.debezium.data.Uuid":  # Java's UUID.nameUUIDFromBytes
        digest = md5(UNAVAILABLE.encode(), usedforsecurity=False).digest()
        return f'["{UUID(bytes=digest, version=3)}"]'
    if item["type"] == "string":
        return f"[{text_of(UNAVAILABLE)}]"
    if item["type"] == "bytes":
        return f"[{slow.base64(UNAVAILABLE.encode())}]"
    if item["type"] in ("boolean", "struct"):
        return "[]"
    return str(list(UNAVAILABLE.encode())).replace(" ", "")


def _vector(name: str, item: str) -> Shape:
    """pgvector prints JSON."""
    items = {"type": item, "optional": False}
    schema = {"items": items, **_named("array", f"io.debezium.data.{name}")}
    return Shape(js.SLOW, schema, slowly=slow.json_, zero="[]", unavailable=_unavailable(items))


_PLAIN |= {
    "point": Shape(
        js.SLOW,
        {
            "fields": [
                {"type": "double", "optional": False, "field": "x"},
                {"type": "double", "optional": False, "field": "y"},
                {"type": "bytes", "optional": True, "field": "wkb"},
                {"type": "int32", "optional": True, "field": "srid"},
            ],
            **_named("struct", "io.debezium.data.geometry.Point"),
            "doc": "Geometry (POINT)",
        },
        slowly=slow.point,
        zero=slow.point("(0,0)"),
    ),
    "hstore": Shape(
        js.SLOW,
        _named("string", "io.debezium.data.Json"),
        slowly=slow.hstore,
        zero='"{}"',
        unavailable=text_of(f'{{"{UNAVAILABLE}":"{UNAVAILABLE}"}}'),
    ),
    "vector": _vector("DoubleVector", "double"),
    "halfvec": _vector("FloatVector", "float"),
}
_REFUSED = {
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "geometry",
    "geography",
    "sparsevec",
}
"""Debezium makes structures of them, or leaves them out."""
_OF_EXTENSIONS = {"hstore", "vector", "halfvec", "sparsevec", "ltree", "geometry", "geography"}
_ALONE = {"point", "vector", "halfvec"}
"""Types of which Debezium makes no arrays."""
_NATIVE = {
    "mysql:bigint unsigned": _integer("int64"),
    "mysql:year": Shape(
        js.RAW, _named("int32", "io.debezium.time.Year"), slowly=slow.same, zero="0"
    ),
}


def shape_of(column: TargetColumn, decimals: Decimals) -> Shape:
    """Errors: NotRepresentable."""
    if column.native in _NATIVE:
        return _NATIVE[column.native]
    if column.native.startswith("mysql:time("):
        return Shape(
            js.SLOW,
            _named("int64", "io.debezium.time.MicroTime"),
            slowly=slow.interval,
            zero="0",
        )
    own = column.native.removeprefix("postgres:")
    if own != column.native and _bare(own.rstrip("[]")) in _OF_EXTENSIONS:
        return _of_type(own, decimals)
    return _of_type(column.type, decimals)


def _bare(type_: str) -> str:
    """Without modifier, and of an extension's type without the schema that it was made in."""
    name = type_.partition("(")[0]
    last = name.rpartition(".")[2].strip('"')
    return last if last in _OF_EXTENSIONS else name


def _of_type(type_: str, decimals: Decimals) -> Shape:
    if type_.endswith("[]"):
        return _array(type_.rstrip("[]"), decimals)
    bare = _bare(type_)
    if bare in _REFUSED:
        raise NotRepresentable(type_)
    if bare in _OF_EXTENSIONS:
        return _PLAIN[bare]
    matched = _TYPE.fullmatch(type_)
    if matched is None:
        return _string()
    name, size, scale, zone = matched.groups()
    if zone:
        name += zone
    if name.startswith("interval"):
        name = "interval"
    digits = None if size is None else int(size)
    made = _SIZED.get(name)
    if made is not None:
        return made(digits, 0 if scale is None else int(scale), decimals)
    return _PLAIN.get(name) or _string()


def _time(digits: int | None, _: int, __: Decimals) -> Shape:
    if digits is not None and digits <= 3:
        schema = _named("int32", "io.debezium.time.Time")
        return Shape(js.TIME, schema, 1000, slow.time_of(1000), "0")
    return Shape(js.TIME, _named("int64", "io.debezium.time.MicroTime"), 1, slow.time_of(1), "0")


def _timestamp(digits: int | None, _: int, __: Decimals) -> Shape:
    if digits is not None and digits <= 3:
        schema = _named("int64", "io.debezium.time.Timestamp")
        return Shape(js.TIMESTAMP, schema, 1000, slow.timestamp_of(1000), "0")
    schema = _named("int64", "io.debezium.time.MicroTimestamp")
    return Shape(js.TIMESTAMP, schema, 1, slow.timestamp_of(1), "0")


def _zoned(digits: int | None, _: int, __: Decimals) -> Shape:
    width = 6 if digits is None else digits
    return Shape(
        js.ZONED,
        _named("string", "io.debezium.time.ZonedTimestamp"),
        width,
        slow.zoned_of(width),
        '"1970-01-01T00:00:00Z"',
    )


def _numeric(digits: int | None, scale: int, decimals: Decimals) -> Shape:
    if decimals == "string":
        return Shape(js.TEXT, {"type": "string"}, zero='""')
    if decimals == "double":
        return Shape(js.NUMBER, {"type": "double"}, slowly=slow.number, zero="0.0")
    if digits is None:
        return Shape(
            js.SLOW,
            {
                "type": "struct",
                "fields": [
                    {"type": "int32", "optional": False, "field": "scale"},
                    {"type": "bytes", "optional": False, "field": "value"},
                ],
                "name": "io.debezium.data.VariableScaleDecimal",
                "version": 1,
                "doc": "Variable scaled decimal",
            },
            slowly=slow.variable_decimal,
            zero='{"scale":0,"value":"AA=="}',
        )
    return _decimal(scale, {"connect.decimal.precision": str(digits)})


def _decimal(scale: int, more: dict[str, str]) -> Shape:
    schema = _named(
        "bytes", "org.apache.kafka.connect.data.Decimal", **{"scale": str(scale), **more}
    )
    return Shape(js.DECIMAL, schema, scale, slow.decimal_of(scale), '"AA=="')


def _money(_: int | None, __: int, decimals: Decimals) -> Shape:
    if decimals == "precise":
        return Shape(js.SLOW, _decimal(2, {}).schema, slowly=slow.money, zero='"AA=="')
    raise NotRepresentable("money")


def _bits(digits: int | None, _: int, __: Decimals) -> Shape:
    if digits in (None, 1):
        return Shape(js.BOOLEAN, {"type": "boolean"}, slowly=slow.boolean, zero="false")
    return _varbits(digits, 0, "precise")


def _varbits(digits: int | None, _: int, __: Decimals) -> Shape:
    length = 2147483647 if digits is None else digits
    schema = _named("bytes", "io.debezium.data.Bits", length=str(length))
    return Shape(js.SLOW, schema, slowly=slow.bits, zero='""')


_SIZED: dict[str, Callable[[int | None, int, Decimals], Shape]] = {
    "time": _time,
    "time without time zone": _time,
    "timestamp": _timestamp,
    "timestamp without time zone": _timestamp,
    "timestamp with time zone": _zoned,
    "timestamptz": _zoned,
    "numeric": _numeric,
    "decimal": _numeric,
    "money": _money,
    "bit": _bits,
    "bit varying": _varbits,
}


def _array(type_: str, decimals: Decimals) -> Shape:
    if _bare(type_) in _ALONE | _REFUSED:
        raise NotRepresentable(f"{type_}[]")
    item = _of_type(type_, decimals)
    inner = {**item.schema, "optional": True}
    return Shape(
        js.SLOW,
        {"type": "array", "items": inner},
        slowly=slow.array_of(item.slowly),
        zero="[]",
        unavailable=_unavailable(item.schema),
    )


def field_of(column: TargetColumn, decimals: Decimals) -> Field:
    """Errors: NotRepresentable."""
    shape = shape_of(column, decimals)
    zero = "null" if column.nullable else shape.zero
    return Field(column.name, shape.kind, shape.unit, shape.slowly, zero, shape.unavailable)


def schema_of(column: TargetColumn, decimals: Decimals) -> Schema:
    """With name and whether it is optional, in the order in which Kafka Connect writes it."""
    schema = dict(shape_of(column, decimals).schema)
    found: Schema = {"type": schema.pop("type")}
    for key in ("items", "fields"):
        if key in schema:
            found[key] = schema.pop(key)
    return {**found, "optional": column.nullable, **schema, "field": column.name}
