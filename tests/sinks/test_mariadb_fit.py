"""Tables at a MariaDB target that somebody else made: nothing is altered in silence."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

import sinks.mysql.sink as module
from cdc.schema import TableName
from sinks.conformance import JOURNAL, NOT_SENT, apply, changes, delete, opened, upsert
from sinks.mysql.names import quoted_table
from sinks.mysql.products import MYSQL
from sinks.mysql.session import connect, execute
from sinks.mysql.tables import verify
from tailrace.errors import TargetRefused
from tests.maria import needs, version_of
from tests.sinks.maria_harness import MariadbHarness, only_mariadb, only_mysql
from transforms.rows import UPSERT, TargetColumn, TargetTable

X = TableName("shop", "x")

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def table(kind: str, native: str = "", name: TableName = X) -> TargetTable:
    return TargetTable(
        name,
        (TargetColumn("id", "integer", nullable=False), TargetColumn("v", kind, native=native)),
        ("id",),
    )


@pytest.fixture(scope="module")
def made_at() -> Iterator[dict[int, MariadbHarness]]:
    """The servers, by port, that have a database `fit` with a table for each of COLUMNS."""
    made: dict[int, MariadbHarness] = {}
    yield made
    for harness in made.values():
        harness.execute("drop database fit")


Tables = Callable[[str, str, Iterable[str]], dict[str, TargetTable]]


@pytest.fixture
def several(maria_harness: MariadbHarness, made_at: dict[int, MariadbHarness]) -> Tables:
    """Empty tables with a column each: those of some of COLUMNS, to be written as of a `kind`."""
    here = [one for one in COLUMNS if one not in unknown(maria_harness)]
    if (port := maria_harness.server.port) not in made_at:
        maria_harness.execute("create database fit", *(f"create table {made(d)}" for d in here))
        made_at[port] = maria_harness
    return lambda kind, native, columns: {ddl: table(kind, native, name_of(ddl)) for ddl in columns}


def name_of(ddl: str) -> TableName:
    return TableName("fit", f"x_{COLUMNS.index(ddl)}")


def made(ddl: str) -> str:
    return f"{quoted_table(name_of(ddl))} (id int primary key, v {ddl})"


def make(harness: MariadbHarness, ddl: str) -> None:
    harness.execute("create database shop", f"create table shop.x (id int primary key, {ddl})")


@pytest.fixture(params=["sets", "in_order"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 10**6 if request.param == "in_order" else 0)


COLUMNS = (
    *("tinyint", "smallint", "mediumint", "int", "bigint", "int unsigned", "bigint unsigned"),
    *("decimal(10,2)", "decimal(20,0)", "decimal(65,30)", "float", "double", "double(9,2)"),
    *("bit(1)", "bit(9)", "bit(64)", "year", "date", "datetime", "datetime(3)", "datetime(6)"),
    *("timestamp null", "timestamp(6) null", "time", "time(6)", "char(3)", "char(60)"),
    *("varchar(3)", "varchar(60)", "varchar(60) character set latin1", "tinytext", "longtext"),
    *("binary(4)", "binary(40)", "varbinary(60)", "longblob", "enum('a','7','t')", "set('a','7')"),
    *("uuid", "inet4", "inet6", "json", "geometry"),
)
WHOLE = COLUMNS[:7]
DECIMALS = COLUMNS[7:10]
STRINGS = tuple(one for one in COLUMNS if one.startswith(("char", "varchar")) or "text" in one)
TEXTS = (*(one for one in STRINGS if not one.startswith("char")), "json")
BLOBS = ("varbinary(60)", "longblob")
LABELS = COLUMNS[-7:-5]
NUMBERS = ["0", "-0", "7", "-7", "9", "127", "128", "-128", "255", "32767", "-32768", "65536"]
LONG = ["9223372036854775807", "-9223372036854775808", "9007199254740993"]
FRACTIONS = ["0.5", "-0.25", "1.005", "99999999.99", "1234567890123456789.01", "NaN", "1e400"]
DAYS = ["2024-01-01", "1000-01-01", "0001-01-01", "9999-12-31", "infinity", "0044-03-15 BC"]
TIMES = ["00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.5"]
TEXTUAL = ["", " ", "a", "a ", "A", "a,7", "7,a", "7", "1", "t", "abc", "abcd", "abc   ", "1e3"]
TEXTUAL += [
    "2024-01-01",
    "12:00",
    "0x41",
    "\0",
    "é",
    "日",
    "😀",
    "x" * 300,
    "1.2.3.4",
    "{}",
    "[1 ]",
]

Taken = tuple[str, str, list[str], tuple[str, ...]]
TAKEN: list[Taken] = [
    (
        *("smallint", "", NUMBERS),
        (*WHOLE, *DECIMALS, "float", "double", *STRINGS, "json", *LABELS),
    ),
    (
        *("integer", "mysql:mediumint unsigned", [*NUMBERS, "2147483647", "-2147483648"]),
        (*WHOLE, *DECIMALS, "double", *STRINGS, "json", *LABELS),
    ),
    ("bigint", "", [*NUMBERS, *LONG], (*WHOLE, *DECIMALS, *STRINGS, "json", *LABELS)),
    (
        *("numeric(20,0)", "mysql:bigint unsigned", ["18446744073709551615", *NUMBERS, "NaN"]),
        (*WHOLE, *DECIMALS, *STRINGS, "json", *LABELS),
    ),
    (
        *("numeric(15,0)", "", ["7", "999999999999999", "-999999999999999", "NaN"]),
        (*WHOLE, *DECIMALS, "double", *STRINGS, "json", *LABELS),
    ),
    ("numeric(21,2)", "", [*NUMBERS, *FRACTIONS], (*DECIMALS, *STRINGS, "json")),
    ("numeric", "", [*NUMBERS, *FRACTIONS, "1." + "3" * 40], (*DECIMALS, *STRINGS, "json")),
    (
        *("real", "", ["0", "0.1", "3.4028235e+38", "1e-45", "1.5", "16777216", "NaN", "Infinity"]),
        ("float", "double", *STRINGS, "json"),
    ),
    (
        *(
            "double precision",
            "",
            ["0", "0.1", "1e+22", "1.7976931348623157e+308", "5e-324", "1.5"],
        ),
        (*DECIMALS, "double", *STRINGS, "json"),
    ),
    ("boolean", "", ["t", "f", "true"], (*WHOLE, *DECIMALS, *COLUMNS[10:12], *COLUMNS[13:16])),
    (
        *("bit(9)", "", ["000000000", "000000001", "011111111", "111111111"]),
        (*WHOLE, *DECIMALS, *COLUMNS[13:16], *STRINGS, "json"),
    ),
    ("date", "", DAYS, ("date", *COLUMNS[18:21], *STRINGS, "json")),
    (
        *("timestamp(6) without time zone", ""),
        [*DAYS, *(f"2024-01-01 {one}" for one in TIMES), "9999-12-31 23:59:59.999999"],
        ("date", "datetime(6)", *STRINGS, "json"),
    ),
    (
        *("timestamp(3) without time zone", "", ["2024-01-01 00:00:00", "2024-01-01 11:00:00.125"]),
        ("date", "datetime(3)", "datetime(6)", *STRINGS, "json"),
    ),
    (
        *("timestamp(0) with time zone", "mysql:timestamp(0)"),
        ["2024-01-01 00:00:00+00", "1970-01-01 00:00:00+00", "2500-01-01 00:00:00+00", "infinity"],
        (*COLUMNS[18:21], "timestamp null", "timestamp(6) null"),
    ),
    ("time without time zone", "", TIMES, ("time(6)", *STRINGS, "json")),
    (
        *("interval(0)", "mysql:time(0)", ["838:59:59", "-838:59:59", "00:00:00", "-00:00:01"]),
        ("time", "time(6)", *STRINGS, "json"),
    ),
    ("interval", "", ["1 day", "1 mon -1 days", "-00:00:01"], (*TEXTS, *BLOBS, *LABELS)),
    (
        *("smallint", "mysql:year", ["0", "1901", "2155"]),
        (*WHOLE, *DECIMALS, "double", "year", *STRINGS, "json"),
    ),
    ("text", "", TEXTUAL, (*TEXTS, *BLOBS, *LABELS)),
    ("character varying(5)", "mysql:varchar(5)", TEXTUAL, (*TEXTS, *BLOBS, *LABELS)),
    ("integer[]", "", ["{1,2}", "{}"], (*TEXTS, *BLOBS, *LABELS)),
    (
        *("text", "mysql:char(5)", [one for one in TEXTUAL if not one.endswith(" ")]),
        (*STRINGS, "json", *BLOBS, *LABELS),
    ),
    (
        *("character(9)", "", ["a        ", "7        ", "日本       ", "\\       "]),
        (*STRINGS, "json", *BLOBS, *LABELS),
    ),
    ("uuid", "", ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"], (*STRINGS, "json", "uuid")),
    ("jsonb", "", ['{"a": [1, "ü😀", null, 1.50]}', "7", "null", '"x"', "{}"], TEXTS),
    ("bytea", "", ["\\x", "\\x00", "\\x41420000", "\\xff", "\\x" + "20" * 70], BLOBS),
    ("bytea", "mysql:binary(4)", ["\\x41420000", "\\x00000000"], (*BLOBS, "binary(4)")),
]


@pytest.mark.parametrize(
    ("kind", "native", "values", "taken"), TAKEN, ids=[f"{one[0]}-{one[1]}" for one in TAKEN]
)
def test_what_is_taken_arrives_unchanged_or_is_refused_by_the_server(
    kind: str,
    native: str,
    values: list[str],
    taken: tuple[str, ...],
    maria_harness: MariadbHarness,
    several: Tables,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = several(kind, native, at(maria_harness, kind, taken))
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 0)
    sink = opened(maria_harness, *tables.values())
    writers = dict(sink._writers)  # type: ignore[attr-defined]
    for ddl, wanted in tables.items():
        left = dict(enumerate([*values, None]))
        while left:
            given = [upsert(str(n), value) for n, value in left.items()]
            try:
                sink.write([changes(wanted, *given, fresh=True)])
                break
            except TargetRefused as refused:
                del left[list(left)[refused.seq]]  # type: ignore[attr-defined]
                sink.rollback()
                sink._writers.update(writers)  # type: ignore[attr-defined]
        for singly_max in (0, 1000):
            monkeypatch.setattr(module, "SINGLY_ROWS_MAX", singly_max)
            apply(sink, 1, changes(wanted, *given))
            shown = {"bit": "bin(v)", "float": "cast(v as double)"}.get(ddl.partition("(")[0], "v")
            name = quoted_table(wanted.table)
            found = dict(maria_harness.execute(f"select id, {shown} from {name}"))
            assert found.keys() == left.keys()
            altered = [(left[n], found[n]) for n in left if not same(kind, left[n], found[n])]
            assert not altered, ddl
        maria_harness.execute(f"delete from {name}")
        assert len(left) > 1 or ddl in MAY_BE_EMPTY, f"nothing went into {ddl}"


def at(harness: MariadbHarness, kind: str, columns: Iterable[str]) -> list[str]:
    """Those of `columns` that take a `kind` at the server. MySQL's JSON is no text, and what it
    keeps has a test of its own; and a moment just before midnight becomes another day there."""
    if harness.product is not MYSQL:
        return list(columns)
    others = {*unknown(harness), "json"}
    if kind.endswith("without time zone") and kind.startswith("timestamp"):
        others.add("date")
    return [one for one in columns if one not in others]


def not_taken(harness: MariadbHarness, kind: str, taken: list[str]) -> list[str]:
    others = unknown(harness)
    if harness.product is MYSQL and kind == "jsonb":
        others.add("json")
    return [one for one in COLUMNS if one not in taken and one not in others]


def unknown(harness: MariadbHarness) -> set[str]:
    if harness.product is MYSQL:
        return {"uuid", "inet4", "inet6"}
    return {"uuid", "inet4"} if version_of(harness.server) < (10, 10) else set()


MAY_BE_EMPTY = (*LABELS, "json", "char(3)", "varchar(3)", "bit(1)")
"""What takes none of some family's values above."""


