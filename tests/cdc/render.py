"""Change sets as text that a person can check, one line a change, in the order of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from cdc.changes import OLD_KEY, OLD_NONE, ChangeSet, TableChanges


def render(sets: Iterable[ChangeSet]) -> list[str]:
    """``-- transaction`` lines between transactions; positions and times are left out."""
    lines = []
    previous = None
    for changes in sets:
        rendered = sorted(
            (seq, line) for table in changes.tables for seq, line in _table_lines(table)
        )
        transactions = changes.transactions.to_pylist()
        for seq, line in rendered:
            owner = [tx for tx in transactions if tx["first_seq"] <= seq][-1]
            if owner["position"] != previous:
                previous = owner["position"]
                origin = f" from {owner['origin']}" if owner["origin"] else ""
                lines.append(f"-- transaction{origin}")
            lines.append(line)
    return lines


def _table_lines(table: TableChanges) -> Iterator[tuple[int, str]]:
    names = [column.name for column in table.schema.columns]
    for row in range(table.rows):
        op = chr(table.op[row].as_py())
        parts = [op, str(table.schema.table)]
        if table.old_kind is not None and table.old_kind[row].as_py() != OLD_NONE:
            parts.append(_old(table, names, row))
        if op not in "dt":
            parts.append(
                " ".join(
                    f"{name}={_value(column[row], table.unsent.get(i), row)}"
                    for i, (name, column) in enumerate(zip(names, table.new, strict=True))
                )
            )
        yield table.seq[row].as_py(), " ".join(parts)


def _old(table: TableChanges, names: list[str], row: int) -> str:
    assert table.old is not None
    assert table.old_kind is not None
    key_only = table.old_kind[row].as_py() == OLD_KEY
    values = [
        f"{name}={_value(column[row])}"
        for name, column in zip(names, table.old, strict=True)
        if column is not None and (not key_only or name in table.schema.key)
    ]
    return "(" + " ".join(values) + ")"


def _value(value: pa.StringScalar, unsent: pa.BooleanArray | None = None, row: int = 0) -> str:
    if unsent is not None and unsent[row].as_py():
        return "<not sent>"
    text = value.as_py()
    if text is None:
        return "NULL"
    return repr(text) if len(text) < 60 else f"<{len(text)} characters>"
