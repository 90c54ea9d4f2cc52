"""A net effect into one table of a SQLite file, as sets: a statement, run over all rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from sinks.embedded.codec import converted
from sinks.embedded.session import Codec, Engine, Found
from sinks.embedded.write import SetWriter
from sinks.ordered import diverged
from sinks.sqlite.session import SqliteSession
from sinks.sqlite.types import ColumnType, affinity, bound, bound_one, column_type
from transforms.rows import RowChanges, TargetTable

PIECE_ROWS = 4096
"""Rows turned into Python values at once."""


class SqliteCodec:
    has_on_conflict = True

    def __init__(self, table: TargetTable, found: Found) -> None:
        self._types = [column_type(column) for column in table.columns]
        self.kinds = [
            _kind(type_, found.columns[column.name].type)
            for column, type_ in zip(table.columns, self._types, strict=True)
        ]

    def converted(self, change: RowChanges) -> RowChanges:
        return converted(change, lambda index, column: self._types[index].convert(column))

    def given(self, index: int) -> str:
        return "?"

    def value(self, index: int, text: str | None) -> object:
        return bound_one(self.kinds[index], text)


def _kind(type_: ColumnType, declared: str) -> str:
    """Numbers go as their text into columns of text."""
    kind = affinity(declared)
    return kind if type_.kind in ("INTEGER", "NUMERIC") and kind == "TEXT" else type_.kind


class TableWriter(SetWriter):
    def __init__(
        self, engine: Engine, session: SqliteSession, table: TargetTable, codec: Codec
    ) -> None:
        assert isinstance(codec, SqliteCodec)
        super().__init__(engine, table, codec)
        self._session = session
        self._kinds = codec.kinds

    def _delete(self, keys: Sequence[pa.Array]) -> None:
        for rows in _rows(keys, [self._kinds[i] for i in self._table.key_indexes]):
            self._session.executemany(self._sql.delete, rows)

    def _put(self, columns: Sequence[pa.Array]) -> None:
        for rows in _rows(columns, self._kinds):
            self._session.executemany(self._sql.upsert, rows)

    def _update(
        self, missing: tuple[int, ...], columns: Sequence[pa.Array], must_exist: bool
    ) -> None:
        order = [*self._sql.written(missing, keys=False), *self._table.key_indexes]
        found = 0
        for piece in _rows([columns[i] for i in order], [self._kinds[i] for i in order]):
            found += self._session.executemany(self._sql.update(missing, keys=False), piece)
        if must_exist and found < len(columns[0]):
            raise diverged(self._table, len(columns[0]) - found)


def _rows(columns: Sequence[pa.Array], kinds: Sequence[str]) -> Iterator[list[tuple[object, ...]]]:
    for first in range(0, len(columns[0]), PIECE_ROWS):
        values = [
            bound(kind, column.slice(first, PIECE_ROWS))
            for kind, column in zip(kinds, columns, strict=True)
        ]
        yield list(zip(*values, strict=True))
