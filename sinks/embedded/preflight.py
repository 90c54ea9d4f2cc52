"""Whether a file can be written, before anything is; makes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from cdc.findings import Finding
from cdc.patterns import OWN_SCHEMA
from cdc.schema import TableName
from sinks.embedded.protection import recorded
from sinks.embedded.session import Engine, Session
from sinks.embedded.tables import holds_rows, refuse_merged, verify, written_by
from sinks.misfits import not_ours, refuse_doubles
from sinks.protection import findings
from tailrace.errors import TargetRefused
from transforms.rows import TargetTable

_BOOKS = ("tables", "protection")


def inspect(
    engine: Engine, path: Path, tables: Sequence[TargetTable], pipelines: Sequence[str]
) -> list[Finding]:
    """Everything that stands against `pipelines` writing `tables`.

    Errors: TargetUnavailable when nothing can be looked at.
    """
    found = list(_place(path)) + list(_names(engine, tables))
    if found or not path.exists() or path.stat().st_size == 0:
        return found
    try:
        session = engine.connect(path)
        with closing(session), engine.translated("looking at the target", file=str(path)):
            books = (engine.look(session, TableName(OWN_SCHEMA, name)) for name in _BOOKS)
            ours = all(book is not None for book in books)
            for table in dict.fromkeys(tables):
                found += _table(engine, session, table, pipelines if ours else ())
    except TargetRefused as refused:
        return [Finding("error", refused.what, str(path), f"-- {refused.fix}")]
    return list(dict.fromkeys(found))


def _place(path: Path) -> Iterator[Finding]:
    folder = path.parent
    if not folder.is_dir():
        yield Finding("error", "its directory is not there", str(path), f"-- mkdir -p {folder}")
    elif path.is_dir():
        yield Finding("error", "is a directory", str(path), "-- name a file in the target's path")
    elif not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        yield Finding(
            "error",
            "this user may not write it; it and its directory are written, as a transaction has"
            " files of its own beside it",
            str(path),
            f"-- chown $USER {folder} {path if path.exists() else ''}".rstrip(),
        )


def _names(engine: Engine, tables: Sequence[TargetTable]) -> Iterator[Finding]:
    for table in dict.fromkeys(tables):
        try:
            engine.table(table.table)
            refuse_doubles(table, engine.product)
        except TargetRefused as refused:
            yield _finding(table, refused)


def _table(
    engine: Engine, session: Session, table: TargetTable, pipelines: Sequence[str]
) -> Iterator[Finding]:
    found = engine.look(session, table.table)
    try:
        if pipelines:
            refuse_merged(engine, session, table)
        if found is None:
            return
        verify(engine, table, found)
    except TargetRefused as refused:
        yield _finding(table, refused)
        return
    if not holds_rows(engine, session, table):
        return
    if pipelines and written_by(engine, session, pipelines, table.table):
        yield from findings(table, recorded(engine, session, pipelines, table))
    elif table.existing != "keep":
        yield not_ours(table)


def _finding(table: TargetTable, refused: TargetRefused) -> Finding:
    return Finding("error", refused.what, str(table.table), f"-- {refused.fix}")
