"""Dates that are none: ``0000-00-00``, or a month or day of zero, by declared policy.

exception  they go on as they are, for a target to refuse: no date is made of them
null       NULL in their place; their columns may be NULL at a target
text       columns of dates travel as text, whatever they hold

A column of the key keeps its values under ``null``: rows without a key could not be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from cdc.changes import REPLACED, TableChanges
from cdc.mysql.settings import Policy
from cdc.schema import Column, TableSchema

_KINDS = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
_ZERO = r"^(0000|....-00|....-..-00)"
_NOTHING = pa.scalar(None, pa.string())


class ZeroDates:
    def __init__(self, policy: Policy = "exception") -> None:
        self._policy = policy
        self._schemas: dict[str, tuple[TableSchema, tuple[int, ...]]] = {}

    def schema(self, schema: TableSchema) -> TableSchema:
        """The table as the policy shows it."""
        return self._of(schema)[0]

    def changes(self, changes: TableChanges) -> TableChanges:
        """The same under the policy."""
        if self._policy == "exception":
            return changes
        schema, dates = self._of(changes.schema)
        if self._policy == "text" or not dates:
            return replace(changes, schema=schema)
        old = None if changes.old is None else _without(changes.old, dates)
        new = [column for column in _without(changes.new, dates) if column is not None]
        replaced = changes.replaced
        if replaced is not None:
            replaced = _none_replaced(replaced, dates)
        return replace(changes, schema=schema, new=tuple(new), old=old, replaced=replaced)

    def _of(self, schema: TableSchema) -> tuple[TableSchema, tuple[int, ...]]:
        found = self._schemas.get(schema.version)
        if found is None:
            dates = tuple(
                i
                for i, column in enumerate(schema.columns)
                if column.base_type in _KINDS
                and (self._policy == "text" or column.name not in schema.key)
            )
            columns = list(schema.columns)
            for i in dates if self._policy != "exception" else ():
                columns[i] = self._shown(columns[i])
            found = self._schemas[schema.version] = (
                replace(schema, columns=tuple(columns)),
                dates,
            )
        return found

    def _shown(self, column: Column) -> Column:
        if self._policy == "text":
            return Column(column.name, "text", "text", column.nullable)
        return replace(column, nullable=True)


def _without(
    columns: Sequence[pa.Array | None], dates: Sequence[int]
) -> tuple[pa.Array | None, ...]:
    found = list(columns)
    for i in dates:
        column = found[i]
        if column is not None:
            found[i] = pc.if_else(_is_zero(column), _NOTHING, column)
    return tuple(found)


def _none_replaced(replaced: pa.ListArray, dates: Sequence[int]) -> pa.ListArray:
    entries = replaced.values
    column, value = entries.field("column"), entries.field("value")
    zero = pc.and_(pc.is_in(column, pa.array(dates, pa.int16())), _is_zero(value))
    shown = pa.StructArray.from_arrays(
        [column, pc.if_else(zero, _NOTHING, value)], fields=list(REPLACED.value_type)
    )
    return pa.ListArray.from_arrays(replaced.offsets, shown, type=REPLACED, mask=replaced.is_null())


def _is_zero(column: pa.StringArray) -> pa.BooleanArray:
    return pc.match_substring_regex(column, _ZERO)
