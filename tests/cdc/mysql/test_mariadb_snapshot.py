"""What a snapshot reads, whatever the server is set to, and when it stops reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from cdc.mysql.preflight import inspect
from cdc.mysql.session import connect, query
from tests.cdc.mysql.test_mariadb_source import Reader, State, snapshot, until
from tests.maria import Maria, both, version_of

AWKWARD = {
    "sql_select_limit": "10",
    "max_join_size": "1",
    "sql_quote_show_create": "0",
    "sql_mode": "'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
    "time_zone": "'+07:00'",
    "lc_messages": "'de_DE'",
    "wait_timeout": "5",
    "net_write_timeout": "5",
}
MARIADB_ALONE = {
    "max_statement_time": "1",
    "idle_transaction_timeout": "5",
    "idle_readonly_transaction_timeout": "5",
}
MYSQL_ALONE = {"max_execution_time": "1000"}


@contextmanager
def setting(maria: Maria, name: str, value: str) -> Iterator[None]:
    """A global variable of the server, for a while."""
    ((before,),) = maria.execute(f"select @@global.{name}")
    maria.execute(f"set global {name} = {value}")
    try:
        yield
    finally:
        maria.execute(f"set global {name} = {before!r}")


@both
def test_settings_of_the_server_cut_nothing_short(maria: Maria) -> None:
    maria.execute(
        "set time_zone = '+00:00'",
        "create table t (id int primary key, c char(5), at timestamp null)",
        f"insert into t select n, 'ab', '2024-01-01 12:00:00' from {maria.numbers(1, 500)}",
        "create table parent (id int primary key)",
        "create table child (id int primary key, p int,"
        " foreign key (p) references parent (id) on delete cascade)",
    )
    alone = MYSQL_ALONE if maria.kind == "mysql" else MARIADB_ALONE
    with maria.reader("p@ss") as user, ExitStack() as settings:
        reader = Reader(maria, user)
        for name, value in {**AWKWARD, **alone}.items():
            settings.enter_context(setting(maria, name, value))
        with closing(connect(reader.settings().url)) as connection:
            names = ", ".join(f"@@session.{name}" for name in alone)
            assert not any(query(connection, f"select {names}")[0])
            ((idle, sends),) = query(connection, "select @@wait_timeout, @@net_write_timeout")
            assert (idle, sends) == (31536000, 600)
            findings, _ = inspect(connection, reader.settings())
        state: State = {}
        with reader.open() as source:
            snapshot(source, state)
    assert state == {(str(n),): (str(n), "ab", "2024-01-01 12:00:00+00") for n in range(1, 501)}
    named = {finding.where for finding in findings} - {"gtid_strict_mode"}
    assert named == {f"{maria.name}.child"}


@both
def test_a_snapshot_that_is_stopped_reads_no_further(maria: Maria) -> None:
    """Else its cursor would read the table to the end, which may take hours."""
    maria.execute(
        "create table t (id int primary key,"
        " wide longtext generated always as (repeat('x', 100000)) virtual)",
        f"insert into t (id) select n from {maria.numbers(1, 1000)}",
    )
    with maria.reader("p@ss") as user, Reader(maria, user).open() as source:
        before = sent(maria)
        with closing(source.snapshot({})) as opened:
            sets = opened.changes()
            assert next(sets)[0].rows < 100
            sets.close()
        assert sent(maria) - before < 60_000_000


def sent(maria: Maria) -> int:
    """Bytes, by the server to anybody."""
    return int(maria.execute("show global status like 'Bytes_sent'")[0][1])


def test_a_log_with_an_event_larger_than_the_server_reads(maria: Maria) -> None:
    """Of places behind it the server no longer says which transactions stand before them."""
    maria.execute("create table t (id int primary key, v longtext)")
    before = maria.execute("select @@global.max_allowed_packet")[0][0]
    maria.execute("set global max_allowed_packet = 1048576")
    try:
        maria.execute("insert into t values (1, repeat('x', 1048576))")
        ((name, byte, *_),) = maria.execute("show master status")
        if version_of(maria.server) < (11, 4):  # later ones look into an index
            assert maria.execute(f"select binlog_gtid_pos('{name}', {byte})") == [(None,)]
        state: State = {}
        with maria.reader("p@ss") as user, Reader(maria, user).open() as source:
            position, facts = snapshot(source, state)
            source.verify(facts, position)
            maria.execute("insert into t values (2, 'y')")
            with closing(source.stream(position)) as stream:
                until(stream, lambda: ("2",) in state, state)
        assert set(state) == {("1",), ("2",)}
        assert len(state["1",][1] or "") == 1048576
    finally:
        maria.execute(f"set global max_allowed_packet = {before}")
