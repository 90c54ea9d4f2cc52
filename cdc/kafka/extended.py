"""MongoDB's Extended JSON: what a value is, and one form of it to show. Pure.

Debezium writes whole documents in the strict form of old (``{"$numberLong": "5"}``,
``{"$date": 0}``), and keys and single fields in the relaxed form (``5``,
``{"$date": "1970-01-01T00:00:00Z"}``). Both are read; what stays JSON is shown relaxed.

https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from cdc.kafka.numbers import unbase64

written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""A value as JSON, in the form that it has."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_YEAR_10000_MS = 253_402_300_800_000
_FAULTS = (ValueError, TypeError, KeyError, ArithmeticError)


def shown(value: Any) -> str:
    """As relaxed Extended JSON."""
    return written(relaxed(value))


def relaxed(value: Any) -> Any:
    if isinstance(value, dict):
        spelled = _SPELLED.get(next(iter(value), ""))
        try:
            return _fields(value) if spelled is None else spelled(value)
        except _FAULTS:
            return _fields(value)
    if isinstance(value, list):
        return [relaxed(one) for one in value]
    if isinstance(value, float):
        return _double(value)
    return value


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    return {name: relaxed(one) for name, one in document.items()}


def _double(value: float) -> Any:
    if value - value == 0:
        return value
    name = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return {"$numberDouble": name}


def _date(value: dict[str, Any]) -> Any:
    ms = milliseconds(value)
    if not 0 <= ms < _YEAR_10000_MS:
        return {"$date": {"$numberLong": str(ms)}}
    text = (_EPOCH + ms * _MS).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return {"$date": text.replace("+00:00", "Z")}


def _binary(value: dict[str, Any]) -> Any:
    encoded, kind = _encoded(value)
    return {"$binary": {"base64": encoded, "subType": f"{kind:02x}"}}


def _regex(value: dict[str, Any]) -> Any:
    if set(value) != {"$regex", "$options"}:
        raise ValueError
    said = {"pattern": value["$regex"], "options": value["$options"]}
    return {"$regularExpression": said}


_SPELLED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "$numberInt": lambda value: number(value),
    "$numberLong": lambda value: number(value),
    "$numberDouble": lambda value: _double(float(number(value))),
    "$date": _date,
    "$binary": _binary,
    "$regex": _regex,
}


# Values by their types


def only(value: Any, name: str) -> Any:
    """What stands under this name alone. Errors: ValueError."""
    if isinstance(value, dict) and list(value) == [name]:
        return value[name]
    raise ValueError


def number(value: Any) -> int | float | Decimal:
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int | float):
        return value
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError
    ((name, text),) = value.items()
    return _NUMBERS[name](text)


_NUMBERS: dict[str, Callable[[str], int | float | Decimal]] = {
    "$numberInt": int,
    "$numberLong": int,
    "$numberDouble": float,
    "$numberDecimal": Decimal,
}


def milliseconds(value: Any) -> int:
    """Of a date, since 1970."""
    said = only(value, "$date")
    if isinstance(said, str):
        moment = datetime.fromisoformat(said)
        return (moment - _EPOCH) // _MS
    found = number(said)
    if not isinstance(found, int):
        raise ValueError
    return found


def object_id(value: Any) -> str:
    found = str(only(value, "$oid"))
    if not is_object_id(found):
        raise ValueError
    return found


def is_object_id(text: str) -> bool:
    return len(text) == 24 and not set(text) - set("0123456789abcdef")


def _encoded(value: dict[str, Any]) -> tuple[str, int]:
    """(base64, kind) of a binary value, of both forms."""
    if set(value) == {"$binary", "$type"}:
        return str(value["$binary"]), int(str(value["$type"]), 16)
    said = only(value, "$binary")
    return str(said["base64"]), int(str(said["subType"]), 16)


def binary(value: Any) -> tuple[bytes, int]:
    if not isinstance(value, dict):
        raise ValueError
    encoded, kind = _encoded(value)
    return unbase64(encoded), kind
