"""Columns of tables whose messages carry no schema, as the operator declares them.

A declared type and the connector's settings say what Debezium makes of a value; that is written
down as the schema that a message could have carried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DATA, TIME = "io.debezium.data.", "io.debezium.time."
CONNECT = "org.apache.kafka.connect.data."

Schema = Mapping[str, Any]
"""A field of Connect's JSON schema: type, name, parameters …"""

_ALIASES = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "decimal": "numeric",
    "varchar": "character varying",
    "char": "character",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "datetime": "timestamp without time zone",
}
_KNOWN = {
    *_ALIASES.values(),
    *("text", "date", "uuid", "json", "jsonb", "bytea", "interval", "bit"),
}
_FORM = re.compile(
    r"([a-z][a-z0-9]*(?: precision| varying)?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?"
    r"((?: with| without) time zone)?(\[\])?"
)


class Declared:
    """A type by its parts. `spelled`: as PostgreSQL's catalog would."""

    def __init__(self, base: str, size: int | None, scale: int, is_array: bool) -> None:
        self.base, self.size, self.scale, self.is_array = base, size, scale, is_array

    @property
    def spelled(self) -> str:
        modifier = ""
        if self.base == "numeric" and self.size is not None:
            modifier = f"({self.size},{self.scale})"
        elif self.size is not None:
            modifier = f"({self.size})"
        head, separator, tail = self.base.partition(" with")
        return f"{head}{modifier}{separator}{tail}" + ("[]" if self.is_array else "")


def parse_type(text: str) -> Declared:
    """Errors: ValueError."""
    matched = _FORM.fullmatch(" ".join(text.lower().split()))
    if matched is not None:
        name, size, scale, zone, array = matched.groups()
        name = f"{name}{zone}" if zone else _ALIASES.get(name, name)
        if name in _KNOWN:
            return Declared(name, int(size) if size else None, int(scale or 0), bool(array))
    raise ValueError(f"{text!r} is none of the types of docs/debezium.md")


def schema_of(text: str, decimals: str, times: str) -> dict[str, Any]:
    """What Debezium's converters call a column of this type. Errors: ValueError."""
    declared = parse_type(text)
    found = _scalar(declared, decimals, times)
    if declared.is_array:
        return {"type": "array", "items": found}
    return found


def _scalar(declared: Declared, decimals: str, times: str) -> dict[str, Any]:
    base, size = declared.base, declared.size
    if base in _PLAIN:
        return dict(_PLAIN[base])
    if base == "numeric":
        return _decimal(declared, decimals)
    if base == "bit":
        if size in (None, 1):
            return {"type": "boolean"}
        return {"type": "bytes", "name": f"{DATA}Bits", "parameters": {"length": str(size)}}
    return _moment(base, 6 if size is None else size, times)


def _decimal(declared: Declared, decimals: str) -> dict[str, Any]:
    if decimals != "precise":
        return {"type": "string" if decimals == "string" else "double"}
    if declared.size is None:
        return {"type": "struct", "name": f"{DATA}VariableScaleDecimal"}
    return {
        "type": "bytes",
        "name": f"{CONNECT}Decimal",
        "parameters": {
            "scale": str(declared.scale),
            "connect.decimal.precision": str(declared.size),
        },
    }


def _moment(base: str, digits: int, times: str) -> dict[str, Any]:
    kind = {
        "date": "Date",
        "timestamp without time zone": "Timestamp",
        "time without time zone": "Time",
    }[base]
    if times == "isostring":
        return {"type": "string", "name": f"{TIME}Iso{kind}"}
    if times == "connect":
        return {"type": "int64", "name": f"{CONNECT}{kind}"}
    if kind == "Date":
        return {"type": "int32", "name": f"{TIME}Date"}
    if times == "nanoseconds":
        return {"type": "int64", "name": f"{TIME}Nano{kind}"}
    micro = times == "microseconds" or digits > 3
    if kind == "Time" and times == "adaptive_time_microseconds":
        micro = True
    if times.startswith("adaptive") and digits > 6:
        return {"type": "int64", "name": f"{TIME}Nano{kind}"}
    return {"type": "int64", "name": f"{TIME}{'Micro' if micro else ''}{kind}"}


_PLAIN: Mapping[str, Schema] = {
    "smallint": {"type": "int16"},
    "integer": {"type": "int32"},
    "bigint": {"type": "int64"},
    "real": {"type": "float"},
    "double precision": {"type": "double"},
    "boolean": {"type": "boolean"},
    "text": {"type": "string"},
    "character varying": {"type": "string"},
    "character": {"type": "string"},
    "uuid": {"type": "string", "name": f"{DATA}Uuid"},
    "json": {"type": "string", "name": f"{DATA}Json"},
    "jsonb": {"type": "string", "name": f"{DATA}Json"},
    "bytea": {"type": "bytes"},
    "interval": {"type": "int64", "name": f"{TIME}MicroDuration"},
    "timestamp with time zone": {"type": "string", "name": f"{TIME}ZonedTimestamp"},
    "time with time zone": {"type": "string", "name": f"{TIME}ZonedTime"},
}
