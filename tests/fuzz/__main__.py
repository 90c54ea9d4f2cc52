"""``make fuzz``: the decoder of binary logs on damaged logs of real servers, for FUZZ_SECONDS.

Events are cut, repeated, exchanged and changed behind heads that fit, so that the damage is read
and not noticed by a checksum. Whatever comes of it must be a change set or an error of ours, and
memory must stay bounded. Prints a line of what happened; exit code 1 where anything else did.
"""

from __future__ import annotations

import collections
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

from cdc.mysql import events as ev
from cdc.mysql.alteration import Shape
from cdc.mysql.catalog import CatalogTable, read_charsets, read_collations, read_tables
from cdc.mysql.chronicle import Chronicle
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.history import History
from cdc.mysql.positions import MysqlPosition, Position, Reached
from cdc.patterns import Patterns
from tailrace.errors import TailraceError
from tailrace.service.localmaria import LocalMariadb, binary
from tests.cdc.mysql.binlogs import split, without_checksum
from tests.localmysql import BINARY, LocalMysql

SECONDS = float(os.environ.get("FUZZ_SECONDS", "60"))
GROWTH_MAX_MB = 400
"""Over what reading the undamaged logs takes; an event may claim to hold much more."""
COLUMNS = (
    "id int unsigned auto_increment primary key, d decimal(20,5), t time(3), s varchar(99),"
    " l varchar(9) character set latin1, e enum('a','b'), z set('a','b'), b blob, dt datetime(6),"
    " ts timestamp null, x bit(9), u varchar(9) character set ucs2, f float, g double, y year,"
    " a date, j json, n binary(4), big bigint unsigned, geo geometry"
)
ROW = (
    "(%d, -1.5, '-01:02:03.4', 'text', 'ä', 'b', 'a,b', 'blob', now(6), now(), 5, 'ab', 1.5, 2.5,"
    " 2024, '2024-01-01', '{\"a\": [1, 2.5, \"x\", {\"b\": null}]}', 'x', 18446744073709551615,"
    " st_geomfromtext('POINT(1 2)', 4326))"
)
MAKE = f"create table fuzz.t ({COLUMNS})"
WORK = (
    "insert into fuzz.t values " + ", ".join(ROW % n for n in range(1, 20)),
    "update fuzz.t set s = 'other', id = id + 100 where id % 2",
    "xa start 'x', 'y', 7",
    "delete from fuzz.t where id % 3 = 0",
    "xa end 'x', 'y', 7",
    "xa prepare 'x', 'y', 7",
    "xa commit 'x', 'y', 7",
    "alter table fuzz.t add column late int",
    "insert into fuzz.t values " + ROW[:-1] % 999 + ", 1)",
    "begin",
    "delete from fuzz.t where id = 999",
    "insert into fuzz.t (s) values ('left out')",
    "replace into fuzz.t (id, d) values (5, 1)",
    "savepoint s",
    "update fuzz.t set late = 5",
    "rollback to s",
    "commit",
    "truncate table fuzz.t",
)
SESSIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "MariaDB": (
        (),
        ("set global log_bin_compress = on", "set global log_bin_compress_min_len = 10"),
        ("set binlog_row_image = minimal",),
        ("set global binlog_row_metadata = no_log",),
    ),
    "MySQL": (
        (),
        ("set binlog_transaction_compression = on",),
        ("set binlog_row_image = minimal", "set gtid_next = 'AUTOMATIC:tag'"),
    ),
}


class Log:
    """The events of one session, without checksums."""

    def __init__(self, server: LocalMariadb, session: tuple[str, ...]) -> None:
        self.is_mysql = server.product == "MySQL"
        words = "binary log" if self.is_mysql else "master"
        server.execute("flush binary logs")
        ((name, *_),) = server.execute(f"show {words} status")
        tagged = [text for text in session if "gtid_next" in text]
        server.execute("create database fuzz", MAKE)
        with closing(server.connect()) as connection:
            self.collations = read_collations(connection)
            self.begun = [Shape(table.map, table.charset) for table in _tables(connection)]
        server.execute(*session, *WORK)
        with closing(server.connect()) as connection:
            self.shapes = {table.name: table.map for table in _tables(connection)}
        server.execute("drop database fuzz", "flush binary logs")
        with closing(server.connect()) as connection:
            self.charsets = read_charsets(connection)
        data: bytes = (server.data / name).read_bytes()
        first, *rest = split(data)
        # It says that the others have checksums, in the byte before its own.
        self.first = bytes(first[:-5]) + b"\0" + bytes(first[-4:])
        self.events = [without_checksum(event) for event in rest]
        assert not tagged or any(event[4] == ev.TAGGED_GTID for event in self.events)

    def decoder(self) -> BinlogDecoder:
        position: Reached = MysqlPosition() if self.is_mysql else Position()
        decoder = BinlogDecoder(
            lambda table: table.name == "t",
            self.charsets,
            position=position,
            shape_of=self.shapes.get,
            chronicle=Chronicle(History.begun(self.begun, ""), self.collations),
        )
        decoder.feed(memoryview(self.first))
        return decoder