def same(kind: str, sent: str | None, found: object) -> bool:
    """Whether it is the same value, by Python's own reading of both."""
    if sent is None or found is None:
        return sent is found
    if isinstance(found, bytes):
        plain = bytes.fromhex(sent[2:]) if kind == "bytea" else sent.rstrip(" ").encode()
        return found == (plain if kind in ("bytea", "character(9)") else sent.encode())
    if kind == "real":
        return struct.pack("f", float(sent)) == struct.pack("f", float(str(found)))
    if kind == "double precision":
        return float(sent) == float(str(found))
    if kind == "boolean":
        return Decimal(str(found)) == (sent[0] == "t")
    if kind == "bit(9)":
        return found == sent or int(sent, 2) in (
            int(str(found), 2) if set(str(found)) <= {"0", "1"} else -1,
            Decimal(str(found)),
        )
    if isinstance(found, (int, float, Decimal)):
        return Decimal(sent) == (Decimal(str(found)) if isinstance(found, float) else found)
    if isinstance(found, datetime):
        return found == datetime.fromisoformat(sent).replace(tzinfo=None)
    if isinstance(found, date):
        return datetime.fromisoformat(sent) == datetime(found.year, found.month, found.day)
    if isinstance(found, timedelta):
        hours, minutes, seconds = sent.lstrip("-").split(":")
        size = timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))
        return found == (-size if sent.startswith("-") else size)
    return str(found) == (sent.rstrip(" ") if kind == "character(9)" else sent)


