"""The slow way that always holds: changes one by one, in the source's order.

The source itself went through these states, so a target with the same constraints can too: unique
values that changed hands, parents replaced under their children, keys that moved with values that
were not sent. It is also how the first row that the target refuses is found.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pyarrow as pa

from sinks.postgres.apply import diverged
from sinks.postgres.session import Connection, translate
from sinks.postgres.statements import Statements
from sinks.protocol import Written
from tailrace.errors import TailraceError
from transforms.rows import DELETE, PATCH, RowChanges


def apply_in_order(
    connection: Connection, changes: Sequence[tuple[RowChanges, Statements]]
) -> dict[str, Written]:
    """Errors: TargetRefused with attribute `seq`, the place of the refused change."""
    counts: dict[str, Written] = {}
    order = sorted(
        (seq, which, row)
        for which, (change, _) in enumerate(changes)
        for row, seq in enumerate(change.seq.to_pylist())
    )
    for seq, which, row in order:
        change, sql = changes[which]
        count = counts.setdefault(str(change.table.table), Written())
        try:
            if _apply_row(connection, change, sql, row):
                count.deleted += 1
            else:
                count.upserted += 1
        except TailraceError as error:
            error.seq = seq  # type: ignore[attr-defined]
            raise
        except psycopg.Error as error:
            refused = translate(
                error,
                "the target refused a row",
                {
                    "table": str(change.table.table),
                    "source_table": change.source or None,
                    "key_columns": ", ".join(change.table.key),
                },
            )
            refused.seq = seq  # type: ignore[attr-defined]
            raise refused from None
    return counts


def _apply_row(connection: Connection, change: RowChanges, sql: Statements, row: int) -> bool:
    """True for a delete."""
    values = [_text(column, row) for column in change.values]
    key = [values[i] for i in change.table.key_indexes]
    if change.old_key is not None and change.old_key[0][row].is_valid:
        key = [_text(column, row) for column in change.old_key]
        moved = True
    else:
        moved = False
    op = change.op[row].as_py()
    if op == DELETE:
        connection.execute(sql.delete_row.encode(), key)
        return True
    missing = {i for i, flags in change.unsent.items() if flags[row].as_py()}
    if not missing and not moved and op != PATCH:
        connection.execute(sql.insert_row.encode(), values)
        return False
    sent = [name for i, name in enumerate(sql.columns) if i not in missing]
    given = [value for i, value in enumerate(values) if i not in missing]
    found = connection.execute(sql.update_row(sent).encode(), [*given, *key]).rowcount
    if found == 0 and op != PATCH:
        if missing:
            raise diverged(change.table, 1)
        connection.execute(sql.insert_row.encode(), values)
    return False


def _text(column: pa.Array, row: int) -> object:
    value = column[row].as_py()
    return value if value is None or isinstance(value, str) else str(value)
