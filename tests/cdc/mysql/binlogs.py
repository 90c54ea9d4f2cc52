"""A server's own binary logs, event by event."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pymysql

from cdc.changes import ChangeSet
from cdc.mysql import events as ev
from cdc.mysql.catalog import read_charsets
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.positions import Position, Reached
from cdc.mysql.tablemap import TableMap
from cdc.schema import TableName
from tailrace.service.localmaria import LocalMariadb
from tests.line import wait_until


def charsets(server: LocalMariadb) -> dict[int, str]:
    with closing(server.connect()) as connection:
        return read_charsets(connection)


def split(data: bytes) -> Iterator[memoryview]:
    """Events of a log file."""
    at = 4  # the file's magic number
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 9)
        yield memoryview(data)[at : at + size]
        at += size


def newest(server: LocalMariadb) -> bytes:
    """The log written since the last call; begins a new file."""
    words = "binary log" if server.product == "MySQL" else "master"
    (name, *_) = server.execute(f"show {words} status")[0]
    server.execute("flush binary logs")
    found: Path = server.data / name
    return found.read_bytes()


def purge(server: LocalMariadb, name: str) -> None:
    """Have no log before `name`. A server keeps what is read, and may not have noticed yet that
    the reader of a test before has gone."""

    def is_first() -> bool:
        reading = "select id from information_schema.processlist where command like 'Binlog Dump%'"
        for (number,) in server.execute(reading):
            with suppress(pymysql.Error):  # it has gone by now
                server.execute(f"kill {number}")
        server.execute(f"purge binary logs to '{name}'")
        first: str = server.execute("show binary logs")[0][0]
        return first == name

    wait_until(is_first, "the older logs to go")


def decoded(
    data: bytes,
    charset_of: Mapping[int, str],
    schema: str,
    *,
    position: Reached | None = None,
    rows_max: int = 32_768,
    chronicle: Chronicle | None = None,
    shape_of: Callable[[TableName], TableMap | None] = lambda _: None,
    left_out: bool = False,
) -> list[ChangeSet]:
    decoder = BinlogDecoder(
        lambda table: table.schema == schema,
        charset_of,
        position=position,
        rows_max=rows_max,
        chronicle=chronicle,
        shape_of=shape_of,
        left_out=left_out,
    )
    found = []
    for packet in split(data):
        found += decoder.sets(packet)
    if taken := decoder.take():
        found.append(taken)
    return found


def without_checksum(event: memoryview) -> bytes:
    """The event as a server without checksums writes it."""
    body = bytearray(ev.checked(event))
    struct.pack_into("<I", body, 9, len(body))
    return bytes(body)


def sent(events: Iterable[memoryview], position: str) -> Iterator[memoryview]:
    """What of a MariaDB's log the server sends to a reader with this position."""
    start, held = Position(Position(position).start), False
    for event in events:
        head = ev.head(event)
        if head.type == ev.GTID:
            gtid, _ = ev.mariadb_gtid(event[ev.HEAD.size :], head.server)
            held = start.holds(gtid)
        if not held:
            yield event
