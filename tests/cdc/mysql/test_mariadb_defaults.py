"""What rows leave out under a partial row image, held against the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from cdc.mysql import statements
from cdc.mysql.alteration import Shape
from cdc.mysql.collations import Collations
from cdc.mysql.ddl import altered
from cdc.mysql.tablemap import Default, TableMap
from cdc.schema import TableName
from tailrace.errors import DecodeError
from tests.cdc.mysql.test_mariadb_source import Reader, State, reader, snapshot, until
from tests.maria import Maria, both

__all__ = ["reader"]

DEFAULTS = (
    "a int default 7, b decimal(9,3) default '-1.5' not null, c varchar(9) default 'ä!', d char(5)"
    " character set latin1 default 'ß', e enum('x','y') default 'y', f set('p','q') default 'p,q',"
    " g bit(9) default b'101', h date default '2024-02-29', i datetime(3) default '2024-01-02',"
    " j time(2) default '-10:11:12.5', k year default 2024, l double default 3, m tinytext,"
    " n int not null, o varchar(9) not null, p enum('z','y') not null, q datetime not null,"
    " r timestamp null, s varchar(40) default (uuid()), u int default (1 + 2), v blob,"
    " w timestamp default current_timestamp, x int generated always as (a + 1) stored,"
    " y binary(3) not null, z json"
)
WRITES = (
    "insert into t () values ()",
    "insert into t (a, n) values (8, 1), (9, default)",
    "insert into t (id, a, m) values (50, 1, 'm'), (51, 1, 'm')",
    "replace into t (id, n) values (50, 5)",
    "insert into t (id, n) values (51, 5) on duplicate key update n = 77",
    "/* replace */ update t set c = 'changed' where id = 51",
    "update t set id = id + 100 where id = 51",
    "insert into t (m) select 'n' from t where id < 3",
    "alter table t alter a set default 70, alter c drop default, alter b set default 2",
    "insert into t (n) values (4)",
    "replace into t (id, o) values (50, 'again')",
    "insert into t (id, m) values (60, 'm')",
    "replace into t set id = 60, a = default",
)


@pytest.fixture(params=["minimal", "noblob"])
def image(request: pytest.FixtureRequest, maria: Maria) -> Iterator[str]:
    maria.execute(f"set global binlog_row_image = {request.param}")
    yield request.param
    maria.execute("set global binlog_row_image = FULL")


@both
def test_what_rows_leave_out_is_what_the_table_holds(reader: Reader, image: str) -> None:
    maria = reader.maria
    maria.execute(f"create table t (id int auto_increment primary key, {DEFAULTS})")
    state, whole = followed(reader, *WRITES)
    assert state == whole
    assert len(state) > 7


def followed(reader: Reader, *writes: str, tables: str = "") -> tuple[State, State]:
    """What a target would hold after these, and a snapshot of now."""
    state: State = {}
    whole: State = {}
    with reader.open(*filter(None, [tables])) as source:
        position, _ = snapshot(source, state)
        reader.maria.execute(
            *("set sql_mode = ''", *writes, "delete from t where id = -1"),
            *("insert into t (id) values (-1)",),
        )
        with closing(source.stream(position)) as stream:
            until(stream, lambda: ("-1",) in state, state)
        snapshot(source, whole)
    return state, whole


@both
@pytest.mark.parametrize("image", ["minimal"], indirect=True)
def test_a_replace_moves_a_row_to_the_key_that_is_the_default(reader: Reader, image: str) -> None:
    reader.maria.execute(
        "create table t (id int default 0 primary key, n int unique, v int default 7)"
    )
    state, whole = followed(
        reader,
        "insert into t values (5, 1, 9)",
        "update t set v = 8",
        "replace into t (n) values (1)",
    )
    assert state == whole == {("0",): ("0", "1", "7"), ("-1",): ("-1", None, "7")}


@pytest.mark.parametrize("image", ["minimal"], indirect=True)
def test_todays_default_is_not_taken_for_that_of_then(reader: Reader, image: str) -> None:
    reader.maria.execute(
        "create table t (id int primary key, d date not null default '2024-01-01',"
        " e date not null default '2024-01-02')"
    )
    not_understood = "alter table t add n int default 5, add period for p (d, e)"
    with pytest.raises(DecodeError, match="whose defaults are not known") as raised:
        followed(
            reader,
            not_understood,
            "insert into t (id, d, e) values (1, '2024-01-01', '2024-01-02')",
            "alter table t alter n set default 6",
        )
    assert raised.value.where["columns"] == "n"


@pytest.mark.parametrize(
    "written",
    [
        "bit(8) default '5'",
        "enum('0','1') default 1",
        "enum('0','1') default true",
        *(f"varchar(9) default {number}" for number in ("007", "-0", "-05", ".5", "5.", "1e2")),
        "varbinary(9) default 07",
        "varchar(3) default 'abc  '",
        "time default '010:02:03'",
        "time(1) default '-00:00:00.0'",
    ],
)
def test_a_default_that_a_server_keeps_otherwise_than_it_was_written_is_not_known(
    written: str,
) -> None:
    assert default_of(written) == ()


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("bit(8) default 5", "00000101"),
        ("varchar(9) default -1.50", "-1.50"),
        ("varchar(9) default 'a '", "a "),
        ("varchar(1) default ' '", " "),
        ("varchar(9) default true", "1"),
        ("time default '-110:02:03'", "-110:02:03"),
        ("time(1) default '-00:00:00.5'", "-00:00:00.5"),
    ],
)
def test_a_default_that_was_written_as_a_server_keeps_it(written: str, text: str) -> None:
    assert default_of(written) == (text,)


def default_of(written: str) -> Default:
    """Of a column that is added."""
    rows = [("utf8mb4_bin", 46, "utf8mb4", False), ("utf8mb4_general_ci", 45, "utf8mb4", True)]
    shape = Shape(TableMap(TableName("s", "t"), (), (), described=True), 45)
    return (
        altered(shape, f"alter table t add c {written}", Collations.of(rows)).map.columns[0].default
    )


REPLACED = "replace into t (id, n) values (1, 5)"
BESIDE = {
    "in two phases": ("xa start 'x'", REPLACED, "xa end 'x'", "xa prepare 'x'", "xa commit 'x'"),
    "prepared": (f"prepare s from '{REPLACED}'", "execute s"),
    "in a procedure": ("create procedure p() begin " + REPLACED + "; end", "call p()"),
    "behind a comment": ("/* insert */ " + REPLACED,),
    "behind a setting": ("set statement max_statement_time = 5 for " + REPLACED,),
    "among others": (
        *("begin", "update t set v = 'q' where id = 2", REPLACED),
        *("insert into t (id, n) values (2, 3) on duplicate key update v = 'r'", "commit"),
    ),
    "in a function": (
        "create function f() returns int deterministic modifies sql data"
        f" begin {REPLACED}; return 1; end",
        "select f()",
    ),
    "an update by a trigger": (
        "create trigger after_u after insert on u for each row update t set n = 9 where id = 1",
        "insert into u values (1)",
    ),
}


def table(maria: Maria) -> None:
    maria.execute(
        "create table t (id int primary key, n int, v varchar(9) default 'x')",
        "create table u (id int primary key)",
        "insert into t values (1, 1, 'v'), (2, 2, 'w')",
    )


@pytest.mark.parametrize("image", ["minimal"], indirect=True)
@pytest.mark.parametrize("name", BESIDE)
def test_a_replace_is_seen(name: str, reader: Reader, image: str) -> None:
    table(reader.maria)
    state, whole = followed(reader, *BESIDE[name], tables=f"{reader.maria.name}.t")
    assert state == whole


UNSEEN = {
    "in a trigger": (
        f"create trigger after_u after insert on u for each row {REPLACED}",
        "insert into u values (1)",
    ),
    "not annotated": ("set session binlog_annotate_row_events = 0", REPLACED),
    "not annotated behind one that is": (
        "begin",
        "update t set n = 3 where id = 1",
        "set session binlog_annotate_row_events = 0",
        REPLACED,
        "commit",
    ),
}


@pytest.mark.parametrize("image", ["minimal"], indirect=True)
@pytest.mark.parametrize("name", UNSEEN)
def test_a_replace_that_nothing_tells_from_an_update_is_refused(
    name: str, reader: Reader, image: str
) -> None:
    """MariaDB's own replicas keep the values that it has reset."""
    table(reader.maria)
    with pytest.raises(DecodeError, match="which may be of a REPLACE") as raised:
        followed(reader, *UNSEEN[name], tables=f"{reader.maria.name}.t")
    assert raised.value.where["columns"] == "v"


@pytest.mark.parametrize(
    ("text", "replaces"),
    [
        ("REPLACE t VALUES (1)", True),
        ("# x\n /*!50000 replace */ into t values (1)", True),
        ("load data local infile 'a replace b' replace into table t", True),
        ("load data infile 'x' replace /* all */ into table t", True),
        ("load data infile 'x' /*!replace*/ into table t", True),
        ("load data infile ' replace into ' into table t", False),
        ("load data infile 'x' into table t", False),
        ("INSERT INTO replace_me VALUES ('replace')", False),
        ("update t set v = replace(v, 'a', 'b')", False),
        ("select f()", None),
        ("call p()", None),
        ("", None),
    ],
)
def test_which_statements_replace(text: str, replaces: bool | None) -> None:
    assert statements.replaces(text) is replaces
