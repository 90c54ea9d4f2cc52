"""Columns that are protected in another way than when they were written.

For each pipeline and table a target keeps in ``tailrace.protection`` how each protected column was
written: ``mask first``, ``hash 5f3a9c01``, ``tokenise 5f3a9c01`` with the id of the key. A column
that is not there was clear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cdc.findings import Finding
from tailrace.errors import TargetRefused
from transforms.rows import TargetColumn, TargetTable


def key_refusal(table: TargetTable, recorded: Mapping[str, str]) -> TargetRefused | None:
    """What stands against writing on: what is there would not be found any more."""
    changed = _changed(table, recorded, tells_apart=True)
    if not changed:
        return None
    now = "; ".join(_change(column, recorded) for column in changed)
    return TargetRefused(
        f"target table {table.table} would get its rows a second time, since the protection of its"
        f" key, or of what is unique, has changed: {now}",
        where={"table": str(table.table)},
        fix="put the key or the rule back as it was, or begin anew with an empty table",
    )


def findings(table: TargetTable, recorded: Mapping[str, str]) -> list[Finding]:
    """The same before it happens; and warnings about columns whose older rows stay as they were
    written."""
    refusal = key_refusal(table, recorded)
    found = [] if refusal is None else [_error(table, refusal)]
    return found + [
        Finding(
            "warning",
            f"rows that are there keep {_change(column, recorded, word='and later ones get')}",
            f"{table.table}.{column.name}",
            "-- nothing, if that is meant; else begin anew with an empty table",
        )
        for column in _changed(table, recorded, tells_apart=False)
    ]


def _error(table: TargetTable, refusal: TargetRefused) -> Finding:
    return Finding("error", refusal.what, str(table.table), f"-- {refusal.fix}")


def _changed(
    table: TargetTable, recorded: Mapping[str, str], *, tells_apart: bool
) -> Sequence[TargetColumn]:
    telling = {*table.key, *(name for names in table.unique for name in names)}
    return [
        column
        for column in table.columns
        if (column.name in telling) == tells_apart
        and column.field_class is not None
        and recorded.get(column.name, "") != column.protected
    ]


def _change(column: TargetColumn, recorded: Mapping[str, str], word: str = "now") -> str:
    before = recorded.get(column.name) or "clear values"
    return f"{before}, {word} {column.protected or 'clear values'}"
