"""The commands by which a replica asks for a log.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication.html

    REGISTER_SLAVE   server:u32 (size:u8 text)*3 port:u16 rank:u32 source:u32
    BINLOG_DUMP      position:u32 flags:u16 server:u32 file
    BINLOG_DUMP_GTID flags:u16 server:u32 size:u32 file position:u64 size:u32 encoded set
"""

from __future__ import annotations

import struct
from typing import Any

from pymysql.constants import COMMAND

from cdc.mysql.gtidset import GtidSet
from cdc.mysql.positions import FILE_BEGIN
from cdc.mysql.session import Connection

HEARTBEAT_S = 5
_THROUGH_GTID = 4
_ANNOTATED = 2


def register(connection: Connection, server_id: int) -> None:
    name = b"tailrace"
    body = struct.pack("<I", server_id) + bytes([len(name)]) + name + b"\0\0"
    _send(connection, COMMAND.COM_REGISTER_SLAVE, body + struct.pack("<HII", 0, 0, 0))
    connection._read_packet()  # type: ignore[no-untyped-call]


def dump(
    connection: Connection,
    server_id: int,
    file: str = "",
    position: int = FILE_BEGIN,
    *,
    statements: bool = False,
) -> None:
    """`statements`: from a MariaDB, also those that changed rows."""
    body = struct.pack("<IHI", position, _ANNOTATED * statements, server_id) + file.encode()
    _send(connection, COMMAND.COM_BINLOG_DUMP, body)


def dump_gtid(connection: Connection, server_id: int, known: GtidSet) -> None:
    """Everything that is not in `known`."""
    body = struct.pack("<HIIQ", _THROUGH_GTID, server_id, 0, FILE_BEGIN)
    encoded = known.encoded()
    body += struct.pack("<I", len(encoded)) + encoded
    _send(connection, COMMAND.COM_BINLOG_DUMP_GTID, body)


def _send(connection: Connection, command: int, body: bytes) -> None:
    inside: Any = connection
    inside._execute_command(command, body)
