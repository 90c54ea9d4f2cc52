"""A net effect into one table of a SQLite file, as sets: a statement, run over all rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from sinks.batches import sliced
from sinks.embedded.session import Codec, Engine, Found
from sinks.embedded.statements import Statements
from sinks.netting import Net, by_missing
from sinks.ordered import diverged
from sinks.sqlite.session import SqliteSession
from sinks.sqlite.types import ColumnType, Unfit, affinity, bound, bound_one, column_type
from tailrace.errors import RowRefused
from tailrace.failpoints import failpoint
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
        names = [column.name for column in change.table.columns]
        keys = change.table.key_indexes
        return (
            replace(
                change,
                values=tuple(
                    self._column(change, i, values) for i, values in enumerate(change.values)
                ),
                old_key=None
                if change.old_key is None
                else tuple(
                    self._column(change, i, values)
                    for i, values in zip(keys, change.old_key, strict=True)
                ),
            )
            if names
            else change
        )

    def _column(self, change: RowChanges, index: int, values: pa.Array) -> pa.Array:
        try:
            return self._types[index].convert(values)
        except Unfit as unfit:
            refused = RowRefused(
                "the target refused a row: a value is none of the column's type",
                where={
                    "table": str(change.table.table),
                    "source_table": change.source or None,
                    "key_columns": ", ".join(change.table.key),
                    "column": change.table.columns[index].name,
                },
            )
            refused.seq = sliced(change, unfit.row, 1).seq[0].as_py()
            raise refused from None

    def given(self, index: int) -> str:
        return "?"

    def value(self, index: int, text: str | None) -> object:
        return bound_one(self.kinds[index], text)


def _kind(type_: ColumnType, declared: str) -> str:
    """Numbers go as their text into columns of text."""
    kind = affinity(declared)
    return kind if type_.kind in ("INTEGER", "NUMERIC") and kind == "TEXT" else type_.kind


class TableWriter:
    def __init__(
        self, engine: Engine, session: SqliteSession, table: TargetTable, codec: Codec
    ) -> None:
        assert isinstance(codec, SqliteCodec)
        self._engine = engine
        self._session = session
        self._kinds = codec.kinds
        self._table = table
        self._sql = Statements(engine, table, codec)

    def delete(self, net: Net) -> int:
        if net.deletes is None:
            return 0
        with self._engine.translated("writing", table=str(self._table.table)):
            for rows in _rows(net.deletes, [self._kinds[i] for i in self._table.key_indexes]):
                self._session.executemany(self._sql.delete, rows)
        return len(net.deletes[0]) - net.implied

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        written = 0
        with self._engine.translated("writing", table=str(self._table.table)):
            for rows, must_exist in ((net.upserts, True), (net.patches, False)):
                for missing, part in by_missing(rows) if rows is not None else ():
                    if must_exist and not missing:
                        for piece in _rows(part.columns, self._kinds):
                            self._session.executemany(self._sql.upsert, piece)
                    else:
                        self._update(missing, part.columns, must_exist)
                    written += part.count
        failpoint("deliver.staged")
        return written

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
