"""Transactions of a MySQL log, and what is refused of it."""

from __future__ import annotations

import random
import re
import struct
import uuid
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.mysql import events as ev
from cdc.mysql.gtidset import GtidSet, MysqlGtid, gtid_event, tagged_gtid_event
from cdc.mysql.payload import payload_events
from cdc.mysql.positions import FILE_BEGIN, FilePosition, MysqlPosition
from tailrace.errors import DecodeError, TailraceError
from tests.cdc.mysql.binlogs import charsets, decoded, split
from tests.cdc.mysql.test_mariadb_transactions import operations
from tests.localmysql import mysql_server
from tests.maria import Maria

mysql_only = pytest.mark.parametrize("maria", ["mysql"], indirect=True)
A, B = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


@mysql_only
def test_changes_in_order(maria: Maria) -> None:
    maria.execute(
        "create table a (id int primary key, v text)",
        "create table b (id int primary key, v text)",
        "begin",
        "insert into a values (1, 'one'), (2, 'two')",
        "update a set v = 'x' where id = 1",
        "savepoint s",
        "delete from a",
        "rollback to s",
        "insert into b values (1, 'b')",
        "commit",
        "begin",
        "insert into a values (9, 'never')",
        "rollback",
        "create table c (id int primary key) select id from a",
        "truncate table a",
        "create table n (id int primary key) engine = MyISAM",
        "insert into n values (1)",
        "insert into c values (5)",
    )
    (found,) = maria.changes()
    assert operations([found]) == [
        ("c", "a", ["1", "one"]),
        ("c", "a", ["2", "two"]),
        ("u", "a", ["1", "x"]),
        ("c", "b", ["1", "b"]),
        ("c", "c", ["1"]),
        ("c", "c", ["2"]),
        ("t", "a", [None, None]),
        ("c", "n", ["1"]),
        ("c", "c", ["5"]),
    ]
    assert found.complete
    assert found.transactions.num_rows == 5
    last = found.transactions.column("position")[-1].as_py()
    assert MysqlPosition(found.position).holds(_gtid(last))
    told = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=found.transactions.column("commit_us")[0].as_py()
    )
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=5)


def _gtid(text: str) -> MysqlGtid:
    source, _, number = text.rpartition(":")
    return MysqlGtid(source, int(number))


@mysql_only
def test_tagged_identities(maria: Maria) -> None:
    ((version,),) = maria.execute("select version()")
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < (8, 4):
        pytest.skip("tags came with MySQL 8.4")
    maria.execute(
        "create table t (id int primary key)",
        "set session gtid_next = 'AUTOMATIC:night_job'",
        "insert into t values (1)",
        "set session gtid_next = 'AUTOMATIC'",
        "insert into t values (2)",
    )
    ((server, executed),) = maria.execute("select @@server_uuid, @@global.gtid_executed")
    (found,) = maria.changes()
    named = found.transactions.column("position").to_pylist()
    assert named[0].startswith(f"{server}:night_job:")
    assert named[1].startswith(f"{server}:")
    theirs, ours = GtidSet(executed), GtidSet(found.position)
    assert not ours.without(theirs)
    assert theirs.holds(_gtid(named[0]))


@mysql_only
@pytest.mark.parametrize("rows", [3, 50_000])
def test_transactions_compressed_as_a_whole(rows: int, maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, v text)",
        "set session binlog_transaction_compression = on",
        f"insert into t select n, repeat('x', 100) from {maria.numbers(1, rows)}",
        "delete from t where id = 2",
    )
    log = maria.log()
    assert sum(ev.head(event).type == ev.TRANSACTION_PAYLOAD for event in split(log)) == 2
    found = decoded(
        log, charsets(maria.server), maria.name, position=MysqlPosition(), rows_max=1000
    )
    assert max(changes.rows for changes in found) < 2000
    done = operations(found)
    assert [(op, row[0]) for op, _, row in done] == [
        *(("c", str(n)) for n in range(1, rows + 1)),
        ("d", None),
    ]
    assert found[-1].complete


