"""Columns of which MariaDB's log says too little, also where it names them. Pure.

What it shows as BINARY(16) or BINARY(4) may be a UUID, INET4 or INET6, and behind the last column
stand those by which the server keeps a UNIQUE index on a whole TEXT. The history of the table's
columns tells.
"""

from __future__ import annotations

import re
from dataclasses import replace

from cdc.mysql import tablemap as tm
from cdc.mysql.history import Version
from cdc.mysql.layout import may_be_more
from cdc.mysql.tablemap import TableMap
from cdc.protocol import START_OVER
from cdc.schema import TableName
from tailrace.errors import ContinuityError


def told(shape: TableMap, version: Version | None) -> TableMap:
    """What a log with names shows, with the types that its columns have by the history.

    Errors: ContinuityError where that does not know one.
    """
    if not any(map(may_be_more, shape.columns)):
        return shape
    known = version.shape.map.columns if version and version.shape else ()
    of = {one.name.lower(): one for one in known}
    columns = []
    for column in shape.columns:
        if may_be_more(column):
            one = of.get(column.name.lower())
            size = None if one is None else tm.LOOKALIKES.get(one.type, one.size)
            if one is None or size != column.size:
                raise _unknown(shape.table, column.name, version)
            column = replace(column, type=one.type)
        columns.append(column)
    return replace(shape, columns=tuple(columns))


_HASH = re.compile(r"DB_ROW_HASH_\d+")


def may_hide(shape: TableMap) -> bool:
    """Whether the last column that the log shows may be none of the table's."""
    return _HASH.fullmatch(shape.columns[-1].name) is not None


def without_hidden(shape: TableMap, known: TableMap | None) -> TableMap:
    """The same, knowing how many of its columns are the server's own."""
    names = {one.name for one in known.columns} if known else set()
    hidden = 0
    for column in reversed(shape.columns):
        if column.name in names or not _HASH.fullmatch(column.name):
            break
        hidden += 1
    return replace(shape, hidden=hidden)


def _unknown(table: TableName, column: str, version: Version | None) -> ContinuityError:
    where: dict[str, object] = {"table": str(table), "column": column}
    if version and version.statement:
        where["statement"] = version.statement
    return ContinuityError(
        f"the log does not tell whether column {column} of {table} is a UUID, an INET4 or INET6, or"
        " BINARY, and our history of its columns does not know it",
        where=where,
        fix=START_OVER,
    )