def _tables(connection: Any) -> list[CatalogTable]:
    found, refused = read_tables(connection, Patterns.parse(["fuzz.*"]), read_charsets(connection))
    assert not refused
    return found


def logs(directory: Path) -> list[Log]:
    found = []
    for kind, start in (("MariaDB", LocalMariadb.start), ("MySQL", LocalMysql.start)):
        if (kind == "MariaDB" and binary() is None) or (kind == "MySQL" and not BINARY.exists()):
            print(f"no {kind} on this machine")
            continue
        with start(directory / kind) as server:
            found += [Log(server, session) for session in SESSIONS[kind]]
    return found


def damaged(events: list[bytes], chance: random.Random) -> list[bytes]:
    """Some events changed, left out, repeated or exchanged; each head says its true length."""
    found = list(events)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(len(found))
        how = chance.randrange(8)
        if how == 0:
            del found[at]
        elif how == 1:
            found.insert(chance.randrange(len(found)), found[at])
        elif how == 2:
            other = chance.randrange(len(found))
            found[at], found[other] = found[other], found[at]
        else:
            found[at] = _changed(found[at], chance)
        if not found:
            break
    return found


def _changed(event: bytes, chance: random.Random) -> bytes:
    body = bytearray(event[ev.HEAD.size :])
    for _ in range(chance.choice([1, 1, 1, 3, 9])):
        if not body:
            break
        at = chance.randrange(len(body))
        how = chance.randrange(6)
        if how == 0:
            body[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            body[at] = chance.choice([0, 1, 127, 128, 250, 251, 252, 253, 254, 255])
        elif how == 2:
            del body[at:]
        elif how == 3:
            body[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif how == 4:
            end = min(len(body), at + chance.choice([2, 4, 8]))
            body[at:end] = b"\xff" * (end - at)
        else:
            del body[at : at + chance.randrange(1, 5)]
    head = bytearray(event[: ev.HEAD.size])
    if chance.random() < 0.05:
        head[4] = chance.randrange(256)
    struct.pack_into("<I", head, 9, len(head) + len(body))
    return bytes(head + body)


def feed(decoder: BinlogDecoder, events: list[bytes]) -> int:
    rows = 0
    for packet in events:
        for event in decoder.opened(memoryview(packet)):
            decoder.feed(event)
            if decoder.full and (taken := decoder.take()):
                rows += taken.rows
    taken = decoder.take()
    return rows + (taken.rows if taken else 0)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tailrace-fuzz-") as scratch:
        os.chmod(scratch, 0o755)
        known = logs(Path(scratch))
    for log in known:
        assert feed(log.decoder(), log.events) > 20, "the undamaged log is not read"
    before = _peak_mb()
    seed = int(os.environ.get("FUZZ_SEED", str(time.time_ns() % 10**9)))
    chance = random.Random(seed)
    outcomes: collections.Counter[str] = collections.Counter()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        log = chance.choice(known)
        events = damaged(log.events, chance)
        try:
            feed(log.decoder(), events)
            outcomes["read"] += 1
        except TailraceError as error:
            outcomes[type(error).__name__ if error.what else "OTHER"] += 1
        except Exception:
            traceback.print_exc()
            outcomes["OTHER"] += 1
    grown = _peak_mb() - before
    told = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    print(
        f"fuzz: seed {seed}, {sum(outcomes.values())} damaged logs: {told};"
        f" memory grew by {grown:.0f} MB"
    )
    return 1 if outcomes["OTHER"] or grown > GROWTH_MAX_MB else 0


if __name__ == "__main__":
    sys.exit(main())
