"""Change sets by hand, and row changes in a form that reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from cdc.changes import OLD_KEY, OLD_NONE, OLD_ROW, TableChanges
from cdc.schema import Column, TableName, TableSchema
from transforms.rows import RowChanges

Row = Mapping[str, str | None]


def table(
    name: str, columns: Mapping[str, str], key: Sequence[str], *, full: bool = False
) -> TableSchema:
    """`columns` by name with their types; domains and enums as ``base|schema.name``."""
    schema, _, short = name.partition(".")
    built = []
    for column, type_ in columns.items():
        base, _, own = type_.partition("|")
        bare = base.split("(")[0] + base.partition(")")[2]
        built.append(Column(column, own or base, bare, nullable=column not in key))
    identity = "full" if full else "default"
    return TableSchema(TableName(schema, short), tuple(built), tuple(key), identity)


@dataclass(frozen=True)
class Change:
    """`op` as in Debezium; `old` the key, or with `whole` the row; `unsent` column names."""

    op: str
    new: Row | None = None
    old: Row | None = None
    whole: bool = False
    unsent: tuple[str, ...] = ()


def batch(schema: TableSchema, changes: Sequence[Change], first_seq: int = 0) -> TableChanges:
    names = [column.name for column in schema.columns]

    def column(rows: Sequence[Row | None], name: str) -> pa.Array:
        return pa.array([None if row is None else row.get(name) for row in rows], pa.string())

    kinds = [
        OLD_NONE if change.old is None else OLD_ROW if change.whole else OLD_KEY
        for change in changes
    ]
    has_old = any(kinds)
    unsent = {
        at: pa.array([name in change.unsent for change in changes])
        for at, name in enumerate(names)
        if any(name in change.unsent for change in changes)
    }
    return TableChanges(
        schema,
        pa.array([ord(change.op) for change in changes], pa.uint8()),
        pa.array(range(first_seq, first_seq + len(changes)), pa.int32()),
        tuple(column([change.new for change in changes], name) for name in names),
        unsent,
        pa.array(kinds, pa.uint8()) if has_old else None,
        tuple(column([change.old for change in changes], name) for name in names)
        if has_old
        else None,
    )


def shown(rows: RowChanges) -> list[str]:
    """``u@3 no=E-1 name=Anna (was E-0)``, unsent values left out, of deletes the key only."""
    lines = []
    for at in range(rows.rows):
        op = chr(rows.op[at].as_py())
        words = [f"{op}@{rows.seq[at].as_py()}"]
        for index, column in enumerate(rows.table.columns):
            unsent = index in rows.unsent and rows.unsent[index][at].as_py()
            hidden = op == "t" or (op == "d" and column.name not in rows.table.key)
            if not unsent and not hidden:
                value = rows.values[index][at].as_py()
                words.append(f"{column.name}={'NULL' if value is None else value}")
        if rows.old_key is not None and rows.old_key[0][at].is_valid:
            words.append("(was " + ", ".join(str(key[at].as_py()) for key in rows.old_key) + ")")
        lines.append(" ".join(words))
    return lines