@pytest.mark.parametrize(
    ("kind", "native", "values", "taken"), TAKEN, ids=[f"{one[0]}-{one[1]}" for one in TAKEN]
)
def test_what_could_arrive_as_another_value_is_refused_before(
    kind: str,
    native: str,
    values: list[str],
    taken: tuple[str, ...],
    maria_harness: MariadbHarness,
    several: Tables,
) -> None:
    here = at(maria_harness, kind, taken)
    tables = several(kind, native, not_taken(maria_harness, kind, here))
    connection = connect(maria_harness.url, "line", maria_harness.product)
    fixes = {}
    for ddl, wanted in tables.items():
        with pytest.raises(TargetRefused) as raised:
            verify(connection, wanted, IS_TABLE)
        if ddl not in ("uuid", "inet4", "inet6", "geometry"):  # the server makes no others of these
            fix = raised.value.fix or ""
            fixes[fix.replace(quoted_table(wanted.table), "…")] = ddl, fix
    for ddl, fix in fixes.values():  # most are alike: once is enough
        execute(connection, fix)
        verify(connection, tables[ddl], IS_TABLE)
        execute(connection, f"drop table {quoted_table(tables[ddl].table)}")
        execute(connection, f"create table {made(ddl)}")
    connection.close()


IS_TABLE = ("BASE TABLE", "InnoDB")


