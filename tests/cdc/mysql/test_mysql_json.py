"""MySQL's binary JSON against what the server prints of it."""

from __future__ import annotations

import json
import random
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.mysql.jsontext import double_text, json_text
from tailrace.errors import DecodeError
from tests.maria import Maria

DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=200),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=("Cs",)), max_size=20), inner, max_size=8
        )
    ),
    max_leaves=30,
)
mysql_only = pytest.mark.parametrize("maria", ["mysql"], indirect=True)


def printed(maria: Maria, *values: str) -> list[tuple[str | None, str | None]]:
    """(what we read, what the server prints) of each SQL expression."""
    maria.log()
    maria.execute(*(f"insert into t (v) values ({value})" for value in values))
    found = [
        text
        for changes in maria.changes()
        for table in changes.tables
        for text in table.new[1].to_pylist()
    ]
    shown = maria.execute("select cast(v as char) from t order by id")
    maria.execute("delete from t")
    return list(zip(found, (text for (text,) in shown), strict=True))


@pytest.fixture
def table(maria: Maria) -> Maria:
    maria.execute("create table t (id int auto_increment primary key, v json)")
    return maria


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@mysql_only
def test_values_of_sql_inside(table: Maria) -> None:
    expressions = [
        "null",
        "cast('null' as json)",
        "json_object()",
        "json_array()",
        *(f"json_array({number})" for number in ("1.50", "-0.001", "123456789.987654321", "0.0")),
        "json_array(cast('-9999999999999999999999999999.999999999' as decimal(37,9)))",
        "json_array(cast(9 as decimal(65,0)), cast(0.3 as decimal(30,30)))",
        "json_array(date'1000-01-01', date'9999-12-31')",
        "json_array(timestamp'2024-02-29 23:59:59.999999', timestamp'1970-01-01 00:00:00')",
        "json_array(time'-838:59:59', time'838:59:59', time'-00:00:00.000001')",
        "json_array(cast(repeat('ab', 28) as binary), cast(repeat('a', 57) as binary))",
        "json_array(cast(repeat('a', 300) as binary), b'1', x'')",
        "json_array(true, false, null)",
        "json_object('', 1, 'ä\"\\\\/', 2)",
        "json_array(32767, 32768, -32768, -32769, 65535, 65536, 2147483647, -2147483648)",
        "json_array(2147483648, 4294967295, 4294967296, -9223372036854775808)",
        "json_array(18446744073709551615, 9223372036854775808)",
        "json_array(repeat('x', 127), repeat('x', 128), repeat('ä', 20000))",
        "cast(concat('[', repeat('1,', 40000), '2]') as json)",
        "cast(concat('[', repeat('70000,', 40000), '[1]]') as json)",
        "json_object('big', repeat('x', 70000), 'small', 1, 'in', json_object('a', json_array(1)))",
        "cast(concat(repeat('[', 99), repeat(']', 99)) as json)",
    ]
    for (ours, theirs), expression in zip(printed(table, *expressions), expressions, strict=True):
        assert ours == theirs, expression


@mysql_only
def test_numbers(table: Maria) -> None:
    chance = random.Random(3)
    numbers = [
        number
        for number in (struct.unpack("<d", chance.randbytes(8))[0] for _ in range(400))
        if number == number and abs(number) != float("inf")
    ]
    numbers += [
        sign * float(f"{digits}e{exponent}")
        for digits in ("1", "1.5", "1.2345678901234567", "9.999999999999998", "123456789012345")
        for exponent in range(-20, 24)
        for sign in (1, -1)
    ]
    numbers += [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e15, 1e16]
    ((ours, theirs),) = printed(table, f"cast('{json.dumps(numbers)}' as json)")
    assert ours == theirs


@mysql_only
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=20))
def test_random_documents(table: Maria, documents: list[Any]) -> None:
    texts = [_literal(json.dumps(document, ensure_ascii=False)) for document in documents]
    for ours, theirs in printed(table, *texts):
        assert ours == theirs


@given(st.binary(max_size=200) | st.builds(bytes.__add__, st.just(b"\0"), st.binary(max_size=300)))
def test_garbage_raises_only_our_error(raw: bytes) -> None:
    with suppress(DecodeError):
        json_text(raw)


def test_a_document_that_leads_in_circles_ends() -> None:
    """Each of its members is the document itself."""
    member = b"\2\0\0"
    body = member * 200
    raw = b"\2" + struct.pack("<HH", 200, 4 + len(body)) + body
    with pytest.raises(DecodeError, match="deeper or larger"):
        json_text(raw)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none(value: float) -> None:
    with pytest.raises(DecodeError):
        double_text(value)
