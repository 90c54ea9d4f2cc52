"""A lookup as an operator declares it: a small table of the source that a mapping joins."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from cdc.schema import TableName, TableSchema
from transforms.declared import DeclaredColumn, declared_column, declared_schema
from transforms.words import NULL, Identifier, Strict, table_name

_ALIAS = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text):
        raise ValueError("a lookup's name is made of small letters, digits and '_'")
    return text


Alias = Annotated[str, AfterValidator(_alias)]


def _column(value: object) -> DeclaredColumn:
    return value if isinstance(value, DeclaredColumn) else declared_column(str(value))


SourceColumn = Annotated[
    DeclaredColumn, PlainValidator(_column), WithJsonSchema({"type": "string"})
]


class Missing(Strict):
    """What a row gets whose code the table does not have. `value` None is NULL."""

    action: Literal["exception", "value"]
    value: str | None = None


def _missing(value: object) -> Missing:
    if isinstance(value, Missing):
        return value
    if value == "exception":
        return Missing(action="exception")
    if value == NULL:
        return Missing(action="value")
    if isinstance(value, dict) and set(value) == {"value"} and isinstance(value["value"], str):
        text = value["value"]
        return Missing(action="value", value=None if text == NULL else text)
    raise ValueError("write missing: exception, missing: null or missing: {value: X}")


class Lookup(Strict):
    """`on` joins its row: each column of the table's key equals an expression of the row.

    `columns` are the table's, for checks and examples without a database.
    """

    table: Annotated[str, AfterValidator(table_name)]
    on: Annotated[str, Field(min_length=1)]
    missing: Annotated[
        Missing,
        PlainValidator(_missing),
        WithJsonSchema(
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
        ),
    ] = Missing(action="exception")
    columns: Annotated[dict[Identifier, SourceColumn], Field(min_length=1)] | None = None

    @property
    def source(self) -> TableName:
        schema, _, name = self.table.partition(".")
        return TableName(schema, name)

    @property
    def declared(self) -> TableSchema | None:
        """The table as `columns` say it is."""
        return None if self.columns is None else declared_schema(self.source, self.columns)
