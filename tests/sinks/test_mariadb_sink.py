"""The conformance suite on MariaDB and MySQL, and what only they have."""

from __future__ import annotations

import io
import threading
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pymysql
import pytest

import sinks.mysql.loading as loading
import sinks.mysql.sink as module
import sinks.mysql.wire as wire
from cdc.schema import TableName
from sinks.conformance import (
    CASES,
    JOURNAL,
    TABLE,
    Harness,
    apply,
    changes,
    delete,
    opened,
    upsert,
)
from sinks.mysql.names import quoted, quoted_table
from sinks.mysql.products import MARIADB
from sinks.mysql.session import query
from sinks.mysql.sink import MariadbSink
from sinks.protocol import Checkpoint, Written
from sinks.rowtext import PIECE_ROWS
from tailrace.errors import RowRefused, TargetRefused, TargetUnavailable
from tests.line import wait_until
from tests.maria import version_of
from tests.sinks.maria_harness import MariadbHarness, only_mariadb
from transforms.rows import UPSERT, RowChanges, TargetColumn, TargetTable


@pytest.fixture(params=["sets", "in_order", "without_bulk"])
def way(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each way of applying changes, whatever their number."""
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 10**6 if request.param == "in_order" else 0)
    if request.param == "without_bulk":
        if request.node.callspec.params["maria_harness"] == "mysql":
            pytest.skip("MySQL has no bulk")
        monkeypatch.setattr(wire, "_extended", lambda greeting: 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_conformance(case: Callable[[Harness], None], maria_harness: MariadbHarness) -> None:
    case(maria_harness)


@pytest.mark.usefixtures("way")
def test_another_row_of_a_unique_value_is_never_taken_for_it(
    maria_harness: MariadbHarness,
) -> None:
    """As ON DUPLICATE KEY UPDATE would: row 2 would have overwritten row 1."""
    sink = opened(maria_harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    maria_harness.execute("create unique index code on shop.item (code(50))")
    with pytest.raises(TargetRefused) as raised:
        sink.write([changes(TABLE, upsert("2", "a", "2"))])
    assert raised.value.where["constraint"] == "code"
    sink.rollback()
    assert maria_harness.rows(TABLE) == {("1", "a", "1.00")}


@pytest.mark.usefixtures("way")
def test_unique_values_change_hands(maria_harness: MariadbHarness) -> None:
    """As sets this would break the unique index; in the source's order it cannot."""
    sink = opened(maria_harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1"), upsert("2", "b", "2")))
    maria_harness.execute("create unique index code on shop.item (code(50))")
    apply(
        sink,
        2,
        changes(TABLE, upsert("1", "tmp", "1"), upsert("2", "a", "2"), upsert("1", "b", "1")),
    )
    assert maria_harness.rows(TABLE) == {("1", "b", "1.00"), ("2", "a", "2.00")}


WORD = TargetTable(
    TableName("shop", "word"),
    (TargetColumn("word", "text", nullable=False), TargetColumn("n", "integer")),
    ("word",),
)
LOOSE = "create table shop.word (word varchar(40) collate utf8mb4_general_ci primary key, n int)"


@pytest.mark.usefixtures("way")
def test_keys_that_differ_in_case_accents_or_spaces_are_different(
    maria_harness: MariadbHarness,
) -> None:
    sink = opened(maria_harness, WORD)
    words = ["a", "A", "ä", "a ", "", "ß", "ss", *([] if is_blind(maria_harness) else ["a\0"])]
    apply(sink, 1, changes(WORD, *(upsert(word, "1") for word in words)))
    apply(sink, 2, changes(WORD, upsert("A", "2"), delete("a ", None), upsert("ä", "3")))
    assert maria_harness.rows(WORD) == {
        *((word, "1") for word in words if word not in ("A", "a ", "ä")),
        *(("A", "2"), ("ä", "3")),
    }


def is_blind(harness: MariadbHarness) -> bool:
    """Whether it is MariaDB 10.5, to which a character of no bits at the end is nothing."""
    return harness.product is MARIADB and version_of(harness.server) < (10, 6)


@pytest.mark.usefixtures("way")
def test_a_key_that_the_server_takes_for_another_is_refused(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness, WORD)
    apply(sink, 1, changes(WORD, upsert("a", "1")))
    other = changes(WORD, upsert("a\0", "2"))
    if is_blind(maria_harness):
        with pytest.raises(TargetRefused, match="unique key"):
            sink.write([other])
        sink.rollback()
    else:
        apply(sink, 2, other)
    assert ("a", "1") in maria_harness.rows(WORD)


@pytest.mark.usefixtures("way")
def test_a_key_that_ignores_case_merges_nothing(maria_harness: MariadbHarness) -> None:
    maria_harness.execute("create database shop", LOOSE)
    sink = opened(maria_harness, WORD)
    apply(sink, 1, changes(WORD, upsert("a", "1"), upsert("b", "1")))
    apply(sink, 2, changes(WORD, upsert("b", "2"), delete("A", None)))
    assert maria_harness.rows(WORD) == {("a", "1"), ("b", "2")}
    with pytest.raises(TargetRefused) as raised:
        sink.write([changes(WORD, upsert("A", "3"), first=7)])
    assert raised.value.seq == 7  # type: ignore[attr-defined]
    assert raised.value.where["constraint"] == "PRIMARY"
    sink.rollback()
    sink.prepare([WORD])
    apply(sink, 3, changes(WORD, (UPSERT, ("A", "4"), ("a",))))
    assert maria_harness.rows(WORD) == {("A", "4"), ("b", "2")}


CHILD = TargetTable(
    TableName("shop", "child"),
    (TargetColumn("id", "integer", nullable=False), TargetColumn("item_id", "integer")),
    ("id",),
)


@pytest.mark.usefixtures("way")
def test_parents_come_before_children_and_go_after_them(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness, CHILD, TABLE)
    maria_harness.execute(
        "alter table shop.child add foreign key (item_id) references shop.item (id)"
    )
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([CHILD, TABLE])
    apply(sink, 1, changes(CHILD, upsert("1", "1"), first=5), changes(TABLE, upsert("1", "a", "1")))
    apply(
        sink,
        2,
        changes(TABLE, delete("1", None, None), upsert("2", "b", "1"), first=10),
        changes(CHILD, delete("1", None), upsert("2", "2"), first=0),
    )
    assert maria_harness.rows(CHILD) == {("2", "2")}
    assert maria_harness.rows(TABLE) == {("2", "b", "1.00")}


@pytest.mark.usefixtures("way")
def test_what_others_keep_of_a_row_moves_with_it(maria_harness: MariadbHarness) -> None:
    """Also where another row has taken its key since."""
    sink = opened(maria_harness, TABLE)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    maria_harness.execute(
        "alter table shop.item add note text", "update shop.item set note = 'of 1'"
    )
    apply(sink, 2, changes(TABLE, (UPSERT, ("2", "b", "1"), ("1",)), upsert("1", "c", "1")))
    found = maria_harness.execute("select id, note from shop.item order by id")
    assert found == [(1, None), (2, "of 1")]


@pytest.mark.usefixtures("way")
def test_a_cascade_takes_no_row_that_is_to_stay(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness, CHILD, TABLE)
    maria_harness.execute(
        "alter table shop.child add foreign key (item_id) references shop.item (id)"
        " on delete cascade"
    )
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([CHILD, TABLE])
    apply(sink, 1, changes(CHILD, upsert("1", "1"), first=5), changes(TABLE, upsert("1", "a", "1")))
    apply(
        sink,
        2,
        changes(TABLE, upsert("7", "a", "1"), first=0),
        changes(CHILD, upsert("1", "7"), first=1),
        changes(TABLE, delete("1", None, None), first=2),
    )
    assert maria_harness.rows(CHILD) == {("1", "7")}


VALUES = TargetTable(
    TableName("we ird", "ta`ble%s"),
    (
        TargetColumn("Sp ace%", "bigint", nullable=False),
        TargetColumn("free", "numeric"),
        TargetColumn("at", "timestamp with time zone"),
        TargetColumn("day", "date"),
        TargetColumn("raw", "bytea"),
        TargetColumn("flag", "boolean"),
        TargetColumn("bits", "bit(3)"),
        TargetColumn("doc", "jsonb"),
        TargetColumn("se`lect", "text"),
        TargetColumn("daytime", "time without time zone"),
    ),
    ("Sp ace%",),
)
# fmt: off
DIFFICULT: list[tuple[str | None, ...]] = [
    ("0", "-0.000000000000000000000000000001", "0001-01-01 00:00:00+00", "0001-01-01", "\\x",
     "t", "101", '{"a": "\\\\"}', "\\N", "24:00:00"),
    ("-9223372036854775808", "9" * 35, "9999-12-31 23:59:59.999999+00", "9999-12-31",
     "\\x00ff5c270a09", "f", "000", "[]", "%s \\ ' \" ` \t\n\r\0 äöü😀\x1a", "00:00:00.000001"),
    ("9223372036854775807", None, None, None, None, None, None, None, "", None),
]
WRITTEN = [
    ("0", "-0.000000000000000000000000000001", "0001-01-01 00:00:00.000000", "0001-01-01", "",
     "1", "5", '{"a": "\\\\"}', "\\N", "24:00:00.000000"),
    ("-9223372036854775808", "9" * 35 + "." + "0" * 30, "9999-12-31 23:59:59.999999",
     "9999-12-31", "00FF5C270A09", "0", "0", "[]", "%s \\ ' \" ` \t\n\r\0 äöü😀\x1a",
     "00:00:00.000001"),
    ("9223372036854775807", None, None, None, None, None, None, None, "", None),
]
# fmt: on


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("fresh", [True, False], ids=["new", "changed"])
def test_difficult_values_and_names_arrive_as_they_were(
    fresh: bool, maria_harness: MariadbHarness
) -> None:
    sink = opened(maria_harness, VALUES)
    apply(sink, 1, changes(VALUES, *[upsert(*row) for row in DIFFICULT], fresh=fresh))
    shown = {"raw": "hex(`raw`)", "bits": "bits + 0"}
    columns = ", ".join(
        f"cast({shown.get(column.name, quoted(column.name))} as char)" for column in VALUES.columns
    )
    found = maria_harness.execute(f"select {columns} from {quoted_table(VALUES.table)}")
    assert set(found) == set(WRITTEN)
    apply(sink, 2, changes(VALUES, *[delete(*row) for row in DIFFICULT]))
    assert maria_harness.rows(VALUES) == set()


SECRET = "s3cret"
BAD = [
    ("integer", SECRET, 1366),
    ("smallint", "7000042", 1264),
    ("numeric(4,2)", "7000042", 1264),
    ("numeric(4,2)", "1.7000042", 1265),
    ("numeric", "NaN", 1366),
    ("double precision", "Infinity", 1366),
    ("date", "7000042-13-45", 1292),
    ("date", "0000-00-00", 1292),
    ("date", "2024-02-30", 1292),
    ("timestamp without time zone", "2024-02-30 00:00:00", 1292),
    ("timestamp without time zone", "infinity", 1292),
    ("timestamp with time zone", "2024-01-01 00:00:00+07", 1292),
    ("character varying(3)", SECRET, 1406),
    ("uuid", SECRET * 9, 1406),
]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("kind", "value", "errno"), BAD, ids=[f"{k}-{e}" for k, _, e in BAD])
def test_a_bad_value_is_located_and_not_shown(
    kind: str, value: str, errno: int, maria_harness: MariadbHarness
) -> None:
    table = TargetTable(
        TableName("shop", "odd"),
        (TargetColumn("id", "integer", nullable=False), TargetColumn("v", kind)),
        ("id",),
    )
    sink = opened(maria_harness, table)
    given = [upsert("1", None), upsert("2", value), upsert("3", value)]
    for fresh in (False, True):
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(table, *given, first=10, fresh=fresh)])
        error = raised.value
        assert error.seq == 11  # type: ignore[attr-defined]
        assert error.where["errno"] == errno
        assert error.where["table"] == "shop.odd"
        assert error.where["key_columns"] == "id"
        assert error.where["column"] == "v"
        assert SECRET not in str(error)
        assert "7000042" not in str(error)
        sink.rollback()
        sink.prepare([table])
    assert maria_harness.rows(table) == set()


