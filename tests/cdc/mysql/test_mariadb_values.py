"""Every type's edge values and many random ones, held against what the server itself prints."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import pytest

from tests.maria import Maria, both


@dataclass(frozen=True)
class Case:
    """`shown`: SQL for the text expected of column {0}."""

    type: str
    values: tuple[str, ...]
    shown: str = "cast({0} as char)"
    pg_type: str = "text"
    mysql: bool = True  # whether MySQL has it, too


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
    Case("json", _texts('{"a": [1, null, "ä"]}', "null", "[]")),
]


@both
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.type)
def test_a_type(case: Case, maria: Maria) -> None:
    if maria.kind == "mysql" and not case.mysql:
        pytest.skip("not a type of MySQL's")
    mode = "set session sql_mode = 'NO_ENGINE_SUBSTITUTION', time_zone = '+00:00'"
    maria.execute(f"create table t (id int auto_increment primary key, v {case.type})")
    maria.execute(
        mode, *(f"insert into t (v) values ({value})" for value in (*case.values, "null"))
    )
    (found,) = maria.changes()
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
