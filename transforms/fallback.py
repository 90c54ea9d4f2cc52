"""What stands in where a code has no value: none is listed, or no row of a table has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import WithJsonSchema

from transforms.words import NULL, Strict


class Fallback(Strict):
    """`value` None is NULL; with ``exception`` a row that needs it is parked."""

    action: Literal["exception", "value"]
    value: str | None = None


FORM = WithJsonSchema(
    {
        "anyOf": [
            {"enum": ["exception", "null"]},
            {
                "type": "object",
                "properties": {"value": {"type": "string"}},
                "required": ["value"],
                "additionalProperties": False,
            },
        ]
    }
)


def fallback_of(name: str) -> Callable[[object], Fallback]:
    """Reads what is written under `name`. Errors: ValueError."""

    def read(value: object) -> Fallback:
        if isinstance(value, Fallback):
            return value
        if value == "exception":
            return Fallback(action="exception")
        if value == NULL:
            return Fallback(action="value")
        if isinstance(value, dict) and set(value) == {"value"} and isinstance(value["value"], str):
            text = value["value"]
            return Fallback(action="value", value=None if text == NULL else text)
        raise ValueError(f"write {name}: exception, {name}: null or {name}: {{value: X}}")

    return read