@pytest.mark.parametrize(
    ("kind", "ddl", "told"),
    [
        ("numeric(6,2)", "v int", "would be rounded"),
        ("numeric", "v bigint", "would be rounded"),
        ("double precision", "v int", "would be rounded"),
        ("double precision", "v double(9,2)", "would be rounded"),
        ("double precision", "v float", "would lose digits"),
        ("bigint", "v double", "would lose digits"),
        ("smallint", "v year", "years of two digits"),
        ("bytea", "v binary(4)", "would be padded"),
        ("text", "v char(9)", "lose spaces"),
        ("timestamp without time zone", "v timestamp(6) null", "time zone of whoever reads"),
        ("text", "v int", "could become others"),
    ],
)
def test_a_refusal_says_what_would_happen(
    kind: str, ddl: str, told: str, maria_harness: MariadbHarness
) -> None:
    make(maria_harness, ddl)
    sink = maria_harness.sink()
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match=told):
        sink.prepare([table(kind)])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("kind", "native", "ddl", "value", "shown"),
    [
        ("numeric(6,0)", "", "v int", "7", "7"),
        ("boolean", "", "v bit(1)", "t", "\x01"),
        ("boolean", "", "v bit(1)", "f", "\0"),
        ("smallint", "mysql:year", "v year", "0", "0000"),
        ("smallint", "mysql:year", "v year", "2155", "2155"),
        ("bytea", "mysql:binary(4)", "v binary(4)", "\\x41420000", "AB\0\0"),
        ("double precision", "", "v varchar(40)", "1e+22", "1e+22"),
        ("timestamp(3) without time zone", "", "v varchar(40)", "2024-01-01 11:00:00.5", None),
        ("date", "", "v datetime", "2024-01-01", "2024-01-01 00:00:00"),
        ("text", "", "v enum('a', 'it''s', '7')", "it's", None),
        ("text", "", "v enum('a', 'it''s', '7')", "7", None),
        ("text", "", "v set('a', 'b')", "a,b", None),
        ("text", "", "v set('a', 'b')", "", None),
        *(
            (
                "text",
                "",
                f"v {kind}('x😀', 'x?', '\\\\', 'l\\nf', 'a\\\\n', '\\'') collate utf8mb4_bin",
                label,
                None,
            )
            for kind in ("enum", "set")
            for label in ("x😀", "x?", "\\", "l\nf", "a\\n", "'")
        ),
        ("text", "", "v set('😀', '\\\\') collate utf8mb4_bin", "😀,\\", None),
        ("text", "", "v varchar(20) character set latin1", "é", None),
    ],
)
def test_values_arrive_as_they_were(
    kind: str, native: str, ddl: str, value: str, shown: str | None, maria_harness: MariadbHarness
) -> None:
    make(maria_harness, ddl)
    wanted = table(kind, native)
    sink = opened(maria_harness, wanted)
    for offset, fresh in ((1, True), (2, False)):
        apply(sink, offset, changes(wanted, upsert("1", value), upsert("2", None), fresh=fresh))
        assert maria_harness.rows(wanted) == {("1", value if shown is None else shown), ("2", None)}