@mysql_only
def test_what_is_held_is_skipped(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key)",
        "insert into t values (1)",
        "insert into t values (2)",
    )
    log = maria.log()
    (found,) = decoded(log, charsets(maria.server), maria.name, position=MysqlPosition())
    first, second = found.transactions.column("position").to_pylist()
    (rest,) = decoded(log, charsets(maria.server), maria.name, position=MysqlPosition(first))
    assert [row for _, _, row in operations([rest])] == [["2"]]
    assert MysqlPosition(rest.position).holds(_gtid(second))
    assert (
        decoded(log, charsets(maria.server), maria.name, position=MysqlPosition(found.position))
        == []
    )


REFUSED = {
    "statement": (
        ["set session binlog_format = statement", "insert into t values (1, '{}')"],
        "binlog_format = ROW",
    ),
    "partial JSON": (
        [
            'insert into t values (1, \'{"a": "a long text that is kept", "b": 1}\')',
            "set session binlog_row_value_options = partial_json",
            "update t set v = json_set(v, '$.b', 2)",
        ],
        "binlog_row_value_options",
    ),
}


@mysql_only
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, maria: Maria) -> None:
    statements, fix = REFUSED[name]
    maria.execute("create table t (id int primary key, v json)", *statements)
    with pytest.raises(DecodeError) as raised:
        maria.changes()
    assert fix in (raised.value.fix or "")
    assert raised.value.where["position"]
    assert raised.value.where["gtid"]


def test_without_gtids_a_position_is_file_and_byte() -> None:
    with mysql_server({"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"}) as server:
        server.execute("create database d")
        server.execute(
            "create table t (id int primary key)",
            "insert into t values (1)",
            "insert into t values (2)",
            database="d",
        )
        ((name, byte, *_),) = server.execute("show binary log status")
        log = (server.data / name).read_bytes()
        chars = charsets(server)
        (found,) = decoded(log, chars, "d", position=FilePosition(":4"))
        assert found.position == f":{byte}"  # a file alone does not begin with its own name
        first, second = found.transactions.column("position").to_pylist()
        assert first != second
        with pytest.raises(DecodeError, match="without a GTID"):
            decoded(log, chars, "d", position=MysqlPosition())
        beyond_4_gib(name, log, chars)
        # Its transactions get GTIDs while a position goes on as one of a file.
        server.execute(
            "set global enforce_gtid_consistency = ON",
            *(f"set global gtid_mode = {mode}" for mode in ("OFF_PERMISSIVE", "ON_PERMISSIVE")),
            *("set global gtid_mode = ON", "flush binary logs"),
            "insert into d.t values (3)",
        )
        ((name, byte, *_),) = server.execute("show binary log status")
        log = (server.data / name).read_bytes()
        (found,) = decoded(log, chars, "d", position=FilePosition(":4"))
        assert (found.rows, found.position) == (1, f":{byte}")
        # What is told of a transaction, as beside an ALTER in the history, is where it stands.
        (named,) = found.transactions.column("position").to_pylist()
        assert FilePosition(found.position).includes(named)


def moved(event: memoryview, shift: int) -> bytes:
    """An event as it stands further behind in a file."""
    body = bytearray(event[: -ev.CHECKSUM_BYTES])
    (place,) = struct.unpack_from("<I", body, 13)
    struct.pack_into("<I", body, 13, (place + shift) % 2**32)
    return bytes(body) + struct.pack("<I", zlib.crc32(body))


def beyond_4_gib(name: str, log: bytes, chars: dict[int, str]) -> None:
    """Places are told in 32 bits. They begin anew inside of the second insert."""
    events = list(split(log))
    (*_, last) = (ev.head(event) for event in events if ev.head(event).type in ev.WRITE_ROWS)
    shift = 2**32 - last.next
    body = struct.pack("<Q", FILE_BEGIN + shift) + name.encode()
    rotate = ev.HEAD.pack(0, ev.ROTATE, 1, ev.HEAD.size + len(body), 0, 0) + body
    further = log[:4] + rotate + b"".join(moved(event, shift) for event in events)
    begin = FilePosition(f"{name}:{shift}")
    (found,) = decoded(further, chars, "d", position=begin)
    first, second = map(FilePosition, found.transactions.column("position").to_pylist())
    end = FilePosition(found.position)
    assert first.at < second.at < (name, 2**32) < end.at == (name, shift + len(log))
    assert (first.start, end.start) == (first.at, (name, FILE_BEGIN))
    # The file again, from its beginning, behind each of the two.
    assert decoded(further, chars, "d", position=end) == []
    (again,) = decoded(further, chars, "d", position=FilePosition(str(second)))
    assert (again.rows, again.position) == (1, found.position)


