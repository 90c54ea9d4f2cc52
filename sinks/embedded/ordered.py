"""Changes one by one (see `sinks.ordered`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sinks.applying import SAVEPOINT
from sinks.embedded.session import Engine, Session
from sinks.embedded.statements import Statements
from sinks.ordered import Row, at, count, diverged, in_order
from sinks.protocol import Written
from tailrace.errors import TargetRefused
from transforms.rows import DELETE, UPSERT, RowChanges, TargetTable


def apply_in_order(
    engine: Engine,
    session: Session,
    changes: Sequence[RowChanges],
    statements: Mapping[TargetTable, Statements],
) -> dict[str, Written]:
    """All of `changes` after a savepoint, which stays.

    Errors: RowRefused with the place of the refused change; TargetRefused.
    """
    with engine.translated("writing"):
        session.savepoint(SAVEPOINT)
    counts: dict[str, Written] = {}
    apply_rows(engine, session, in_order(changes), statements, counts)
    return counts


def apply_rows(
    engine: Engine,
    session: Session,
    rows: Iterable[Row],
    statements: Mapping[TargetTable, Statements],
    counts: dict[str, Written],
) -> None:
    """One after another, and count them. Errors: RowRefused with its place; TargetRefused."""
    for row in rows:
        try:
            with engine.translated("the target refused a row", **row.place):
                _apply(session, statements[row.table], row)
        except TargetRefused as refused:
            refused.where = {**row.place, **refused.where}
            raise at(row, refused) from None
        count(row, counts)


def _apply(session: Session, sql: Statements, row: Row) -> None:
    if row.op == DELETE:
        session.execute(sql.delete, sql.key_values(row.key))
    elif row.op == UPSERT and not row.moves and not row.missing:
        _put(session, sql, sql.values(row.values))
    else:
        values = sql.values(row.values)
        sent = [values[i] for i in sql.written(row.missing, keys=row.moves)]
        statement = sql.update(row.missing, keys=row.moves)
        found = session.execute(statement, [*sent, *sql.key_values(row.key)])
        if found == 0 and row.must_exist:
            raise diverged(row.table, 1)
        if found == 0 and row.moves:
            # Whole rows need no row to move: what is not there is put there.
            _put(session, sql, values)


def _put(session: Session, sql: Statements, values: Sequence[object]) -> None:
    if sql.codec.has_on_conflict:
        session.execute(sql.upsert, values)
        return
    sent = [values[i] for i in sql.written((), keys=False)]
    key = [values[i] for i in sql.table.key_indexes]
    if session.execute(sql.update((), keys=False), [*sent, *key]) == 0:
        session.execute(sql.insert, values)
