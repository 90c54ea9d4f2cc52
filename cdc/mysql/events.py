"""Events of a binary log: their heads, and the bodies that hold no rows. Pure: bytes in.

Formats: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html
and https://mariadb.com/kb/en/replication-protocol/. All numbers are little-endian.

    event    time:u32 type:u8 server:u32 size:u32 next:u32 flags:u16  body  [crc32:u32]
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from tailrace.errors import DecodeError

HEAD = struct.Struct("<IBIIIH")
CHECKSUM_BYTES = 4

QUERY, STOP, ROTATE, INTVAR, RAND, USER_VAR = 2, 3, 4, 5, 13, 14
FORMAT_DESCRIPTION, XID, TABLE_MAP = 15, 16, 19
INCIDENT, HEARTBEAT, XA_PREPARE = 26, 27, 38
WRITE_ROWS = (23, 30)
UPDATE_ROWS = (24, 31)
DELETE_ROWS = (25, 32)
IGNORABLE_EVENT, ROWS_QUERY, MYSQL_GTID, ANONYMOUS_GTID, PREVIOUS_GTIDS = 28, 29, 33, 34, 35
TRANSACTION_CONTEXT, VIEW_CHANGE, PARTIAL_UPDATE_ROWS, TRANSACTION_PAYLOAD = 36, 37, 39, 40
HEARTBEAT_V2, TAGGED_GTID = 41, 42
ANNOTATE_ROWS, BINLOG_CHECKPOINT, GTID, GTID_LIST, START_ENCRYPTION = 160, 161, 162, 163, 164
QUERY_COMPRESSED = 165
COMPRESSED_ROWS = {166: 23, 167: 24, 168: 25, 169: 30, 170: 31, 171: 32}
"""MariaDB's compressed rows events, and the event that each is once uncompressed."""

IGNORABLE = 0x80
"""Head flag: an event that a reader who does not know it may pass over."""
STATEMENT_END = 1
"""Flag of a rows event, in the first of its two bytes for them."""
UNCOMPRESSED_MAX = 1 << 30


@dataclass(frozen=True, slots=True)
class Head:
    """`next`: position of the following event in its file, 0 for one that is in no file."""

    time_s: int
    type: int
    server: int
    size: int
    next: int
    flags: int


@dataclass(frozen=True, slots=True)
class Format:
    """What FORMAT_DESCRIPTION says of the events after it."""

    server_version: str
    checksums: bool


@dataclass(frozen=True, slots=True, order=True)
class Gtid:
    """A MariaDB transaction's identity."""

    domain: int
    server: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server}-{self.sequence}"

    @classmethod
    def parse(cls, text: str) -> Gtid:
        """Errors: ValueError."""
        domain, server, sequence = text.split("-")
        return cls(int(domain), int(server), int(sequence))


GTID_STANDALONE, GTID_TRANSACTIONAL, GTID_PREPARED_XA, GTID_COMPLETED_XA = 1, 4, 64, 128


def head(event: bytes | memoryview) -> Head:
    """Errors: DecodeError."""
    if len(event) < HEAD.size:
        raise DecodeError("an event shorter than its head")
    found = Head(*HEAD.unpack_from(event))
    if found.size != len(event):
        raise DecodeError(f"an event of {len(event)} bytes says that it has {found.size}")
    return found


def unwrapped(told: int, before: int) -> int:
    """The place in a file that a head tells in 32 bits, behind an event at `before`; 0 tells none.

    A transaction is in one file, so that one of several GiB goes on beyond what they hold.
    """
    if not told:
        return before
    found = before >> 32 << 32 | told
    return found + (1 << 32) if before - found > 1 << 31 else found


def checked(event: memoryview) -> memoryview:
    """The event without its checksum. Errors: DecodeError where that is wrong."""
    if len(event) < HEAD.size + CHECKSUM_BYTES:
        raise DecodeError("an event shorter than its checksum")
    body, (told,) = event[:-CHECKSUM_BYTES], struct.unpack("<I", event[-CHECKSUM_BYTES:])
    if zlib.crc32(body) != told:
        raise DecodeError("an event does not match its checksum: the log is damaged")
    return body


class Reader:
    """Takes fields off the beginning of a body. Errors: DecodeError where it is too short."""

    def __init__(self, body: bytes | memoryview) -> None:
        self._body = memoryview(body)
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise DecodeError("an event ends inside a field")
        self.at += size
        return bytes(self._body[self.at - size : self.at])

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def packed(self) -> int:
        """A length-encoded integer."""
        first = self.number(1)
        if first < 251:
            return first
        if first in (252, 253, 254):
            return self.number({252: 2, 253: 3, 254: 8}[first])
        raise DecodeError("a length that is none")

    def text(self) -> str:
        """A length-encoded string of UTF-8."""
        return self.take(self.packed()).decode("utf-8", "replace")

    def rest(self) -> bytes:
        return self.take(self.left)


def format_description(body: memoryview) -> Format:
    """The last byte says the algorithm of the checksums, then follow the four of its own.

    Its own checksum is there whatever the algorithm is (servers from MariaDB 5.3, MySQL 5.6 on).
    """
    reader = Reader(body)
    if reader.number(2) != 4:
        raise DecodeError("a binary log of another version than 4")
    version = reader.take(50).rstrip(b"\0").decode("ascii", "replace")
    algorithm = body[-1 - CHECKSUM_BYTES]
    if algorithm > 1:
        raise DecodeError(f"unknown checksum algorithm {algorithm}")
    return Format(version, algorithm == 1)


def rotate(body: memoryview) -> tuple[str, int]:
    """(file, position) where the log goes on."""
    reader = Reader(body)
    position = reader.number(8)
    return reader.rest().decode("utf-8", "replace"), position


def mariadb_gtid(body: memoryview, server: int) -> tuple[Gtid, int]:
    """(identity, flags GTID_*)."""
    reader = Reader(body)
    sequence, domain, flags = reader.number(8), reader.number(4), reader.number(1)
    return Gtid(domain, server, sequence), flags


START_ALTER, COMMIT_ALTER, ROLLBACK_ALTER = 2, 4, 8
_GROUP_COMMIT_ID = 2


def alter_phase(body: memoryview) -> int:
    """Where an ALTER is logged as its start and its end (binlog_alter_two_phase): which this is."""
    at = 13 + 8 * bool(body[12] & _GROUP_COMMIT_ID)
    return body[at] & (START_ALTER | COMMIT_ALTER | ROLLBACK_ALTER) if at < len(body) else 0


def uncompressed(data: bytes) -> bytes:
    """What MariaDB's log_bin_compress packed: 1 | algorithm:3 | length of the length:4, length
    (big-endian), zlib."""
    if not data or not data[0] & 0x80:
        raise DecodeError("a compressed event without its head")
    if data[0] >> 4 & 7:
        raise DecodeError(f"unknown compression {data[0] >> 4 & 7}")
    size = data[0] & 7
    length = int.from_bytes(data[1 : 1 + size], "big")
    if length > UNCOMPRESSED_MAX:
        raise DecodeError("a compressed event beyond 1 GiB")
    try:
        engine = zlib.decompressobj()
        found = engine.decompress(data[1 + size :], length + 1)
    except zlib.error:
        raise DecodeError("a compressed event is damaged") from None
    if len(found) != length:
        raise DecodeError("a compressed event of another length than it says")
    return found
