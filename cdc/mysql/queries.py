"""QUERY events: a statement, and what of its session decides how it reads. Pure.

    thread:u32 seconds:u32 schema size:u8 error:u16 status size:u16
    status (kind:u8 value)*  schema 0  statement
https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Query__event.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cdc.mysql import charsets
from cdc.mysql.events import Reader, uncompressed

_FLAGS, _SQL_MODE, _CATALOG, _AUTO_INCREMENT, _CHARSET, _TIME_ZONE, _CATALOG_NZ = range(7)


@dataclass(frozen=True, slots=True)
class Query:
    """`flags`, `sql_mode`: bits as in `definitions` and `sqltext`."""

    database: str
    statement: str
    flags: int = 0
    sql_mode: int = 0


def query(
    body: memoryview, *, compressed: bool = False, charset_of: Mapping[int, str] | None = None
) -> Query:
    """Errors: DecodeError. A byte that is no text is the replacement character afterwards."""
    reader = Reader(body)
    reader.take(8)
    size = reader.number(1)
    reader.take(2)
    flags, sql_mode, client = _status(Reader(reader.take(reader.number(2))))
    database = reader.take(size).decode("utf-8", "replace")
    reader.take(1)
    raw = reader.rest()
    if compressed:
        raw = uncompressed(raw)
    charset = (charset_of or {}).get(client, "utf8mb4")
    codec = charsets.SINGLE_BYTE.get(charset) or charsets.MULTI_BYTE.get(charset) or "utf-8"
    return Query(database, raw.decode(codec, "replace"), flags, sql_mode)


def _status(reader: Reader) -> tuple[int, int, int]:
    """(flags, sql_mode, number of the client's collation, 0 where it is not said).

    They stand at the beginning, in the order of their kinds; what follows is not needed.
    """
    flags = sql_mode = client = 0
    while reader.left:
        kind = reader.number(1)
        if kind == _FLAGS:
            flags = reader.number(4)
        elif kind == _SQL_MODE:
            sql_mode = reader.number(8)
        elif kind == _CATALOG:
            reader.take(reader.number(1) + 1)
        elif kind == _AUTO_INCREMENT:
            reader.take(4)
        elif kind == _CHARSET:
            client = reader.number(2)
            break
        elif kind in (_TIME_ZONE, _CATALOG_NZ):
            reader.take(reader.number(1))
        else:
            break
    return flags, sql_mode, client
