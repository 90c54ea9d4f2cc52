"""A net effect into one table of a DuckDB file, as sets: one statement over a batch of Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import duckdb
import pyarrow as pa

from sinks.duckdb.session import BATCH, DuckdbSession
from sinks.duckdb.types import ColumnType, column_type, fitted
from sinks.embedded.codec import converted, no_value
from sinks.embedded.session import Codec, Engine, Found
from sinks.embedded.write import SetWriter
from sinks.netting import NeedsOrder, Net
from sinks.ordered import Values, diverged
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable


class Unread(Exception):
    """Some text of a batch is no value of its column; which one, a codec that `tries` tells."""


class DuckdbCodec:
    """Values stay text until the very statement. An error there ends the transaction, so they are
    tried before; since that takes as long as a small batch, only of tables of which one has failed
    (`tries`)."""

    tries = False

    def __init__(self, table: TargetTable, found: Found, session: DuckdbSession) -> None:
        self.types = [
            fitted(column_type(column), found.columns[column.name].type) for column in table.columns
        ]
        self.has_on_conflict = not found.has_triggers
        self.session = session

    def converted(self, change: RowChanges) -> RowChanges:
        found = converted(change, lambda index, column: self.types[index].text(column))
        self._try(found, list(range(len(self.types))), found.values)
        if found.old_key is not None:
            self._try(found, list(change.table.key_indexes), found.old_key)
        return found

    def _try(self, change: RowChanges, indexes: list[int], columns: Sequence[pa.Array]) -> None:
        tried = [
            n
            for n, i in enumerate(indexes)
            if self.types[i].fails and (self.tries or not self.types[i].certain)
        ]
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
        if wrong:
            raise no_value(change, *min(wrong))

    def given(self, index: int) -> str:
        return self.types[index].read.format("cast(? as varchar)")

    def value(self, index: int, text: str | None) -> object:
        return text


def batch_of(columns: Sequence[pa.Array]) -> pa.Table:
    return pa.table({f"c{i}": column for i, column in enumerate(columns)})


class TableWriter(SetWriter):
    def __init__(
        self, engine: Engine, session: DuckdbSession, table: TargetTable, codec: Codec
    ) -> None:
        assert isinstance(codec, DuckdbCodec)
        super().__init__(engine, table, codec)
        self._session = session
        self._codec = codec
        self._types: list[ColumnType] = codec.types

    def delete(self, net: Net) -> int:
        """Errors: NeedsOrder where what others keep of a row would not move with it."""
        if net.moves and self._has_others:
            raise NeedsOrder
        return super().delete(net)

    def write_run(
        self, op: int, moves: bool, missing: tuple[int, ...], columns: Sequence[pa.Array]
    ) -> int:
        """Rows of one kind (see `runs`), each of another key; how many of them were found.

        `columns`: those of the table, then the key until now.
        """
        rows = len(columns[0])
        if op == UPSERT and not moves and not missing:
            self._put(columns)
            return rows
        width = len(self._sql.names)
        same = self._same(range(width, len(columns)))
        if op == DELETE:
            self._delete_where(same, columns)
            return rows
        return self._updated(missing, columns, same, keys=moves)

    def stored(self, keys: Sequence[Values]) -> dict[Values, Values]:
        """Of these keys those that are there, with the values of all columns as the codec takes
        them."""
        batch = batch_of([pa.array(column, pa.string()) for column in zip(*keys, strict=True)])
        asked = [f"s.c{i}" for i in range(len(batch.columns))]
        names = zip(self._types, self._sql.names, strict=True)
        shown = [type_.show.format(f"t.{name}") for type_, name in names]
        same = self._same(range(len(asked)))
        with self._reading():
            rows = self._session.rows(
                f"select {', '.join((*asked, *shown))} from {BATCH} s join {self._sql.name} t"
                f" on {same}",
                batch,
            )
        return {row[: len(asked)]: row[len(asked) :] for row in rows}

    @cached_property
    def _has_others(self) -> bool:
        """Whether the table has columns that are not ours: a row that is put elsewhere instead of
        moved would lose what stands in them."""
        with self._engine.translated("reading a target table", table=str(self._table.table)):
            found = self._engine.look(self._session, self._table.table)
        return found is None or len(found.columns) > len(self._table.columns)

    def _delete(self, keys: Sequence[pa.Array]) -> None:
        self._delete_where(self._same(range(len(keys))), keys)

    def _run(self, sql: str, batch: pa.Table) -> int:
        with self._reading():
            return self._session.run(sql, batch)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Errors: Unread."""
        try:
            yield
        except (duckdb.ConversionException, duckdb.OutOfRangeException):
            if self._codec.tries:
                raise
            raise Unread from None

    def _delete_where(self, same: str, columns: Sequence[pa.Array]) -> None:
        self._run(f"delete from {self._sql.name} t using {BATCH} s where {same}", batch_of(columns))

    def _put(self, columns: Sequence[pa.Array]) -> None:
        batch = batch_of(columns)
        values = ", ".join(self._read(i, i) for i in range(len(self._sql.names)))
        insert = (
            f"insert into {self._sql.name} ({self._sql.columns}) select {values} from {BATCH} s"
        )
        if self._sql.codec.has_on_conflict:
            self._run(f"{insert} {self._sql.on_conflict}", batch)
            return
        same = self._same(self._table.key_indexes)
        self._updated((), columns, same, keys=False)
        there = f"select 1 from {self._sql.name} t where {same}"
        self._run(f"{insert} where not exists ({there})", batch)

    def _update(
        self, missing: tuple[int, ...], columns: Sequence[pa.Array], must_exist: bool
    ) -> None:
        rows = len(columns[0])
        found = self._updated(missing, columns, self._same(self._table.key_indexes), keys=False)
        if must_exist and found < rows:
            raise diverged(self._table, rows - found)

    def _updated(
        self, missing: tuple[int, ...], columns: Sequence[pa.Array], same: str, *, keys: bool
    ) -> int:
        """How many rows are there, which have got what was sent."""
        batch = batch_of(columns)
        sets = ", ".join(
            f"{self._sql.names[i]} = {self._read(i, i)}"
            for i in self._sql.written(missing, keys=keys)
        )
        if sets:
            return self._run(
                f"update {self._sql.name} t set {sets} from {BATCH} s where {same}", batch
            )
        count = f"select count(*) from {BATCH} s join {self._sql.name} t on {same}"
        with self._reading():
            return int(self._session.ask(count, batch)[0])

    def _same(self, places: Iterable[int]) -> str:
        """A row of the table and one of the batch, which has the key at these `places`."""
        return " and ".join(
            f"t.{self._sql.names[i]} = {self._read(i, at)}"
            for i, at in zip(self._table.key_indexes, places, strict=True)
        )

    def _read(self, index: int, at: int) -> str:
        """A value of column `index`, which stands at place `at` of the batch."""
        return self._types[index].read.format(f"s.c{at}")
