"""The SQL of one target table, written once.

The staging table is a temporary table with the target's own column types and no constraints, made
once per connection, where many rows are first written: COPY into it parses text with the target's
input functions, and sets do the rest. It empties itself at the end of each transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from sinks.postgres.names import quoted, quoted_list, quoted_table
from transforms.rows import TargetTable


@dataclass(frozen=True)
class Statements:
    """SQL for `table`, with a staging table numbered `number`."""

    table: TargetTable
    number: int
    _updates: dict[tuple[int, ...], bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return quoted_table(self.table.table)

    @property
    def stage(self) -> str:
        return f"pg_temp.tailrace_rows_{self.number}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """The columns outside the key."""
        return tuple(name for name in self.columns if name not in self.table.key)

    @cached_property
    def make_stage(self) -> bytes:
        return (
            f"create temporary table if not exists tailrace_rows_{self.number}"
            f" on commit delete rows as select {quoted_list(self.columns)} from {self.name}"
            " with no data"
        ).encode()

    @cached_property
    def copy_rows(self) -> bytes:
        return f"copy {self.stage} ({quoted_list(self.columns)}) from stdin".encode()

    @cached_property
    def copy_keys(self) -> bytes:
        return f"copy {self.stage} ({quoted_list(self.table.key)}) from stdin".encode()

    @cached_property
    def copy_directly(self) -> bytes:
        return f"copy {self.name} ({quoted_list(self.columns)}) from stdin".encode()

    @cached_property
    def empty_stage(self) -> bytes:
        return f"truncate {self.stage}".encode()

    @cached_property
    def upsert(self) -> bytes:
        """Every staged row, in key order, so that two writers meet in one order."""
        return (
            f"insert into {self.name} ({quoted_list(self.columns)})"
            f" select {quoted_list(self.columns)} from {self.stage}"
            f" order by {quoted_list(self.table.key)}"
            f" on conflict ({quoted_list(self.table.key)}) {self._otherwise}"
        ).encode()

    @cached_property
    def _otherwise(self) -> str:
        """What becomes of a row that is there."""
        if not self.others:
            return "do nothing"
        return "do update set " + ", ".join(
            f"{quoted(name)} = excluded.{quoted(name)}" for name in self.others
        )

    def update(self, sent: Collection[str]) -> bytes:
        """The staged rows that exist, only their `sent` columns."""
        assigned = [name for name in self.others if name in sent]
        if not assigned:  # nothing to set, but the row must be there: count it
            return f"select 1 from {self.name} t join {self.stage} s on {self._same}".encode()
        return (
            f"update {self.name} t set "
            + ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in assigned)
            + f" from {self.stage} s where {self._same}"
        ).encode()

    @cached_property
    def delete(self) -> bytes:
        return f"delete from {self.name} t using {self.stage} s where {self._same}".encode()

    @property
    def _same(self) -> str:
        return " and ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in self.table.key)

    # One row at a time, in the source's order: parameters are texts of unknown type, so that the
    # target's input functions parse them.

    @cached_property
    def upsert_row(self) -> bytes:
        """Parameters: all columns."""
        places = ", ".join(f"${n}" for n in range(1, len(self.columns) + 1))
        return (
            f"insert into {self.name} ({quoted_list(self.columns)}) values ({places})"
            f" on conflict ({quoted_list(self.table.key)}) {self._otherwise}"
        ).encode()

    def update_row(self, missing: tuple[int, ...]) -> bytes:
        """Parameters: the columns but those numbered in `missing`, then the row's key until now."""
        found = self._updates.get(missing)
        if found is None:
            sent = [name for i, name in enumerate(self.columns) if i not in missing]
            found = self._updates[missing] = (
                f"update {self.name} set "
                + ", ".join(f"{quoted(name)} = ${n}" for n, name in enumerate(sent, 1))
                + f" where {self._key_given(len(sent))}"
            ).encode()
        return found

    @cached_property
    def delete_row(self) -> bytes:
        """Parameters: the key."""
        return f"delete from {self.name} where {self._key_given(0)}".encode()

    def _key_given(self, before: int) -> str:
        return " and ".join(
            f"{quoted(name)} = ${n}" for n, name in enumerate(self.table.key, before + 1)
        )