@pytest.mark.parametrize("kind", ["enum", "set"])
def test_labels_that_the_catalog_does_not_show_are_written_as_sets(
    kind: str, maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 0)
    make(maria_harness, f"v {kind}('x😀', 'x?') collate utf8mb4_bin")
    wanted = table("text")
    sink = opened(maria_harness, wanted)
    monkeypatch.setattr(sink, "in_order", None)
    apply(sink, 1, changes(wanted, upsert("1", "x😀"), upsert("2", "x?")))
    apply(sink, 2, changes(wanted, upsert("2", "x😀"), upsert("3", None)))
    assert maria_harness.rows(wanted) == {("1", "x😀"), ("2", "x😀"), ("3", None)}


@only_mariadb
@pytest.mark.usefixtures("way")
def test_a_uuid_may_have_its_own_type(maria_harness: MariadbHarness) -> None:
    needs(maria_harness.server, (10, 7), "UUID")
    make(maria_harness, "v uuid")
    wanted = table("uuid")
    apply(opened(maria_harness, wanted), 1, changes(wanted, upsert("1", UUID)))
    assert maria_harness.rows(wanted) == {("1", UUID)}


@only_mysql
@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('{"b": [1.10, null], "a":"x"}', '{"a": "x", "b": [1.1, null]}'),
        ("18446744073709551615", None),
        ("-9223372036854775808", None),
        ("1e400", ""),
        ("12345678901234567890123", ""),
        ("9007199254740993.0", ""),
        ('{"d": 0.1234567890123456789}', ""),
        ('{"a": 1, "a": 1}', ""),
        ('{"a": s3cret}', ""),
    ],
)
def test_a_json_column_keeps_the_value_or_refuses_it(
    value: str, shown: str | None, maria_harness: MariadbHarness
) -> None:
    """It has doubles for numbers, and one member a name. `shown`: "" where it is refused."""
    make(maria_harness, "v json")
    wanted = table("jsonb")
    sink = opened(maria_harness, wanted)
    for offset, fresh in ((1, True), (2, False)):
        given = changes(wanted, upsert("1", None), upsert("2", value), fresh=fresh)
        if shown != "":
            apply(sink, offset, given)
            assert maria_harness.rows(wanted) == {("1", None), ("2", shown or value)}
            continue
        with pytest.raises(TargetRefused) as raised:
            sink.write([given])
        assert raised.value.seq == 1  # type: ignore[attr-defined]
        assert raised.value.where["errno"] == 3140
        assert raised.value.where["column"] == "v"
        assert value not in str(raised.value)
        sink.rollback()
        sink.prepare([wanted])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("kind", "ddl", "value"),
    [
        ("text", "v enum('a', 'b')", "1"),
        ("text", "v enum('a', 'b')", "A"),
        ("text", "v enum('a', 'b')", ""),
        ("text", "v set('a', 'b')", "3"),
        ("text", "v set('a', 'b')", "a,c"),
        ("text", "v varchar(20) character set latin1", "日"),
        ("timestamp without time zone", "v date", "2024-01-01 11:00:00"),
        ("double precision", "v decimal(10,3)", "0.12345"),
        ("text", "v set('a', 'b')", "b,a"),
        ("text", "v enum('x😀', '1')", "x😁"),
        ("text", "v enum('x😀', '1') collate utf8mb4_bin", "x😁"),
        ("text", "v set('x😀', '1') collate utf8mb4_bin", "x😁"),
        ("text", "v enum('x😀', '1')", "x?"),
        ("text", "v set('x😀', '1')", "1,x😀"),
        ("text", "v set('a', 'b')", "a,a"),
    ],
)
def test_values_that_would_become_others_are_refused(
    kind: str, ddl: str, value: str, maria_harness: MariadbHarness
) -> None:
    if maria_harness.product is MYSQL and ddl == "v date":
        pytest.skip("refused before, since MySQL rounds")
    make(maria_harness, ddl)
    wanted = table(kind)
    sink = opened(maria_harness, wanted)
    for fresh in (True, False):
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(wanted, upsert("1", None), upsert("2", value), fresh=fresh)])
        assert raised.value.seq == 1  # type: ignore[attr-defined]
        assert len(value) < 4 or value not in str(raised.value)
        sink.rollback()
        sink.prepare([wanted])


