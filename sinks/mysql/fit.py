"""How a column's values go into the column that is there, which somebody else may have made.

The server alters some values without a word: it rounds numbers with a fraction into integers, takes
2000 for the year '0', pads BINARY, and finds the label of an ENUM by its number. Where that could
happen the table is refused, or the value is.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from sinks.mysql.catalog import CatalogColumn
from sinks.mysql.types import ColumnType
from sinks.rowtext import DOUBLE, MOMENT, TEXT, as_text
from transforms.rows import TargetColumn

INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "bit"})
MOMENTS = frozenset({"date", "datetime", "timestamp"})
_LABEL = re.compile(r"'((?:[^']|'')*)'")
NO_LABEL = "\0"
"""In place of a text that is no label: the server refuses it, and says in which row."""


def misfit(column: TargetColumn, type_: ColumnType, found: CatalogColumn) -> str | None:
    """What would happen to values that the target's column cannot hold; None where it can."""
    name, _, size = type_.ddl.partition("(")
    has_fraction = name in ("double", "float") or (name == "decimal" and not size.endswith(",0)"))
    if has_fraction and found.kind in INTEGERS:
        return "would be rounded"
    if name == "double" and found.kind == "float":
        return "would lose digits"
    if found.kind == "year" and column.native != "mysql:year":
        return "would be taken for years of two digits"
    if found.kind == "binary" and not column.native.startswith("mysql:binary"):
        return "would be padded"
    return None


def fitted(column: TargetColumn, type_: ColumnType, found: CatalogColumn) -> ColumnType:
    """`type_` for the column as the target has it."""
    if found.kind in ("enum", "set"):
        return replace(type_, text=_Labels(found).only)
    if found.kind == "year" or (found.kind == "bit" and column.type == "boolean"):
        return replace(type_, read="cast({} as unsigned)")
    is_kept = (type_.kind == MOMENT and found.kind in MOMENTS) or (
        type_.kind == DOUBLE and found.kind in ("double", "float")
    )
    return type_ if is_kept else replace(type_, kind=TEXT)


class _Labels:
    def __init__(self, found: CatalogColumn) -> None:
        self._labels = {label.replace("''", "'") for label in _LABEL.findall(found.type)}
        self._many = found.kind == "set"

    def only(self, column: pa.Array) -> pa.Array:
        coded = as_text(column).dictionary_encode()
        known = [text if self._has(text) else NO_LABEL for text in coded.dictionary.to_pylist()]
        return pc.take(pa.array(known, pa.string()), coded.indices)

    def _has(self, text: str) -> bool:
        if self._many:
            return not text or set(text.split(",")) <= self._labels
        return text in self._labels
