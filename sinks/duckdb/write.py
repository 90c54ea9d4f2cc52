"""A net effect into one table of a DuckDB file, as sets: one statement over a batch of Arrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from sinks.duckdb.session import BATCH, DuckdbSession
from sinks.duckdb.types import ColumnType, column_type, fitted
from sinks.embedded.session import Codec, Engine, Found
from sinks.embedded.statements import Statements
from sinks.netting import Net, by_missing
from sinks.ordered import diverged
from tailrace.errors import RowRefused
from tailrace.failpoints import failpoint
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable


class DuckdbCodec:
    """Values stay text until the very statement; here they are tried, since an error would end
    the transaction."""

    def __init__(self, table: TargetTable, found: Found, session: DuckdbSession) -> None:
        self.types = [
            fitted(column_type(column), found.columns[column.name].type) for column in table.columns
        ]
        self.has_on_conflict = not found.has_triggers
        self.session = session

    def converted(self, change: RowChanges) -> RowChanges:
        keys = change.table.key_indexes
        found = replace(
            change,
            values=tuple(
                type_.text(column) for type_, column in zip(self.types, change.values, strict=True)
            ),
            old_key=None
            if change.old_key is None
            else tuple(
                self.types[i].text(column) for i, column in zip(keys, change.old_key, strict=True)
            ),
        )
        self._try(found, list(range(len(self.types))), found.values)
        if found.old_key is not None:
            self._try(found, list(keys), found.old_key)
        return found

    def _try(self, change: RowChanges, indexes: list[int], columns: Sequence[pa.Array]) -> None:
        tried = [n for n, i in enumerate(indexes) if self.types[i].fails]
        if not tried:
            return
        batch = batch_of([*columns, pa.array(range(change.rows))])
        bad = [
            f"min(c{len(columns)}) filter (c{n} is not null and"
            f" {self.types[indexes[n]].fails.format(f'c{n}')})"
            for n in tried
        ]
        first = self.session.ask(f"select {', '.join(bad)} from {BATCH}", batch)
        wrong = [(row, indexes[n]) for row, n in zip(first, tried, strict=True) if row is not None]
        if not wrong:
            return
        row, index = min(wrong)
        refused = RowRefused(
            "the target refused a row: a value is none of the column's type",
            where={
                "table": str(change.table.table),
                "source_table": change.source or None,
                "key_columns": ", ".join(change.table.key),
                "column": change.table.columns[index].name,
            },
        )
        refused.seq = change.seq[row].as_py()
        raise refused

    def given(self, index: int) -> str:
        return self.types[index].read.format("cast(? as varchar)")

    def value(self, index: int, text: str | None) -> object:
        return text


def batch_of(columns: Sequence[pa.Array]) -> pa.Table:
    return pa.table({f"c{i}": column for i, column in enumerate(columns)})


class TableWriter:
    def __init__(
        self, engine: Engine, session: DuckdbSession, table: TargetTable, codec: Codec
    ) -> None:
        assert isinstance(codec, DuckdbCodec)
        self._engine = engine
        self._session = session
        self._table = table
        self._types: list[ColumnType] = codec.types
        self._sql = Statements(engine, table, codec)
        self._names = [engine.quoted(column.name) for column in table.columns]

    def delete(self, net: Net) -> int:
        if net.deletes is None:
            return 0
        with self._engine.translated("writing", table=str(self._table.table)):
            keys = " and ".join(
                f"t.{self._names[i]} = {self._types[i].read.format(f's.c{n}')}"
                for n, i in enumerate(self._table.key_indexes)
            )
            self._session.run(
                f"delete from {self._sql.name} t using {BATCH} s where {keys}",
                batch_of(net.deletes),
            )
        return len(net.deletes[0]) - net.implied

    def upsert(self, net: Net) -> int:
        """Errors: TargetRefused where a row with values not sent is not there to keep them."""
        written = 0
        with self._engine.translated("writing", table=str(self._table.table)):
            for rows, must_exist in ((net.upserts, True), (net.patches, False)):
                for missing, part in by_missing(rows) if rows is not None else ():
                    batch = batch_of(part.columns)
                    if must_exist and not missing:
                        self._put(batch)
                    else:
                        self._update(missing, batch, must_exist)
                    written += part.count
        failpoint("deliver.staged")
        return written

    def _put(self, batch: pa.Table) -> None:
        values = ", ".join(type_.read.format(f"s.c{i}") for i, type_ in enumerate(self._types))
        insert = (
            f"insert into {self._sql.name} ({self._sql.columns}) select {values} from {BATCH} s"
        )
        if self._sql.codec.has_on_conflict:
            self._session.run(f"{insert} {self._sql.on_conflict}", batch)
            return
        self._update((), batch, must_exist=False)
        there = f"select 1 from {self._sql.name} t where {self._same}"
        self._session.run(f"{insert} where not exists ({there})", batch)

    def write_run(self, op: int, moves: bool, missing: tuple[int, ...], batch: pa.Table) -> int:
        """Rows of one kind (see `runs`), each of another key; how many of them were found.

        `batch`: the columns, then the key until now.
        """
        if op == UPSERT and not moves and not missing:
            self._put(batch)
            return int(batch.num_rows)
        width = len(self._names)
        same = " and ".join(
            f"t.{self._names[i]} = {self._types[i].read.format(f's.c{width + n}')}"
            for n, i in enumerate(self._table.key_indexes)
        )
        if op == DELETE:
            self._session.run(f"delete from {self._sql.name} t using {BATCH} s where {same}", batch)
            return int(batch.num_rows)
        sets = ", ".join(
            f"{self._names[i]} = {self._types[i].read.format(f's.c{i}')}"
            for i in self._sql.written(missing, keys=moves)
        )
        if sets:
            return self._session.run(
                f"update {self._sql.name} t set {sets} from {BATCH} s where {same}", batch
            )
        count = f"select count(*) from {BATCH} s join {self._sql.name} t on {same}"
        return int(self._session.ask(count, batch)[0])

    @property
    def _same(self) -> str:
        return " and ".join(
            f"t.{self._names[i]} = {self._types[i].read.format(f's.c{i}')}"
            for i in self._table.key_indexes
        )

    def _update(self, missing: tuple[int, ...], batch: pa.Table, must_exist: bool) -> None:
        same = self._same
        if must_exist:
            count = f"select count(*) from {BATCH} s join {self._sql.name} t on {same}"
            (found,) = self._session.ask(count, batch)
            if found < batch.num_rows:
                raise diverged(self._table, batch.num_rows - found)
        sets = ", ".join(
            f"{self._names[i]} = {self._types[i].read.format(f's.c{i}')}"
            for i in self._sql.written(missing, keys=False)
        )
        if sets:
            update = f"update {self._sql.name} t set {sets} from {BATCH} s where {same}"
            self._session.run(update, batch)