@only_mariadb
@pytest.mark.usefixtures("way")
def test_what_is_no_json_is_located_and_not_shown(maria_harness: MariadbHarness) -> None:
    """Its JSON is text with a check, which names the column as a constraint."""
    wanted = TargetTable(
        TableName("shop", "odd"),
        (TargetColumn("id", "integer", nullable=False), TargetColumn("v", "jsonb")),
        ("id",),
    )
    sink = opened(maria_harness, wanted)
    given = [upsert("1", "[]"), upsert("2", f'{{"a": {SECRET}}}')]
    for fresh in (False, True):
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(wanted, *given, fresh=fresh)])
        assert raised.value.seq == 1  # type: ignore[attr-defined]
        assert raised.value.where["errno"] == 4025
        assert SECRET not in str(raised.value)
        sink.rollback()
        sink.prepare([wanted])


def test_a_null_is_refused_where_none_may_be(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    maria_harness.execute("alter table shop.item modify code longtext not null")
    for rows in (3, 40):
        for fresh in (False, True):
            given = [upsert(str(n), "x", "1") for n in range(rows)]
            given[2] = upsert("2", None, "1")
            with pytest.raises(TargetRefused) as raised:
                sink.write([changes(TABLE, *given, fresh=fresh)])
            assert raised.value.seq == 2  # type: ignore[attr-defined]
            sink.rollback()
            sink.prepare([TABLE])


def test_what_a_trigger_says_is_not_shown(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    maria_harness.execute(
        "create trigger shop.no before insert on shop.item for each row"
        " signal sqlstate '45000' set message_text = 's3cret'"
    )
    for rows in (1, 40):
        with pytest.raises(TargetRefused, match="a trigger or function raised") as raised:
            sink.write([changes(TABLE, *(upsert(str(n), SECRET, "1") for n in range(rows)))])
        assert SECRET not in str(raised.value)


def signal(harness: MariadbHarness, number: int) -> None:
    harness.execute(
        "drop trigger if exists shop.no",
        "create trigger shop.no before insert on shop.item for each row"
        f" signal sqlstate '45000' set mysql_errno = {number}, message_text = '{SECRET}'",
    )


@pytest.mark.parametrize("rows", [1, 40])
def test_an_error_that_nobody_knows_is_a_refusal(rows: int, maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    given = changes(TABLE, *(upsert(str(n), SECRET, "1") for n in range(rows)), first=7)
    for number in (1105, 1172, 1300, 1339, 1365, 1977, 1644, 4999, 9999):
        signal(maria_harness, number)
        with pytest.raises(TargetRefused) as raised:
            sink.write([given])
        assert raised.value.seq == 7  # type: ignore[attr-defined]
        assert raised.value.where["errno"] == number
        assert SECRET not in str(raised.value)
        sink.rollback()
        sink.prepare([TABLE])


@pytest.mark.parametrize("rows", [1, 40])
def test_an_error_that_passes_is_no_refusal(rows: int, maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    given = changes(TABLE, *(upsert(str(n), "a", "1") for n in range(rows)))
    for number in (1021, 1036, 1040, 1053, 1114, 1205, 1213, 1226, 1290, 1317, 1836, 1927, 1969):
        signal(maria_harness, number)
        with pytest.raises(TargetUnavailable):
            sink.write([given])
        sink.rollback()
        sink.prepare([TABLE])


def test_columns_that_are_one_to_the_server_are_refused(maria_harness: MariadbHarness) -> None:
    names = ("Id", "iD", "é", "É", "e")
    table = TargetTable(
        TableName("shop", "twice"),
        tuple(TargetColumn(name, "integer", nullable=False) for name in names),
        names[:1],
    )
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match="Id and iD, which are one to MariaDB"):
        sink.prepare([table])
    sink.prepare([replace(table, columns=table.columns[2::2], key=("é",))])


def test_a_table_that_cannot_be_made_is_refused(maria_harness: MariadbHarness) -> None:
    """Not tried again and again."""
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    table = TargetTable(
        TableName("shop", "wide"),
        tuple(TargetColumn(f"c{n}", "date", nullable=n > 0) for n in range(5000)),
        ("c0",),
    )
    with pytest.raises(TargetRefused, match="cannot be created: Too many columns"):
        sink.prepare([table])


def test_a_column_spelt_otherwise_is_to_be_renamed(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    sink.rollback()
    maria_harness.execute("alter table shop.item rename column code to `CODE`")
    with pytest.raises(TargetRefused, match="has the column CODE") as raised:
        sink.prepare([TABLE])
    maria_harness.execute(raised.value.fix or "")
    sink.prepare([TABLE])


@pytest.mark.parametrize(
    ("ddl", "told"),
    [
        ("alter table shop.item add extra int not null", "extra"),
        ("alter table shop.item drop primary key", "no unique index"),
        ("alter table shop.item drop primary key, add unique (id, amount)", "no unique index"),
        ("alter table shop.item engine = MyISAM", "kept by MyISAM"),
        ("drop table shop.item; create view shop.item as select 1 as id", "is not a table"),
        ("alter table shop.item drop code, add code text as ('x') stored", "computes code"),
        ("alter table shop.item drop code", "lacks 1 column"),
        ("alter table shop.item modify id float not null", "would lose digits"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_before(
    ddl: str, told: str, maria_harness: MariadbHarness
) -> None:
    sink = opened(maria_harness)
    sink.close()
    maria_harness.execute(*ddl.split(";"))
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match=told) as raised:
        sink.prepare([TABLE])
    assert raised.value.fix


@pytest.mark.parametrize(
    ("kind", "told"),
    [("datetime(3)", "keeps 3 digits"), ("timestamp(6) not null", "the present time")],
)
def test_what_would_change_in_silence_is_refused_before(
    kind: str, told: str, maria_harness: MariadbHarness
) -> None:
    table = TargetTable(
        TableName("shop", "moment"),
        (
            TargetColumn("id", "integer", nullable=False),
            TargetColumn("at", "timestamp(6) with time zone"),
        ),
        ("id",),
    )
    maria_harness.execute(
        "create database shop", f"create table shop.moment (id int primary key, at {kind})"
    )
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match=told):
        sink.prepare([table])


def test_the_servers_own_databases_are_not_written(maria_harness: MariadbHarness) -> None:
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match="of the server's own"):
        sink.prepare([TargetTable(TableName("mysql", "item"), TABLE.columns, TABLE.key)])


def test_a_table_made_in_the_middle_commits_nothing(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    sink.prepare([CHILD])
    sink.write([changes(CHILD, *(upsert(str(n), "1") for n in range(40)))])
    assert maria_harness.rows(TABLE) == set()
    sink.rollback()
    assert maria_harness.rows(TABLE) == maria_harness.rows(CHILD) == set()
    sink.prepare([CHILD, TABLE])
    apply(sink, 1, changes(CHILD, upsert("1", "1")), changes(TABLE, upsert("1", "a", "1")))
    assert maria_harness.rows(CHILD) == {("1", "1")}


@pytest.mark.usefixtures("way")
def test_a_row_larger_than_a_packet(maria_harness: MariadbHarness) -> None:
    with maria_harness.setting("max_allowed_packet", 1048576):
        sink = opened(maria_harness)
        apply(sink, 1, changes(TABLE, upsert("1", "x" * 1_000_000, "1")))
        given = changes(TABLE, upsert("1", "b", "1"), upsert("2", "x" * 1_048_576, "1"))
        for fresh in (False, True):
            with pytest.raises(TargetRefused, match="max_allowed_packet") as raised:
                sink.write([replace(given, fresh=fresh)])
            assert raised.value.seq == 1  # type: ignore[attr-defined]
            assert "max_allowed_packet" in (raised.value.fix or "")
            sink.rollback()
            sink.prepare([TABLE])
    lengths = maria_harness.execute("select length(code) from shop.item order by id")
    assert lengths == [(1_000_000,)]


@pytest.mark.usefixtures("way")
def test_the_largest_row_and_the_next_larger_one(maria_harness: MariadbHarness) -> None:
    """To the byte: a server ends the connection of who sends it more, as if it were gone."""
    packet, head = 65536, 256
    with maria_harness.setting("max_allowed_packet", packet):
        sink = opened(maria_harness)

        def fits(size: int) -> bool:
            try:
                sink.write([changes(TABLE, upsert("1", "x" * size, "1"), fresh=True)])
            except TargetRefused:
                return False
            finally:
                sink.rollback()
                sink.prepare([TABLE])
            return True

        largest = packet - head - 1
        largest += bisect(range(head), False, key=lambda n: not fits(packet - head + n))
        assert packet - head <= largest
        assert [fits(largest + more) for more in range(4)] == [True, False, False, False]


def end(harness: MariadbHarness) -> None:
    """End the sink's connection, as an administrator would."""
    for number, holder in harness.execute(
        "select is_used_lock(concat('tailrace:', holder)), holder from tailrace.checkpoint"
    ):
        harness.execute(f"kill {number}")
        name = f"tailrace:{holder}"
        while harness.execute(f"select is_used_lock('{name}')") != [(None,)]:
            pass


def test_a_lost_connection_is_no_refusal(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness)
    apply(sink, 1, changes(TABLE, upsert("1", "a", "1")))
    sink.write([changes(TABLE, upsert("2", "b", "2"))])
    end(maria_harness)
    with pytest.raises(TargetUnavailable):
        sink.write([changes(TABLE, upsert("3", "c", "3"))])
    assert sink.open(JOURNAL).offset == 1
    sink.prepare([TABLE])
    apply(sink, 2, changes(TABLE, upsert("4", "d", "4")))
    assert {row[0] for row in maria_harness.rows(TABLE)} == {"1", "4"}


def test_an_own_connection_that_hangs_is_ended(maria_harness: MariadbHarness) -> None:
    """As when the network was away: the server does not know yet, and holds its locks."""
    sink = opened(maria_harness)
    sink.write([changes(TABLE, upsert("2", "b", "2"))])
    hanging, sink._connection = sink._connection, None
    assert sink.open(JOURNAL).offset == 0
    assert hanging is not None
    with pytest.raises(pymysql.Error):
        hanging.ping(reconnect=False)
    assert maria_harness.rows(TABLE) == set()


@pytest.mark.parametrize("happened", [True, False])
def test_a_lost_answer_is_no_loss(
    happened: bool, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection ends before or after the server has done what COMMIT asked."""
    sink = opened(maria_harness)
    sink.write([changes(TABLE, upsert("1", "a", "1"))])
    place = "deliver.commit_sent" if happened else "deliver.before_commit"

    def cut(name: str) -> None:
        if name != place:
            return
        while happened and not maria_harness.rows(TABLE):
            pass
        end(maria_harness)
        if happened:
            sink._connected._rfile = io.BytesIO()  # type: ignore[attr-defined]

    monkeypatch.setattr(module, "failpoint", cut)
    with pytest.raises(TargetUnavailable):
        sink.commit(Checkpoint(JOURNAL, 3, "0/3"))
    assert sink.open(JOURNAL).offset == (3 if happened else 0)
    assert bool(maria_harness.rows(TABLE)) == happened


@pytest.mark.parametrize("rows", [5, 200])
def test_a_deadlock_is_tried_again(maria_harness: MariadbHarness, rows: int) -> None:
    """The server ends one of the two. When that is us, the batch is no refusal.

    Where rows are staged in Aria it ends the other, whatever it has done
    (`trx_weight_ge` spares who has edited a table that cannot be rolled back).
    """
    sink = opened(maria_harness)
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "a", "1") for n in range(rows))))
    other = maria_harness.server.connect("shop")
    ended = []
    with other.cursor() as cursor:
        cursor.execute("create table heavy (n int primary key)")
        cursor.execute("start transaction")
        cursor.execute("insert into heavy values (0)")
        cursor.execute(f"insert into heavy values {', '.join(f'({n})' for n in range(1, 5001))}")
        cursor.execute("update shop.item set code = 'x' where id = 3")
        sink.write([changes(TABLE, upsert("1", "b", "1"))])

        def wait() -> None:
            try:
                cursor.execute("update shop.item set code = 'x' where id = 1")
            except pymysql.OperationalError as error:
                ended.append(error.args[0])

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_until(maria_harness.has_waiting_transaction, "their wait for our row")
        given = changes(TABLE, *(upsert(str(n), "b", "1") for n in range(rows)))
        was_us = False
        try:
            sink.write([given])
        except TargetUnavailable:
            was_us = True
            sink.rollback()
            sink.prepare([TABLE])
        waiting.join()
        assert was_us or ended == [1213]
        other.rollback()
    other.close()
    apply(sink, 2, given)
    assert {row[1] for row in maria_harness.rows(TABLE)} == {"b"}


@pytest.fixture
def weak(maria_harness: MariadbHarness) -> Iterator[MariadbSink]:
    """A user who may create nothing: a DBA made our database and the table for it."""
    opened(maria_harness)
    maria_harness.make_user(
        "weak",
        "select, insert, update, delete, create temporary tables on tailrace.*",
        "select, insert, update, delete on shop.item",
    )
    sink = MariadbSink(
        maria_harness.server.url("weak"), "other line", product=maria_harness.product
    )
    sink.open(JOURNAL)
    sink.prepare([TABLE])
    yield sink
    sink.close()
    maria_harness.execute("drop user weak")


def test_a_user_with_few_rights_writes(weak: MariadbSink, maria_harness: MariadbHarness) -> None:
    apply(weak, 1, changes(TABLE, *(upsert(str(n), "a", "1") for n in range(40))))
    apply(weak, 2, changes(TABLE, *(upsert(str(n), "b", "1") for n in range(40))))
    assert {row[1] for row in maria_harness.rows(TABLE)} == {"b"}


def test_without_rights_delivery_waits_instead_of_refusing_rows(
    weak: MariadbSink, maria_harness: MariadbHarness
) -> None:
    """Revoked grants are nothing a row can be blamed for."""
    apply(weak, 1, changes(TABLE, upsert("1", "a", "1")))
    maria_harness.execute("revoke insert on shop.item from weak")
    for rows in (1, 40):
        with pytest.raises(TargetUnavailable):
            weak.write([changes(TABLE, *(upsert(str(n + 5), "a", "1") for n in range(rows)))])
        weak.rollback()
        weak.prepare([TABLE])


def test_a_warning_of_any_piece_counts(maria_harness: MariadbHarness) -> None:
    """Digits cut off are no more than a note, and the server forgets it with the next piece."""
    sink = opened(maria_harness)
    rows = 3 * PIECE_ROWS
    for bad in (0, PIECE_ROWS + 1, rows - 1):
        for fresh in (True, False):
            given = [upsert(str(n), "x", "1") for n in range(rows)]
            given[bad] = upsert(str(bad), "x", "1.2345")
            with pytest.raises(TargetRefused) as raised:
                sink.write([changes(TABLE, *given, fresh=fresh)])
            assert raised.value.seq == bad  # type: ignore[attr-defined]
            assert raised.value.where["errno"] == 1265
            sink.rollback()
            sink.prepare([TABLE])
    assert maria_harness.rows(TABLE) == set()


def test_a_row_of_several_packets(maria_harness: MariadbHarness) -> None:
    """From 16 MB on a command is more than one packet, and its answer's number follows on them."""
    with maria_harness.setting("max_allowed_packet", 67108864):
        sink = opened(maria_harness)
        given = [upsert(str(n), "x" * (17_000_000 if n == 1 else 9), "1") for n in range(30)]
        for offset, fresh in ((1, True), (2, False)):
            apply(sink, offset, changes(TABLE, *given, fresh=fresh))
        lengths = maria_harness.execute("select max(length(code)), count(*) from shop.item")
        assert lengths == [(17_000_000, 30)]


@only_mariadb
def test_a_connection_that_ends_in_the_middle_of_a_bulk(maria_harness: MariadbHarness) -> None:
    """With a command on its way behind the one that never gets an answer."""
    sink = opened(maria_harness)
    maria_harness.execute(
        "create trigger shop.slow before insert on shop.item for each row"
        " if new.id = 5 then do get_lock('held', 60); end if"
    )
    holder = maria_harness.server.connect()
    with holder.cursor() as cursor:
        cursor.execute("select get_lock('held', 0)")
    failed: list[BaseException] = []

    def write() -> None:
        given = [upsert(str(n), "x", "1") for n in range(4 * PIECE_ROWS)]
        try:
            sink.write([changes(TABLE, *given, fresh=True)])
        except BaseException as error:
            failed.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    while not maria_harness.execute(
        "select 1 from information_schema.processlist where state = 'User lock'"
    ):
        pass
    end(maria_harness)
    writing.join(200)
    holder.close()
    assert [type(error) for error in failed] == [TargetUnavailable]
    maria_harness.execute("drop trigger shop.slow")
    assert sink.open(JOURNAL).offset == 0
    assert maria_harness.rows(TABLE) == set()


def test_rows_that_are_lost_on_the_way_to_staging_arrive(
    maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The staged rows are counted, and where some lack all are written one by one."""
    sink = opened(maria_harness)
    given = [upsert(str(n), "x", "1") for n in range(40)]
    apply(sink, 1, changes(TABLE, *given))
    monkeypatch.setattr(loading, "counted", lambda columns, kinds: iter(()))
    monkeypatch.setattr(loading, "literal_rows", lambda columns, reads: iter(()))
    apply(sink, 2, changes(TABLE, *(upsert(str(n), "y", "1") for n in range(20, 60))))
    apply(sink, 3, changes(TABLE, *(delete(str(n), None, None) for n in range(20))))
    assert maria_harness.rows(TABLE) == {(str(n), "y", "1.00") for n in range(20, 60)}


def test_the_answers_of_a_bulk_are_all_read(maria_harness: MariadbHarness) -> None:
    """Also of the piece that was on its way when one was refused."""
    sink = opened(maria_harness)
    rows = 4 * PIECE_ROWS
    for bad in (0, 5000, rows - 1):
        given = [upsert(str(n), "x", "1") for n in range(rows)]
        given[bad] = upsert(str(bad), "x", "s3cret")
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(TABLE, *given, fresh=True)])
        assert raised.value.seq == bad  # type: ignore[attr-defined]
        sink.rollback()
        sink.prepare([TABLE])
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "x", "1") for n in range(rows)), fresh=True))
    assert len(maria_harness.rows(TABLE)) == rows


@pytest.mark.parametrize("fresh", [True, False])
def test_a_load_that_is_refused_names_the_row(
    fresh: bool, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a value is none of its column's; of others it is asked in the source's order, and of
    what a trigger counts as its first row."""
    sink = opened(maria_harness)
    in_order: list[int] = []
    apply_in_order = sink.in_order

    def counted(rows: Sequence[RowChanges]) -> dict[str, Written]:
        in_order.append(len(rows))
        return apply_in_order(rows)

    monkeypatch.setattr(sink, "in_order", counted)
    maria_harness.execute(
        "alter table shop.item add constraint small check (amount < 100)",
        "create table shop.log (amount decimal(2))",
        "create trigger shop.logged before insert on shop.item for each row"
        " insert into shop.log values (if(new.amount = 77, 777, 1))",
    )
    rows = 60
    for bad, column, asked in (("s3cret", "amount", 0), ("100", None, 1), ("77", "amount", 2)):
        given = [upsert(str(n), "x", "1") for n in range(rows)]
        given[rows - 7] = upsert(str(rows - 7), "x", bad)
        with pytest.raises(RowRefused) as raised:
            sink.write([changes(TABLE, *given, first=100, fresh=fresh)])
        assert raised.value.seq == rows + 93
        assert raised.value.where["table"] == "shop.item"
        assert raised.value.where["key_columns"] == "id"
        assert raised.value.where.get("column") == column
        assert "s3cret" not in str(raised.value)
        assert len(in_order) == asked
        assert query(sink._connected, "select count(*) from shop.item") == [(0,)]