SETS = st.dictionaries(
    st.sampled_from([A, B, f"{A}:tag", f"{B}:other_tag"]),
    st.sets(st.integers(1, 40), min_size=1),
    max_size=4,
)


def _text(numbers: dict[str, set[int]]) -> str:
    return ",".join(f"{source}:{n}" for source, some in numbers.items() for n in sorted(some))


@given(one=SETS, other=SETS)
def test_sets_behave_as_sets(one: dict[str, set[int]], other: dict[str, set[int]]) -> None:
    left, right = GtidSet(_text(one)), GtidSet(_text(other))
    assert str(GtidSet(str(left))) == str(left)
    for source in (A, B, f"{A}:tag", f"{B}:other_tag"):
        for n in range(42):
            held = n in one.get(source, set())
            assert left.holds(MysqlGtid(source, n)) == held
            alone = held and n not in other.get(source, set())
            assert left.without(right).holds(MysqlGtid(source, n)) == alone
    grown = GtidSet()
    pairs = [(source, n) for source, some in one.items() for n in some]
    random.Random(1).shuffle(pairs)
    for source, n in pairs:
        grown.advance(MysqlGtid(source, n))
    assert str(grown) == str(left)


@mysql_only
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(one=SETS, other=SETS)
def test_sets_are_read_as_the_server_does(
    maria: Maria, one: dict[str, set[int]], other: dict[str, set[int]]
) -> None:
    left, right = GtidSet(_text(one)), GtidSet(_text(other))
    ((theirs,),) = maria.execute(f"select gtid_subtract('{left}', '{right}')")
    assert str(GtidSet(theirs)) == str(left.without(right))


@pytest.mark.parametrize("text", ["x", "binlog.000001:4", f"{A}:x-y:1-"])
def test_texts_that_are_no_sets(text: str) -> None:
    with pytest.raises(ValueError, match=r"badly formed|not a"):
        GtidSet(text)


# By the public description of the event (see `cdc.mysql.gtidset`): one without commit times, as
# older servers write it.
PLAIN = bytes([0]) + uuid.UUID(A).bytes + struct.pack("<q", 77)
CLOCK = bytes([2]) + struct.pack("<qq", 5, 6)


def test_gtid_events_by_the_description() -> None:
    assert gtid_event(memoryview(PLAIN)) == (MysqlGtid(A, 77), 0)
    at = 1_700_000_000_000_001
    timed = PLAIN + CLOCK + at.to_bytes(7, "little")
    assert gtid_event(memoryview(timed)) == (MysqlGtid(A, 77), at)
    twice = PLAIN + CLOCK + (at + 5 | 1 << 55).to_bytes(7, "little") + at.to_bytes(7, "little")
    assert gtid_event(memoryview(twice)) == (MysqlGtid(A, 77), at)


@given(st.binary(max_size=120))
def test_garbage_raises_only_our_errors(raw: bytes) -> None:
    for read in (gtid_event, tagged_gtid_event, lambda body: list(payload_events(body))):
        with suppress(TailraceError):
            read(memoryview(raw))


def _payload(data: bytes, compression: int, size: int) -> bytes:
    def field(kind: int, value: int) -> bytes:
        return bytes([kind, 9, 254]) + struct.pack("<Q", value)

    return field(1, len(data)) + field(2, compression) + field(3, size) + b"\0" + data


def _event(kind: int, body: bytes) -> bytes:
    return ev.HEAD.pack(0, kind, 1, ev.HEAD.size + len(body), 0, 0) + body


def test_payloads_by_the_description() -> None:
    events = [_event(ev.QUERY, b"x" * 100), _event(ev.XID, b"12345678")]
    whole = b"".join(events)
    packed = pa.compress(whole, "zstd", asbytes=True)
    for compression, data in ((0, packed), (255, whole)):
        body = memoryview(_payload(data, compression, len(whole)))
        assert [bytes(event) for event in payload_events(body)] == events
    for compression, data, size, what in (
        (7, packed, len(whole), "unknown compression"),
        (0, packed[:-9], len(whole), "damaged|ends inside"),
        (0, packed, len(whole) + 19, "ends inside"),
        (0, b"nonsense", 100, "damaged"),
    ):
        with pytest.raises(DecodeError, match=what):
            list(payload_events(memoryview(_payload(data, compression, size))))
