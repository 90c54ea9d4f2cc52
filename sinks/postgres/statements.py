"""The SQL of one target table, written once.

A staging table is a temporary table with the target's own column types and no constraints, made
once per connection: COPY into it parses text with the target's input functions, and sets do the
rest. It empties itself at the end of each transaction.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from sinks.postgres.names import quoted, quoted_list, quoted_table
from transforms.rows import TargetTable


@dataclass(frozen=True)
class Statements:
    """SQL for `table`, with staging tables numbered `number`."""

    table: TargetTable
    number: int

    @property
    def name(self) -> str:
        return quoted_table(self.table.table)

    @property
    def stage(self) -> str:
        return f"pg_temp.tailrace_rows_{self.number}"

    @property
    def key_stage(self) -> str:
        return f"pg_temp.tailrace_keys_{self.number}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """The columns outside the key."""
        return tuple(name for name in self.columns if name not in self.table.key)

    @cached_property
    def make_stages(self) -> str:
        return "; ".join(
            f"create temporary table {stage.removeprefix('pg_temp.')} on commit delete rows"
            f" as select {quoted_list(columns)} from {self.name} with no data"
            for stage, columns in ((self.stage, self.columns), (self.key_stage, self.table.key))
        )

    @cached_property
    def copy_rows(self) -> str:
        return f"copy {self.stage} ({quoted_list(self.columns)}) from stdin"

    @cached_property
    def copy_keys(self) -> str:
        return f"copy {self.key_stage} ({quoted_list(self.table.key)}) from stdin"

    @cached_property
    def copy_direct(self) -> str:
        return f"copy {self.name} ({quoted_list(self.columns)}) from stdin"

    @cached_property
    def empty_stage(self) -> str:
        return f"truncate {self.stage}"

    @cached_property
    def empty_key_stage(self) -> str:
        return f"truncate {self.key_stage}"

    @cached_property
    def upsert(self) -> str:
        """Every staged row, in key order, so that two writers meet in one order."""
        action = (
            "do update set "
            + ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in self.others)
            if self.others
            else "do nothing"
        )
        return (
            f"insert into {self.name} ({quoted_list(self.columns)})"
            f" select {quoted_list(self.columns)} from {self.stage}"
            f" order by {quoted_list(self.table.key)}"
            f" on conflict ({quoted_list(self.table.key)}) {action}"
        )

    def update(self, sent: Collection[str]) -> str:
        """The staged rows that exist, only their `sent` columns."""
        assigned = [name for name in self.others if name in sent]
        if not assigned:  # nothing to set, but the row must be there: count it
            return f"select 1 from {self.name} t join {self.stage} s on {self._same('s')}"
        return (
            f"update {self.name} t set "
            + ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in assigned)
            + f" from {self.stage} s where {self._same('s')}"
        )

    @cached_property
    def delete(self) -> str:
        return f"delete from {self.name} t using {self.key_stage} s where {self._same('s')}"

    def _same(self, other: str) -> str:
        return " and ".join(f"t.{quoted(name)} = {other}.{quoted(name)}" for name in self.table.key)

    # One row at a time, in the source's order: parameters are texts of unknown type, so that the
    # target's input functions parse them.

    @cached_property
    def insert_row(self) -> str:
        places = ", ".join(["%s"] * len(self.columns))
        name, columns = _escaped(self.name), _escaped(quoted_list(self.columns))
        action = (
            "do update set "
            + ", ".join(f"{quoted(other)} = excluded.{quoted(other)}" for other in self.others)
            if self.others
            else "do nothing"
        )
        return (
            f"insert into {name} ({columns}) values ({places})"
            f" on conflict ({_escaped(quoted_list(self.table.key))}) {_escaped(action)}"
        )

    def update_row(self, sent: Collection[str]) -> str:
        """Parameters: the sent columns, then the key the row has now."""
        assigned = [name for name in self.columns if name in sent]
        return (
            f"update {_escaped(self.name)} set "
            + ", ".join(f"{_escaped(quoted(name))} = %s" for name in assigned)
            + " where "
            + " and ".join(f"{_escaped(quoted(name))} = %s" for name in self.table.key)
        )

    @cached_property
    def delete_row(self) -> str:
        return f"delete from {_escaped(self.name)} where " + " and ".join(
            f"{_escaped(quoted(name))} = %s" for name in self.table.key
        )


def _escaped(text: str) -> str:
    """A name inside a statement with %s parameters."""
    return text.replace("%", "%%")
