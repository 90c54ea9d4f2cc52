"""Every type's edge values and many random ones, held against what the server itself prints."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import pytest

from cdc.mysql.decode import BinlogDecoder
from cdc.mysql.withheld import leaves_out
from tailrace.errors import DecodeError
from tests.cdc.mysql.binlogs import charsets, split
from tests.maria import Maria, both, needs


@dataclass(frozen=True)
class Case:
    """`shown`: SQL for the text expected of column {0}."""

    type: str
    values: tuple[str, ...]
    shown: str = "cast({0} as char)"
    pg_type: str = "text"
    mysql: bool = True  # whether MySQL has it, too
    since: tuple[int, int] = (10, 5)  # of MariaDB


def _integers(bits: int, signed: bool) -> tuple[str, ...]:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    chance = random.Random(bits + signed)
    return tuple(map(str, [low, high, 0, 1, low + 1, high - 1])) + tuple(
        str(chance.randint(low, high)) for _ in range(50)
    )


def _decimals(precision: int, scale: int) -> tuple[str, ...]:
    chance = random.Random(precision * 100 + scale)
    found = ["0", "-0", "1" if precision > scale else "0"]
    for _ in range(60):
        digits = chance.choice([precision, chance.randint(1, precision)])
        number = chance.choice(["", "-"]) + str(chance.randrange(10**digits))
        found.append(f"{number}e-{scale}")
    return tuple(f"cast({value} as decimal({precision},{scale}))" for value in found)


def _texts(*values: str) -> tuple[str, ...]:
    return tuple("'" + value.replace("\\", "\\\\").replace("'", "''") + "'" for value in values)


def _times(digits: int) -> tuple[str, ...]:
    fraction = f".{'9' * digits}" if digits else ""
    small = f".{'0' * (digits - 1)}1" if digits else ""
    return _texts(
        "00:00:00",
        f"838:59:58{fraction}",
        f"-838:59:58{fraction}",
        f"-00:00:00{small}",
        f"-00:00:01{small}",
        f"-01:00:00{fraction}",
        f"23:59:59{small}",
        f"100:00:00{fraction}",
    )


def _moments(digits: int) -> tuple[str, ...]:
    fraction = f".{'9' * digits}" if digits else ""
    small = f".{'0' * (digits - 1)}1" if digits else ""
    return _texts(
        f"1970-01-01 00:00:01{small}",
        f"2000-02-29 12:00:00{fraction}",
        "2038-01-19 03:14:07",
        f"1999-12-31 23:59:59{fraction}",
        "2024-03-01 00:00:00",
        f"2024-02-29 23:59:59{small}",
        "0000-00-00 00:00:00",
    )


DATETIMES = _texts(
    "0000-00-00", "1000-01-01", "9999-12-31", "2024-02-29", "2024-00-00", "0001-01-01"
)
CASES = [
    *(
        Case(f"{name} unsigned" if not signed else name, _integers(bits, signed), pg_type=pg)
        for name, bits, signed, pg in (
            ("tinyint", 8, True, "smallint"),
            ("tinyint", 8, False, "smallint"),
            ("smallint", 16, True, "smallint"),
            ("smallint", 16, False, "integer"),
            ("mediumint", 24, True, "integer"),
            ("mediumint", 24, False, "integer"),
            ("int", 32, True, "integer"),
            ("int", 32, False, "bigint"),
            ("bigint", 64, True, "bigint"),
            ("bigint", 64, False, "numeric(20,0)"),
        )
    ),
    *(
        Case(f"decimal({p},{s})", _decimals(p, s), pg_type=f"numeric({p},{s})", mysql=s <= 30)
        for p, s in (
            (1, 0),
            (9, 0),
            (10, 0),
            (9, 9),
            (10, 10),
            (65, 30),
            (65, 0),
            (38, 38),
            (18, 9),
            (12, 2),
            (27, 13),
        )
    ),
    *(
        Case(
            f"bit({n})", ("0", "1", str((1 << n) - 1)), f"lpad(bin({{0}}+0), {n}, '0')", f"bit({n})"
        )
        for n in (1, 7, 8, 9, 33, 64)
    ),
    Case("year", ("1901", "2155", "2000", "0"), "cast({0}+0 as char)", "smallint"),
    Case("date", DATETIMES, pg_type="date"),
    *(
        Case(
            f"datetime({n})",
            (*DATETIMES, *_moments(n)),
            pg_type=f"timestamp({n}) without time zone",
        )
        for n in range(7)
    ),
    *(
        Case(
            f"timestamp({n}) null",
            _moments(n),
            "concat(cast({0} as char), if({0} = 0, '', '+00'))",
            f"timestamp({n}) with time zone",
        )
        for n in range(7)
    ),
    Case(
        "timestamp(6) null default null",
        _texts("2038-01-19 03:14:08.000001", "2106-02-07 06:28:15.999999"),
        "concat(cast({0} as char), '+00')",
        "timestamp(6) with time zone",
        mysql=False,
        since=(11, 5),
    ),
    *(Case(f"time({n})", _times(n), pg_type=f"interval({n})") for n in range(7)),
    Case("char(20)", _texts("", "ab", "trailing  ", "häß €", "\\ ' \t\n", "🐘")),
    Case("varchar(300)", _texts("", "x" * 300, "ä" * 255, "\\N")),
    Case("varchar(20) character set latin1", _texts("", "Müller", "€uro ÿ", "abc")),
    Case("varchar(20) character set cp1251", _texts("Привет", "abc")),
    Case("char(9) character set ucs2", _texts("", "häß", "中文")),
    Case("varchar(9) character set utf16", _texts("", "🐘 ä")),
    Case("varchar(9) character set gbk", _texts("", "中文a")),
    Case("varchar(9) character set sjis", _texts("", "日本語")),
    Case("varchar(9) character set utf8mb3", _texts("", "中文a")),
    Case("varchar(9) character set ascii", _texts("", "abc")),
    *(Case(t, _texts("", "ab", "ä" * 200)) for t in ("tinytext", "text", "mediumtext", "longtext")),
    *(
        Case(
            t,
            ("''", "x'00ff'", "x'ff0000'", "x'5c6e'"),
            "concat('\\\\x', lower(hex({0})))",
            "bytea",
        )
        for t in (
            "binary(7)",
            "binary(3)",
            "varbinary(9)",
            "tinyblob",
            "blob",
            "mediumblob",
            "longblob",
        )
    ),
    Case("binary(255)", ("''", "x'01'"), "concat('\\\\x', lower(hex({0})))", "bytea"),
    Case("enum('a','ö','','it''s')", _texts("a", "ö", "", "it's")),
    Case("enum('a','ö') character set latin1", _texts("a", "ö")),
    Case("set('x','ü','z')", _texts("", "x", "ü,z", "x,ü,z")),
    Case(
        "uuid",
        _texts(
            "00112233-4455-6677-8899-aabbccddeeff",
            "00112233-4455-1677-8899-aabbccddeeff",
            "fd46f5b0-7a6b-11ee-b962-0242ac120002",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "12000000-0000-0000-0000-000000000000",
        ),
        pg_type="uuid",
        mysql=False,
        since=(10, 7),
    ),
    Case(
        "inet4",
        _texts("1.2.3.4", "0.0.0.0", "255.255.255.255"),
        pg_type="inet",
        mysql=False,
        since=(10, 10),
    ),
    Case(
        "vector(3)",
        ("vec_fromtext('[1, -2.5, 3e8]')", "vec_fromtext('[0, 0, 0]')", "repeat(x'20', 12)"),
        "concat('\\\\x', lower(hex({0})))",
        pg_type="bytea",
        mysql=False,
        since=(11, 7),
    ),
    Case(
        "inet6",
        _texts(
            *("::", "::1", "2001:db8::1", "::ffff:1.2.3.4", "::1.2.3.4", "::ffff:0:1.2.3.4"),
            *(
                "1:0:0:2:0:0:0:3",
                "1:0:2:3:4:5:6:7",
                "fe80::",
                "1:2:3:4:5:6:7:8",
                "64:ff9b::1.2.3.4",
            ),
        ),
        pg_type="inet",
        mysql=False,
    ),
    *(
        Case(
            f"{name} compressed{charset}",
            values,
            "cast({0} as char)" if kind == "text" else "concat('\\\\x', lower(hex({0})))",
            kind,
            mysql=False,
        )
        for name, charset, kind, values in (
            ("varchar(300)", "", "text", _texts("", "x", "ä" * 300, "abc" * 100)),
            ("varchar(255)", " character set latin1", "text", _texts("", "Müller", "ü" * 255)),
            ("varchar(254)", " character set latin1", "text", _texts("", "ü" * 254)),
            ("varchar(90)", " character set ucs2", "text", _texts("", "中文", "ä" * 90)),
            ("tinytext", "", "text", _texts("", "x", "y" * 250)),
            ("text", "", "text", _texts("", "x", "ä" * 20_000)),
            ("mediumtext", "", "text", _texts("", "x", "y" * 70_000)),
            ("longtext", "", "text", _texts("", "x", "y" * 70_000)),
            ("varbinary(300)", "", "bytea", ("''", "x'00'", "repeat(x'00ff', 150)")),
            ("blob", "", "bytea", ("''", "x'00'", "repeat(x'00ff', 5000)")),
        )
    ),
    *(
        Case(name, tuple(f"ST_GeomFromText('{text}')" for text in texts), "hex(ST_AsBinary({0}))")
        for name, texts in (
            ("geometry", ("POINT(1 2)", "LINESTRING(0 0,1 -1.5)", "GEOMETRYCOLLECTION EMPTY")),
            ("point", ("POINT(0 0)", "POINT(-1e300 1e-300)")),
            ("linestring", ("LINESTRING(0 0,10 10,20 5)",)),
            ("polygon", ("POLYGON((0 0,10 0,10 10,0 10,0 0),(5 5,7 5,7 7,5 7,5 5))",)),
            ("multipoint", ("MULTIPOINT((0 0),(1 1))",)),
            ("multilinestring", ("MULTILINESTRING((0 0,1 1),(2 2,3 3))",)),
            ("multipolygon", ("MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))",)),
            ("geometrycollection", ("GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1 1))",)),
        )
    ),
    Case("json", _texts('{"a": [1, null, "ä"]}', "null", "[]")),
]


@both
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_a_type(case: Case, maria: Maria) -> None:
    if maria.kind == "mysql" and not case.mysql:
        pytest.skip("not a type of MySQL's")
    needs(maria.server, case.since, "this type")
    mode = "set session sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'"
    maria.execute(f"create table t (id int auto_increment primary key, v {case.type})")
    maria.execute(
        mode, *(f"insert into t (v) values ({value})" for value in (*case.values, "null"))
    )
    (found,) = maria.changes(chronicle=maria.chronicle())
    (table,) = found.tables
    wanted = maria.execute(mode, f"select {case.shown.format('v')} from t order by id")
    pg_type = "json" if case.type == "json" and maria.kind == "mysql" else case.pg_type
    assert table.schema.columns[1].type == pg_type
    assert table.new[1].to_pylist() == [text for (text,) in wanted]


@both
def test_floats_are_the_shortest_that_read_back(maria: Maria) -> None:
    chance = random.Random(1)
    singles = [struct.unpack("<f", chance.randbytes(4))[0] for _ in range(300)]
    doubles = [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(300)]
    pairs = [
        (single, double)
        for single, double in zip(singles, doubles, strict=True)
        if single == single
        and double == double
        and abs(single) != float("inf")
        and abs(double) != float("inf")
    ]
    pairs += [(0.1, 0.1), (16777216.0, 1e16), (3.4028234663852886e38, 1.7976931348623157e308)]
    maria.execute("create table t (id int auto_increment primary key, f float, d double)")
    maria.execute(
        *(f"insert into t (f, d) values ({single!r}, {double!r})" for single, double in pairs)
    )
    (found,) = maria.changes()
    _, single_texts, double_texts = (column.to_pylist() for column in found.tables[0].new)
    for (single, double), one, other in zip(pairs, single_texts, double_texts, strict=True):
        assert struct.pack("<f", float(one)) == struct.pack("<f", single)
        assert len(one.lstrip("-").replace(".", "").partition("e")[0].strip("0")) <= 9
        assert float(other) == double
    assert single_texts[-3:-1] == ["0.1", "16777216"]
    assert double_texts[-3:-1] == ["0.1", "1e+16"]


@both
def test_a_geometry_keeps_its_reference_system(maria: Maria) -> None:
    """EWKB as PostGIS has it: a flag in the type, the SRID behind it, x before y."""
    maria.execute(
        "create table t (id int primary key, g geometry, l varchar(9) character set latin1,"
        " p point, u varchar(9) character set utf8mb4)",
        "insert into t values (1, ST_GeomFromText('POINT(1 2)', 3857), 'ä',"
        " ST_GeomFromText('POINT(3 4)'), 'ö')",
    )
    (found,) = maria.changes()
    one, two = "000000000000F03F", "0000000000000040"
    assert [column[0].as_py() for column in found.tables[0].new] == [
        "1",
        f"0101000020110F0000{one}{two}",
        "ä",
        "010100000000000000000008400000000000001040",
        "ö",
    ]


def test_character_sets_beside_a_geometry_are_compared(maria: Maria) -> None:
    """As if a version counted them otherwise than those that were looked at."""
    maria.execute(
        "create table t (id int primary key, g geometry, l varchar(9) character set latin1,"
        " u varchar(9) character set utf8mb4)",
        "insert into t values (1, null, 'ä', 'ö')",
    )
    decoder = BinlogDecoder(
        lambda table: table.schema == maria.name,
        charsets(maria.server),
        shape_of=maria.shapes().get,
    )
    first, *events = split(maria.log())
    decoder.feed(first)
    decoder._shapes.is_mariadb = False
    with pytest.raises(DecodeError, match="different character sets") as raised:
        [decoder.feed(event) for event in events]
    assert raised.value.where["column"] in "lu"


@both
def test_generated_and_invisible_columns(maria: Maria) -> None:
    stored = "persistent" if maria.kind == "mariadb" else "stored"
    maria.execute(
        "create table t (id int primary key, a int, p int generated always as (a + 1) "
        f"{stored}, v varchar(9) generated always as (concat('x', a)) virtual,"
        " i int invisible, d int invisible default 7)",
        "insert into t (id, a, i) values (1, 10, 3)",
        "update t set a = 11",
        "insert into t (id) values (2)",
        "delete from t where id = 2",
    )
    (found,) = maria.changes()
    rows = list(zip(*(column.to_pylist() for column in found.tables[0].new), strict=True))
    expected: list[tuple[str | None, ...]] = [
        ("1", "10", "11", "x10", "3", "7"),
        ("1", "11", "12", "x11", "3", "7"),
        ("2", None, None, None, None, "7"),
        (None,) * 6,
    ]
    if leaves_out(maria.version):
        expected = [(*row[:2], *row[4:]) for row in expected]
    assert rows == expected