@pytest.mark.usefixtures("way")
def test_singles_keep_all_their_digits(maria_harness: MariadbHarness) -> None:
    wanted = table("real")
    sink = opened(maria_harness, wanted)
    texts = ["3.4028235e+38", "-3.4028235e+38", "1e-45", "0.1", "16777217"]
    given = [upsert(str(n), text) for n, text in enumerate(texts)]
    apply(sink, 1, changes(wanted, *given))
    found = maria_harness.execute("select cast(v as double) from shop.x order by id")
    largest = (2 - 2**-23) * 2.0**127
    assert found == [(largest,), (-largest,), (2**-149,), (0.10000000149011612,), (16777216.0,)]


@pytest.mark.usefixtures("way")
def test_what_is_not_sent_does_not_take_the_present_time(maria_harness: MariadbHarness) -> None:
    maria_harness.execute(
        "create database shop",
        "create table shop.x (id int primary key, v text,"
        " at timestamp(6) null default null on update current_timestamp(6))",
    )
    wanted = TargetTable(
        TableName("shop", "x"),
        (
            TargetColumn("id", "integer", nullable=False),
            TargetColumn("v", "text"),
            TargetColumn("at", "timestamp with time zone"),
        ),
        ("id",),
    )
    sink = opened(maria_harness, wanted)
    apply(sink, 1, changes(wanted, upsert("1", "a", "2024-01-01 00:00:00+00")))
    apply(sink, 2, changes(wanted, upsert("1", "b", NOT_SENT)))
    assert maria_harness.execute("select v, cast(at as char) from shop.x") == [
        ("b", "2024-01-01 00:00:00.000000")
    ]


@pytest.mark.usefixtures("way")
def test_a_null_takes_no_number_of_a_column_that_counts(maria_harness: MariadbHarness) -> None:
    make(maria_harness, "v int not null auto_increment, unique (v)")
    wanted = table("integer")
    sink = opened(maria_harness, wanted)
    apply(sink, 1, changes(wanted, upsert("1", "7")))
    for fresh in (True, False):
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(wanted, upsert("1", "8"), upsert("2", None), fresh=fresh)])
        assert raised.value.where["column"] == "v"
        sink.rollback()
        sink.prepare([wanted])
    assert maria_harness.execute("select id, v from shop.x") == [(1, 7)]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("ddl", ["decimal(30,0)", "decimal(30,5)", "varchar(40)"])
def test_keys_of_many_digits_are_told_apart(ddl: str, maria_harness: MariadbHarness) -> None:
    """Compared as doubles they would be one."""
    maria_harness.execute(
        "create database shop", f"create table shop.x (id {ddl} primary key, v int)"
    )
    wanted = TargetTable(
        TableName("shop", "x"),
        (TargetColumn("id", "numeric(30,0)", nullable=False), TargetColumn("v", "integer")),
        ("id",),
    )
    sink = opened(maria_harness, wanted)
    keys = [str(10**20 + n) for n in range(4)]
    apply(sink, 1, changes(wanted, *(upsert(key, "1") for key in keys)))
    apply(sink, 2, changes(wanted, upsert(keys[1], "2"), delete(keys[2], None)))
    apply(sink, 3, changes(wanted, (UPSERT, (str(10**21), "3"), (keys[3],))))
    found = maria_harness.execute("select cast(id as decimal(30,0)), v from shop.x order by 1")
    assert found == [(10**20, 1), (10**20 + 1, 2), (10**21, 3)]


@only_mariadb
@pytest.mark.usefixtures("way")
def test_json_of_too_many_levels_is_refused_with_advice(maria_harness: MariadbHarness) -> None:
    wanted = table("jsonb")
    sink = opened(maria_harness, wanted)
    levels = {n: "[" * n + "]" * n for n in (31, 32)}
    apply(sink, 1, changes(wanted, upsert("1", levels[31])))
    for fresh in (True, False):
        with pytest.raises(TargetRefused) as raised:
            sink.write([changes(wanted, upsert("2", levels[32]), fresh=fresh)])
        assert "at most 31 levels" in (raised.value.fix or "")
        sink.rollback()
        sink.prepare([wanted])
    maria_harness.execute((raised.value.fix or "").partition(", ")[2])
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([wanted])
    apply(sink, 2, changes(wanted, upsert("2", levels[32])))
    assert maria_harness.rows(wanted) == {("1", levels[31]), ("2", levels[32])}
