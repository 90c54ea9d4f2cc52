"""The SQL of one target table, written once.

The staging tables are temporary tables with the target's own column types and no constraints, made
once per connection, where many rows are first written: one for rows, one for keys. At a MariaDB
they are Aria's, which writes no log of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

from cdc.patterns import OWN_SCHEMA
from sinks.mysql.catalog import CatalogColumn
from sinks.mysql.names import quoted, quoted_list, quoted_table
from sinks.mysql.products import Product
from sinks.mysql.selfrefs import SelfReference, freed
from sinks.mysql.types import ColumnType
from transforms.rows import TargetTable


class Statements:
    """SQL for `table`, of which the target has `found`, with staging tables numbered `number`."""

    def __init__(
        self,
        table: TargetTable,
        types: Sequence[ColumnType],
        found: Mapping[str, CatalogColumn],
        number: int,
        product: Product,
        own: Sequence[SelfReference] = (),
    ) -> None:
        self.table = table
        self.own = own
        self._product = product
        self.types = dict(zip(self.columns, types, strict=True))
        self._found = found
        self.rows = f"{OWN_SCHEMA}.{quoted(f'tailrace_rows_{number}')}"
        self.keys = f"{OWN_SCHEMA}.{quoted(f'tailrace_keys_{number}')}"
        self._updates: dict[tuple[int, ...], str] = {}

    @cached_property
    def name(self) -> str:
        return quoted_table(self.table.table)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """The columns outside the key."""
        return tuple(name for name in self.columns if name not in self.table.key)

    def make(self, stage: str) -> list[str]:
        names = self.columns if stage == self.rows else self.table.key
        columns = ", ".join(f"{quoted(name)} {self._found[name].ddl}" for name in names)
        return [sql.format(stage=stage, columns=columns) for sql in self._product.staging]

    def insert(self, into: str, names: Sequence[str], place: str) -> tuple[str, str]:
        """(INSERT … VALUES, one row of placeholders)."""
        row = ", ".join(self.types[name].read.format(place) for name in names)
        return f"insert into {into} ({quoted_list(names)}) values ", f"({row})"

    def update(self, sent: Collection[str]) -> str:
        """The staged rows that exist, only their `sent` columns; counts those found."""
        assigned = [name for name in self.others if name in sent]
        joined = f"{self.rows} s straight_join {self.name} t on {self._same}"
        if not assigned:
            return f"select 1 from {joined}"
        setting = ", ".join(
            [
                *(f"t.{quoted(name)} = s.{quoted(name)}" for name in assigned),
                *(f"t.{name} = t.{name}" for name in self._kept(sent)),
            ]
        )
        return f"update {joined} set {setting}"

    def _kept(self, sent: Collection[str]) -> list[str]:
        """Columns that were not sent and would change by themselves."""
        return [
            quoted(name) for name in self.columns if name not in sent and self._found[name].touched
        ]

    @cached_property
    def insert_all(self) -> str:
        names = quoted_list(self.columns)
        return f"insert into {self.name} ({names}) select {names} from {self.rows}"

    @cached_property
    def insert_absent(self) -> str:
        """The staged rows that do not exist."""
        return (
            f"insert into {self.name} ({quoted_list(self.columns)})"
            f" select {quoted_list(self.columns, 's.')} from {self.rows} s"
            f" left join {self.name} t on {self._same} where t.{quoted(self.table.key[0])} is null"
        )

    @cached_property
    def delete(self) -> str:
        # A name in place of an alias: with an alias the server asks which database is meant.
        same = " and ".join(self._equal(self.name))
        return f"delete {self.name} from {self.keys} s straight_join {self.name} on {same}"

    @cached_property
    def free(self) -> str | None:
        """The rows of the staged keys get no parent in their own table; None where one must be."""
        names = freed(self.own, self.table.key)
        if not names:
            return None
        setting = ", ".join(f"t.{quoted(name)} = null" for name in names)
        return f"update {self.keys} s straight_join {self.name} t on {self._same} set {setting}"

    @cached_property
    def free_all(self) -> str | None:
        names = freed(self.own, self.table.key)
        if not names:
            return None
        return f"update {self.name} set " + ", ".join(f"{quoted(name)} = null" for name in names)

    @cached_property
    def _same(self) -> str:
        """The same key, to the byte also where the index takes different values for one."""
        return " and ".join(self._equal("t"))

    def _equal(self, target: str) -> Iterator[str]:
        for name in self.table.key:
            column = quoted(name)
            yield f"{target}.{column} = s.{column}"
            if self._found[name].merges:
                yield f"cast({target}.{column} as binary) = cast(s.{column} as binary)"

    # One row at a time, in the source's order.

    @cached_property
    def insert_row(self) -> str:
        """Parameters: all columns."""
        head, row = self.insert(self.name, self.columns, "%s")
        return _escaped(head) + row

    def update_row(self, missing: tuple[int, ...]) -> str:
        """Parameters: the columns but those numbered in `missing`, then the row's key until now."""
        statement = self._updates.get(missing)
        if statement is None:
            sent = [name for i, name in enumerate(self.columns) if i not in missing]
            setting = ", ".join(
                [
                    *(f"{_escaped(quoted(n))} = {self.types[n].read.format('%s')}" for n in sent),
                    *(f"{_escaped(name)} = {_escaped(name)}" for name in self._kept(sent)),
                ]
            )
            statement = f"update {_escaped(self.name)} set {setting} where {self._key_given}"
            self._updates[missing] = statement
        return statement

    @cached_property
    def delete_row(self) -> str:
        """Parameters: the key."""
        return f"delete from {_escaped(self.name)} where {self._key_given}"

    @cached_property
    def _key_given(self) -> str:
        """Placeholders, one a column of the key."""
        return " and ".join(map(self._given, self.table.key))

    def _given(self, name: str) -> str:
        column, value = _escaped(quoted(name)), self.types[name].read.format("%s")
        found = self._found[name]
        if not found.merges:
            return f"{column} = {value}"
        # What the column's character set lacks becomes a question mark, so bytes are compared in
        # one that has all.
        sought = f"convert({value} using {found.charset}) collate {found.collation}"
        held = f"convert({column} using utf8mb4)" if value == "%s" else column
        return f"{column} = {sought} and cast({held} as binary) = cast({value} as binary)"

    def key_values(self, key: Sequence[object]) -> list[object]:
        """The parameters of a key: a value that is compared twice is given twice."""
        return [
            value
            for name, value in zip(self.table.key, key, strict=True)
            for _ in range(2 if self._found[name].merges else 1)
        ]


def _escaped(text: str) -> str:
    """A name inside a statement with %s parameters."""
    return text.replace("%", "%%")
