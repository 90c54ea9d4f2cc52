"""XA transactions of a MariaDB source: held from XA PREPARE on, there in the place of XA COMMIT."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import pytest

from cdc.changes import ChangeSet
from cdc.mysql import events as ev
from cdc.mysql import quiet, xa
from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.events import Gtid
from cdc.mysql.positions import FilePosition, MysqlPosition, Position, Reached, is_file_position
from cdc.mysql.preflight import inspect
from cdc.mysql.session import connect
from cdc.mysql.source import BinlogDatabase
from tailrace.errors import (
    ContinuityError,
    DecodeError,
    JournalFull,
    PreflightError,
    SourceUnavailable,
)
from tailrace.service.localmaria import LocalMariadb
from tests.cdc.mysql.binlogs import charsets, purge, sent, split
from tests.cdc.mysql.test_mariadb_source import Reader, State, reader, snapshot, until
from tests.cdc.mysql.test_mariadb_transactions import operations
from tests.localmysql import mysql_server
from tests.maria import Maria, both

__all__ = ["reader"]


def prepare(maria: Maria, xid: str, *statements: str, domain: int = 0) -> None:
    """In a session of its own, which then ends; the transaction outlives it."""
    maria.execute(
        *([f"set session gtid_domain_id = {domain}"] if domain else []),
        f"xa start '{xid}'",
        *statements,
        f"xa end '{xid}'",
        f"xa prepare '{xid}'",
    )


def end(maria: Maria, how: str, *xids: str) -> None:
    """XA COMMIT or XA ROLLBACK; a session that prepared one may still be letting go of it."""
    for xid in xids:
        for _ in range(200):
            prepared = [row[3] for row in maria.execute("xa recover")]
            if xid.encode() in prepared or xid in prepared:
                break
        maria.execute(f"xa {how} '{xid}'")


@pytest.fixture
def table(maria: Maria) -> Iterator[Maria]:
    maria.execute("create table t (id int primary key, v varchar(40))")
    maria.log()
    yield maria
    for _, gtrid, _, data in maria.execute("xa recover"):
        xid = data[:gtrid].decode() if isinstance(data, bytes) else data[:gtrid]
        maria.execute(f"xa rollback '{xid}'")


def ids(found: list[ChangeSet]) -> list[str | None]:
    return [row[0] for _, _, row in operations(found)]


@both
def test_rows_come_in_the_place_of_the_commit(table: Maria) -> None:
    prepare(
        table, "one", "insert into t values (1, 'a'), (2, 'b')", "update t set v = 'c' where id = 2"
    )
    table.execute("insert into t values (10, 'between')")
    prepare(table, "two", "insert into t values (3, 'd')")
    prepare(table, "gone", "insert into t values (4, 'e')", "delete from t where id = 10")
    end(table, "commit", "two")
    end(table, "rollback", "gone")
    end(table, "commit", "one")
    table.execute("insert into t values (11, 'after')")
    (found,) = table.changes()
    assert operations([found]) == [
        ("c", "t", ["10", "between"]),
        ("c", "t", ["3", "d"]),
        ("c", "t", ["1", "a"]),
        ("c", "t", ["2", "b"]),
        ("u", "t", ["2", "c"]),
        ("c", "t", ["11", "after"]),
    ]
    assert found.transactions.num_rows == 4
    assert found.complete
    assert "xa" not in found.position


@both
def test_one_phase_and_savepoints(table: Maria) -> None:
    table.execute(
        *("xa start 'x'", "insert into t values (1, 'a')", "xa end 'x'"),
        "xa commit 'x' one phase",
    )
    prepare(
        table,
        "y",
        "insert into t values (2, 'b')",
        "savepoint s",
        "insert into t values (3, 'gone')",
        "rollback to s",
        "insert into t values (4, 'd')",
    )
    end(table, "commit", "y")
    table.execute(
        *("xa start 'e'", "select * from t", "xa end 'e'", "xa prepare 'e'", "xa commit 'e'")
    )
    (found,) = table.changes()
    assert ids([found]) == ["1", "2", "4"]


@both
def test_what_is_prepared_holds_the_position_back(table: Maria) -> None:
    """Read again from any position of the log, what was not complete then comes once."""
    table.execute("insert into t values (1, 'a')")
    prepare(table, "one", "insert into t values (2, 'b')")
    table.execute("insert into t values (3, 'c')")
    other = 7 if table.kind == "mariadb" else 0
    prepare(table, "two", "insert into t values (4, 'd')", domain=other)
    end(table, "commit", "one")
    table.execute("insert into t values (5, 'e')")
    end(table, "commit", "two")
    table.execute("insert into t values (6, 'f')")
    events = list(split(table.log()))
    numbers = charsets(table.server)

    def captured(name: object) -> bool:
        return str(name).startswith(f"{table.name}.")

    kinds: list[Callable[[str], Reached]] = [Position]
    if table.kind == "mysql":
        kinds = [MysqlPosition, FilePosition]
    for kind in kinds:
        resumed_anywhere(events, captured, numbers, kind)


def resumed_anywhere(
    events: list[memoryview],
    captured: Callable[[object], bool],
    numbers: dict[int, str],
    kind: Callable[[str], Reached],
) -> None:
    begin = ":4" if kind is FilePosition else ""
    first = BinlogDecoder(captured, numbers, position=kind(begin))
    whole: list[ChangeSet] = []
    resumed: dict[str, list[str | None]] = {}
    for event in events:
        whole += first.sets(event)
        if first.complete and (taken := first.take()):
            whole.append(taken)
        resumed.setdefault(first.position, ids(whole))
    assert ids(whole) == ["1", "3", "2", "5", "4", "6"]
    assert len(resumed) == (10 if kind is FilePosition else 9)  # a file's end is a place, too
    for position, before in resumed.items():
        again = BinlogDecoder(captured, numbers, position=kind(position))
        coming: Iterable[memoryview] = events
        if kind is Position:
            coming = sent(events, position)
        elif kind is FilePosition:  # as a server's log does, behind the description of its format
            _, byte = FilePosition(position).start
            coming = events[:1] + [one for one in events if ev.head(one).next > byte]
        rest = [found for event in coming for found in again.sets(event)]
        rest += filter(None, [again.take()])
        assert before + ids(rest) == ids(whole), position
        assert again.position == first.position


@both
def test_a_large_one_comes_in_parts_and_waits_in_a_file(table: Maria) -> None:
    prepare(table, "x", f"insert into t select n, repeat('x', 40) from {table.numbers(1, 20000)}")
    table.execute("insert into t values (0, 'between')")
    end(table, "commit", "x")
    found = table.changes(rows_max=1000)
    assert ids(found) == ["0", *(str(n) for n in range(1, 20_001))]
    assert len(found) > 10
    assert all(0 < changes.rows < 3000 for changes in found)
    assert [changes.complete for changes in found] == [False] * (len(found) - 1) + [True]
    assert [changes.part for changes in found] == list(range(len(found)))


def test_no_room_for_what_is_prepared(table: Maria, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(table, "x", "insert into t select seq, repeat('x', 40) from seq_1_to_20000")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(JournalFull, match="prepared XA transaction") as raised:
        table.changes()
    assert raised.value.fix
    assert "/nowhere" in str(raised.value)


def test_too_many_at_once(table: Maria, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xa, "PREPARED_MAX", 2)
    for n in range(3):
        prepare(table, f"x{n}", f"insert into t values ({n}, 'a')")
    with pytest.raises(DecodeError, match="more than 2 XA transactions"):
        table.changes()


def test_compressed_rows_in_it(table: Maria) -> None:
    try:
        table.execute("set global log_bin_compress = on, global log_bin_compress_min_len = 10")
        prepare(table, "x", "insert into t values (1, repeat('x', 40)), (2, repeat('y', 40))")
        end(table, "commit", "x")
    finally:
        table.execute("set global log_bin_compress = off")
    assert ids(table.changes()) == ["1", "2"]


@both
def test_a_commit_whose_rows_are_unknown_is_refused(table: Maria) -> None:
    prepare(table, "x", "insert into t values (1, 'a')")
    table.log()
    end(table, "commit", "x")
    with pytest.raises(ContinuityError, match="not in the log behind our position") as raised:
        table.changes()
    assert raised.value.where["xid"] == "X'78',X'',1"
    assert raised.value.fix


@both
def test_a_rollback_of_one_that_is_unknown_is_nothing(table: Maria) -> None:
    prepare(table, "x", "insert into t values (1, 'a')")
    table.log()
    end(table, "rollback", "x")
    table.execute("insert into t values (2, 'b')")
    assert ids(table.changes()) == ["2"]


def test_a_log_that_lacks_what_is_awaited_is_refused(table: Maria) -> None:
    prepare(table, "x", "insert into t values (1, 'a')")
    decoder = BinlogDecoder(lambda _: True, charsets(table.server))
    for event in split(table.log()):
        decoder.feed(event)
    table.execute("insert into t values (2, 'b')")
    again = BinlogDecoder(
        lambda _: True, charsets(table.server), position=Position(decoder.position)
    )
    with pytest.raises(ContinuityError, match="lacks an XA transaction"):
        [again.feed(event) for event in split(table.log())]


def test_positions() -> None:
    position = Position("0-1-9,7-1-3")
    assert str(position) == position.start == "0-1-9,7-1-3"
    for prepared in ("0-1-10", "0-2-11", "8-1-1"):
        position.prepare(Gtid.parse(prepared))
    text = "0-2-11,7-1-3,8-1-1;xa=0-1-10:0-1-9,0-2-11:0-1-10,8-1-1:"
    assert str(position) == str(Position(text)) == text
    assert Position(text).start == "0-1-9,7-1-3"
    position.finish(Gtid.parse("0-1-10"))
    assert position.start == "0-1-10,7-1-3"


@pytest.mark.parametrize(
    "text",
    [
        "XA COMMIT 'x'",
        "XA COMMIT X'7',X'',1",
        "XA COMMIT X'78',X'',1 ONE PHASE",
        "XA COMMIT X'78',X'',1 SUSPEND",
        "XA PREPARE X'78',X'',1",
    ],
)
def test_statements_that_are_not_understood(text: str) -> None:
    with pytest.raises(DecodeError):
        xa.statement(text)


@both
def test_the_stream_is_made_again_between_prepare_and_commit(reader: Reader, table: Maria) -> None:
    made_again(reader, table)


def made_again(reader: Reader, table: Maria, *, by_file: bool = False) -> None:
    state: State = {}
    with reader.open() as source:
        position, facts = snapshot(source, state)
        if by_file:
            ((name, byte, *_),) = table.execute("show binary log status")
            position = f"{name}:{byte}"
        for number, domain in enumerate((0, 7 if table.kind == "mariadb" else 0)):
            prepare(table, f"x{number}", f"insert into t values ({number}, 'xa')", domain=domain)
        table.execute("insert into t values (10, 'a')", "flush binary logs")
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("10",) in state, state)
            position = stream.position
        assert set(state) == {("10",)}
        assert position.partition(";xa=")[2].count(",") == 1
        assert is_file_position(position) == by_file or table.kind == "mariadb"
        source.verify(facts, position)
        table.execute("insert into t values (11, 'b')", "delete from t where id = 10")
        end(table, "commit", "x0", "x1")
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("1",) in state, state)
            assert "xa" not in stream.position
    assert set(state) == {("0",), ("1",), ("11",)}


def test_a_log_purged_before_the_prepared_one_is_a_gap(reader: Reader, table: Maria) -> None:
    with reader.open() as source:
        position, _ = snapshot(source, {})
        prepare(table, "x", "insert into t values (1, 'xa')")
        table.execute("flush binary logs", "insert into t values (2, 'a')")
        state: State = {}
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("2",) in state, state)
            position = stream.position
        (name, *_) = table.execute("show master status")[0]
        purge(table.server, name)
        with closing(source.stream(position)) as stream, pytest.raises(ContinuityError) as raised:
            until(stream, lambda: False, {})
    assert raised.value.where["position"] == position
    assert "purged" in raised.value.what


def test_a_snapshot_waits_for_what_is_prepared(
    reader: Reader, table: Maria, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(table, "x", "insert into t values (1, 'xa')")
    with closing(connect(reader.settings().url)) as connection:
        findings, _ = inspect(connection, reader.settings())
    assert ("warning", "xa") in {(finding.severity, finding.where) for finding in findings}
    monkeypatch.setattr(quiet.begin_quietly, "__defaults__", (0.2,))
    with reader.open() as source, pytest.raises(PreflightError, match="1 are prepared") as raised:
        source.snapshot({})
    assert "XA RECOVER" in str(raised.value.fix)
    monkeypatch.setattr(quiet.begin_quietly, "__defaults__", (30.0,))
    later = threading.Timer(0.5, lambda: end(table, "commit", "x"))
    later.start()
    state: State = {}
    with reader.open() as source:
        snapshot(source, state)
    later.join()
    assert set(state) == {("1",)}


def test_a_moment_is_quiet_only_without_xa_in_the_log(table: Maria) -> None:
    """What was prepared and committed while the snapshot began: it begins again."""
    tries = []

    def begin() -> quiet.Coordinates:
        if not tries:
            prepare(table, "x", "insert into t values (1, 'xa')")
            end(table, "commit", "x")
        tries.append(True)
        table.execute(f"insert into t values ({10 + len(tries)}, 'a')")
        (file, at, *_) = table.execute("show master status")[0]
        return file, at

    with closing(table.server.connect(table.name)) as connection:
        quiet.begin_quietly(connection, begin)
    assert len(tries) == 2


def test_snapshot_and_stream_join_under_two_phase_commits(reader: Reader, table: Maria) -> None:
    """Rows come by XA all the time while snapshots begin."""
    stopping = threading.Event()

    def change() -> None:
        with closing(table.server.connect(table.name)) as connection, connection.cursor() as cursor:
            n = 0
            while not stopping.wait(0.003):
                n += 1
                for sql in (
                    f"xa start 'x{n}'",
                    f"insert into t values ({n}, 'a')",
                    f"update t set v = {n} where id = {n // 2 + 1}",
                    f"xa end 'x{n}'",
                    f"xa prepare 'x{n}'",
                    f"xa {'rollback' if n % 3 == 0 else 'commit'} 'x{n}'",
                ):
                    cursor.execute(sql)

    worker = threading.Thread(target=change)
    worker.start()
    states: list[State] = []
    opened: list[tuple[BinlogDatabase, str]] = []
    try:
        for _ in range(5):
            source = BinlogDatabase(reader.settings(), reader.user)
            states.append({})
            opened.append((source, snapshot(source, states[-1])[0]))
    finally:
        stopping.set()
        worker.join()
    table.execute("insert into t values (-1, 'end')")
    for state, (source, position) in zip(states, opened, strict=True):
        with closing(source), closing(source.stream(position)) as stream:
            until(stream, lambda state=state: ("-1",) in state, state)  # type: ignore[misc]
    wanted = {(str(key),): (str(key), value) for key, value in table.execute("select * from t")}
    assert len(wanted) > 5
    assert all(state == wanted for state in states)


@pytest.mark.parametrize("maria", ["mysql"], indirect=True)
def test_a_compressed_transaction_in_two_phases(table: Maria) -> None:
    table.execute(
        "set session binlog_transaction_compression = on",
        "xa start 'x'",
        "insert into t values (1, repeat('x', 40)), (2, repeat('y', 40))",
        "xa end 'x'",
        "xa prepare 'x'",
    )
    table.execute("insert into t values (3, 'a')")
    end(table, "commit", "x")
    table.execute(
        *("set session binlog_transaction_compression = on", "xa start 'y'"),
        *("insert into t values (4, 'b')", "xa end 'y'", "xa commit 'y' one phase"),
    )
    assert ids(table.changes()) == ["3", "1", "2", "4"]


@pytest.mark.parametrize("maria", ["mysql"], indirect=True)
def test_without_gtids_the_stream_is_made_again_too(reader: Reader, table: Maria) -> None:
    made_again(reader, table, by_file=True)


@pytest.mark.parametrize("maria", ["mysql"], indirect=True)
def test_the_lock_of_a_snapshot_waits_for_what_is_prepared(reader: Reader, table: Maria) -> None:
    prepare(table, "x", "insert into t values (1, 'xa')")
    with reader.open() as source, pytest.raises(SourceUnavailable, match="in use"):
        source.snapshot({})
    end(table, "commit", "x")
    state: State = {}
    with reader.open() as source:
        snapshot(source, state)
    assert set(state) == {("1",)}


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_a_server_killed_between_prepare_and_commit(
    kind: Literal["mariadb", "mysql"], request: pytest.FixtureRequest
) -> None:
    with ExitStack() as closed:
        if kind == "mysql":
            server: LocalMariadb = closed.enter_context(mysql_server())
        else:
            server = request.getfixturevalue("second_maria")
        server.execute("create database shop")
        _killed_between(Maria(server, "shop", kind))


def _killed_between(maria: Maria) -> None:
    maria.execute("create table t (id int primary key, v varchar(40))")
    state: State = {}
    with maria.reader("p@ss") as user:
        with Reader(maria, user).open() as source:
            position, facts = snapshot(source, state)
            prepare(maria, "kept", "insert into t values (1, 'xa')")
            prepare(maria, "gone", "insert into t values (2, 'xa')")
            maria.execute("insert into t values (3, 'a')")
            with closing(source.stream(position)) as stream:
                until(stream, lambda: ("3",) in state, state)
                position = stream.position
        killed(maria.server)
        with Reader(maria, user).open() as source:
            source.verify(facts, position)
            end(maria, "commit", "kept")
            end(maria, "rollback", "gone")
            maria.execute("insert into t values (4, 'a')")
            with closing(source.stream(position)) as stream:
                until(stream, lambda: ("4",) in state, state)
    wanted = {(str(key),): (str(key), value) for key, value in maria.execute("select * from t")}
    assert state == wanted
    assert set(state) == {("1",), ("3",), ("4",)}


def killed(server: LocalMariadb) -> None:
    """As by kill -9, and started again."""
    command = Path(f"/proc/{server.pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    assert server._process is not None
    server._process.send_signal(signal.SIGKILL)
    server._process.wait(200)
    server._launch(command)
