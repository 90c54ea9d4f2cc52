"""Columns that MariaDB's log shows as BINARY(16) or BINARY(4): some are UUID, INET4 or INET6. Pure.

Not even `binlog_row_metadata = FULL` tells which. So what each is at the first snapshot is kept
beside the journal's entries. A statement that may make such a column into another stops capture,
and so does a column that was not there.

    mariadb.lookalikes   [[schema, table, {column: type of `tablemap`, …}], …]
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Self

from cdc.mysql import tablemap as tm
from cdc.mysql.layout import may_be_more
from cdc.mysql.statements import altered
from cdc.mysql.tablemap import TableMap
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError

FACT = "mariadb.lookalikes"
_REAL = (tm.UUID, tm.INET4, tm.INET6)
_NOTES = re.compile(r"/\*(?!M?!).*?\*/|--[^\n]*|#[^\n]*|/\*M?!\d*|\*/", re.DOTALL)
_TYPES = r"(?:uuid|inet4|inet6|binary|n?char|character|national)\b"


class Lookalikes:
    """`shape_of` gives today's shape of a table, for a journal that was begun before these facts
    were kept: then there was none but BINARY."""

    def __init__(
        self,
        known: Mapping[TableName, Mapping[str, int]] | None = None,
        shape_of: Callable[[TableName], TableMap | None] = lambda _: None,
    ) -> None:
        self._known = known
        self._shape_of = shape_of

    @classmethod
    def at(cls, shapes: Iterable[TableMap]) -> Self:
        """As the catalog has them."""
        return cls(
            {
                shape.table: {
                    column.name: column.type
                    for column in shape.columns
                    if column.type in _REAL or may_be_more(column)
                }
                for shape in shapes
            }
        )

    @classmethod
    def of(cls, facts: Mapping[str, str], shape_of: Callable[[TableName], TableMap | None]) -> Self:
        if FACT not in facts:
            return cls(None, shape_of)
        return cls(
            {TableName(schema, name): found for schema, name, found in json.loads(facts[FACT])}
        )

    @property
    def facts(self) -> Mapping[str, str]:
        tables = sorted((name, found) for name, found in (self._known or {}).items() if found)
        return {FACT: json.dumps([[name.schema, name.name, found] for name, found in tables])}

    def told(self, shape: TableMap) -> TableMap:
        """The same with the types that its columns have. Errors: ContinuityError."""
        if not any(map(may_be_more, shape.columns)):
            return shape
        if self._known is None:
            self._refuse_today(shape)
            return shape
        known = self._known.get(shape.table, {})
        columns = []
        for column in shape.columns:
            if may_be_more(column):
                if column.name not in known:
                    raise _unknown(shape.table, column.name)
                column = replace(column, type=known[column.name])
            columns.append(column)
        return replace(shape, columns=tuple(columns))

    def _refuse_today(self, shape: TableMap) -> None:
        today = self._shape_of(shape.table)
        for column in today.columns if today else ():
            if column.type in _REAL:
                raise _unknown(shape.table, column.name)

    def refuse_change(self, database: str, statement: str) -> None:
        """Errors: ContinuityError where an ALTER may give a column that is known another type."""
        table = altered(database, statement)
        text = _NOTES.sub(" ", statement)
        for name, known in (self._known or {}).items():
            if table not in (None, name):
                continue
            for column in known:
                quoted = re.escape(column.replace("`", "``"))
                word = rf"(?:`{quoted}`|(?<![\w$`]){re.escape(column)}(?![\w$`]))"
                if re.search(rf"{word}\s*{_TYPES}|\bto\s+{word}", text, re.IGNORECASE):
                    raise _unknown(name, column)


def _unknown(table: TableName, column: str) -> ContinuityError:
    return ContinuityError(
        f"column {column} of {table} was made or altered since the first snapshot, and the log does"
        " not tell whether it is a UUID, an INET4 or INET6, or BINARY",
        where={"table": str(table), "column": column},
        fix=START_OVER,
    )
