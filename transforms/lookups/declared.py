"""A lookup as an operator declares it: a small table of the source that a mapping joins."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from cdc.schema import TableName, TableSchema
from transforms.declared import DeclaredColumn, declared_column, declared_schema
from transforms.fallback import FORM, Fallback, fallback_of
from transforms.words import Identifier, Strict, table_name

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


class Lookup(Strict):
    """`on` joins its row: each column of the table's key equals an expression of the row.

    `columns` are the table's, for checks and examples without a database.
    """

    table: Annotated[str, AfterValidator(table_name)]
    on: Annotated[str, Field(min_length=1)]
    missing: Annotated[Fallback, PlainValidator(fallback_of("missing")), FORM] = Fallback(
        action="exception"
    )
    columns: Annotated[dict[Identifier, SourceColumn], Field(min_length=1)] | None = None

    @property
    def source(self) -> TableName:
        schema, _, name = self.table.partition(".")
        return TableName(schema, name)

    @property
    def declared(self) -> TableSchema | None:
        """The table as `columns` say it is."""
        return None if self.columns is None else declared_schema(self.source, self.columns)
