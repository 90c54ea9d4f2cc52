"""What a SQLite file says of its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdc.schema import TableName
from sinks.embedded.session import Found, FoundColumn, Session
from sinks.foreign_keys import ForeignKey, References
from sinks.sqlite.names import plain


def look(session: Session, table: TableName) -> Found | None:
    name = plain(table)
    kinds = session.query(
        "select type from sqlite_master where name = ? collate nocase"
        " and type in ('table', 'view')",
        (name,),
    )
    if not kinds:
        return None
    indexes = list(_unique(session, name))
    loose = {column for _, names, exact in indexes if not exact for column in names}
    columns: dict[str, FoundColumn] = {}
    key: list[tuple[int, str]] = []
    for _, column, type_, notnull, default, pk, hidden in session.query(
        "select * from pragma_table_xinfo(?)", (name,)
    ):
        is_rowid = bool(pk) and str(type_).upper() == "INTEGER"
        columns[str(column)] = FoundColumn(
            str(type_),
            nullable=not notnull and not is_rowid,
            filled=default is not None or is_rowid,
            generated=hidden in (2, 3),
            merges=str(column) in loose,
        )
        if pk:
            key.append((int(pk), str(column)))
    found = [(names, not any(columns[n].nullable for n in names)) for _, names, _ in indexes]
    if key:  # that of a rowid has no index
        names = tuple(column for _, column in sorted(key))
        found.append((names, not any(columns[n].nullable for n in names)))
    return Found(kinds[0][0] == "table", columns, found)


def _unique(session: Session, name: str) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Unique indexes on whole columns: name, columns, and whether they compare bytes."""
    for _, index, unique, _, partial in session.query(
        "select * from pragma_index_list(?)", (name,)
    ):
        if not unique or partial:
            continue
        parts = session.query(
            "select name, coll from pragma_index_xinfo(?) where key = 1 order by seqno", (index,)
        )
        if all(column is not None for column, _ in parts):
            exact = all(str(coll).upper() == "BINARY" for _, coll in parts)
            yield str(index), tuple(str(column) for column, _ in parts), exact


def references(session: Session, tables: Sequence[TableName]) -> References:
    by_name = {plain(table).lower(): table for table in tables}
    keys = []
    for (child,) in session.query("select name from sqlite_master where type = 'table'"):
        for parent, on_update, on_delete in session.query(
            'select distinct "table", on_update, on_delete from pragma_foreign_key_list(?)',
            (child,),
        ):
            acts = any(str(one) not in ("NO ACTION", "RESTRICT") for one in (on_update, on_delete))
            keys.append(
                ForeignKey(
                    by_name.get(str(child).lower(), TableName("", str(child))),
                    by_name.get(str(parent).lower(), TableName("", str(parent))),
                    acts,
                )
            )
    return References.of(tables, keys)
