"""Columns as JSON, held against json, decimal and datetime."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.jsontext import Field, Misfit, Template
from sinks.kafka.plain import field_of as plain_field
from sinks.kafka.values import NotRepresentable, field_of
from transforms.rows import TargetColumn

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encoded(field: Field, texts: list[str | None]) -> list[object]:
    template = Template(len(texts))
    template.open()
    template.value(field, pa.array(texts, pa.string()))
    template.close()
    return [json.loads(text)[field.name] for text in template.texts().to_pylist()]


def debezium(type_: str, *texts: str | None, decimals: str = "precise", native: str = "") -> object:
    column = TargetColumn("x", type_, native=native)
    found = encoded(field_of(column, decimals), list(texts))  # type: ignore[arg-type]
    return found[0] if len(found) == 1 else found


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])))))
def test_texts_are_themselves(texts: list[str | None]) -> None:
    assert encoded(plain_field(TargetColumn('a "name"', "text")), texts) == texts


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3), min_size=1))
def test_decimals_are_their_digits(numbers: list[Decimal]) -> None:
    found = encoded(
        field_of(TargetColumn("x", "numeric(60,3)"), "precise"),
        [f"{number:f}" for number in numbers],
    )
    unscaled = [int.from_bytes(base64.b64decode(str(text)), "big", signed=True) for text in found]
    assert unscaled == [int(f"{number:f}".replace(".", "")) for number in numbers]


@given(st.lists(st.datetimes(min_value=datetime(1, 1, 1)), min_size=1))
def test_moments_are_microseconds(moments: list[datetime]) -> None:
    texts: list[str | None] = [str(moment) for moment in moments]
    micros = [(one.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) for one in moments]
    timestamp = field_of(TargetColumn("x", "timestamp without time zone"), "precise")
    assert encoded(timestamp, texts) == micros
    short = field_of(TargetColumn("x", "timestamp(3) without time zone"), "precise")
    assert encoded(short, texts) == [one // 1000 for one in micros]
    zoned = field_of(TargetColumn("x", "timestamp with time zone"), "precise")
    shown = [f"{one:%Y-%m-%dT%H:%M:%S.%f}Z".rjust(27, "0") for one in moments]
    assert encoded(zoned, [f"{text}+00" for text in texts]) == shown
    days = [(one.date() - date(1970, 1, 1)).days for one in moments]
    assert (
        encoded(
            field_of(TargetColumn("x", "date"), "precise"), [str(one.date()) for one in moments]
        )
        == days
    )


@given(st.lists(st.binary(), min_size=1))
def test_bytes_are_base64(values: list[bytes]) -> None:
    found = encoded(
        field_of(TargetColumn("x", "bytea"), "precise"), ["\\x" + one.hex() for one in values]
    )
    assert [base64.b64decode(str(one)) for one in found] == values


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("boolean", "f", False),
        ("double precision", "NaN", "NaN"),
        ("real", "-Infinity", "-Infinity"),
        ("double precision", "1e+21", 1e21),
        ("time without time zone", "24:00:00", 86_400_000_000),
        ("time(3) without time zone", "12:34:56.789", 45_296_789),
        ("time with time zone", "12:34:56.789+02", "10:34:56.789Z"),
        ("time with time zone", "00:00:00-05:30", "05:30:00Z"),
        ("timestamp without time zone", "infinity", 9_223_372_036_825_200_000),
        ("timestamp with time zone", "-infinity", "-infinity"),
        ("timestamp with time zone", "20260-01-01 00:00:00+00", "+20260-01-01T00:00:00.000000Z"),
        ("timestamp(0) with time zone", "2026-02-03 04:05:06+00", "2026-02-03T04:05:06Z"),
        ("date", "0001-01-01 BC", -719_528),
        ("interval", "1 year 2 mons 3 days 04:05:06.7", 37_091_106_700_000),
        ("interval", "-1 mons -00:00:01", -2_629_801_000_000),
        ("numeric", "3.14159", {"scale": 5, "value": "BMsv"}),
        (
            "numeric",
            "1000000000000000000000000000000",
            {"scale": 0, "value": "DJ8snNBGdO3qQAAAAA=="},
        ),
        ("numeric(5,-2)", "12300", "ew=="),
        ("money", "$1,234.50", "AeI6"),
        ("bit(1)", "1", True),
        ("bit(5)", "10110", "Fg=="),
        ("bit varying(9)", "101", "BQ=="),
        ("integer[]", "{1,NULL,3}", [1, None, 3]),
        ("text[]", '{a,"b c","\\"\\\\","NULL",NULL}', ["a", "b c", '"\\', "NULL", None]),
        ("numeric(5,2)[]", "{1.50,2}", ["AJY=", "AMg="]),
        ("date[]", "{2026-01-01}", [20_454]),
        ("shop.mood", "ok", "ok"),
        ("character(3)", "ab ", "ab "),
    ],
)
def test_rare_forms_are_what_debezium_makes_of_them(type_: str, text: str, value: object) -> None:
    assert debezium(type_, text) == value
    assert debezium(type_, text, None, text) == [value, None, value]


def test_decimals_as_the_target_says() -> None:
    assert debezium("numeric(12,2)", "1234.50", decimals="string") == "1234.50"
    assert debezium("numeric(12,2)", "1234.50", "NaN", decimals="double") == [1234.5, "NaN"]
    assert debezium("numeric(20,0)", "18446744073709551615", native="mysql:bigint unsigned") == (
        18446744073709551615
    )
    assert debezium("interval", "-838:59:59", native="mysql:time(0)") == -3_020_399_000_000


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("date", "infinity"),
        ("numeric(12,2)", "NaN"),
        ("numeric", "Infinity"),
        ("text[]", "{{a,b},{c,d}}"),
        ("integer[]", "[2:3]={1,2}"),
    ],
)
def test_what_has_no_form_is_named(type_: str, text: str) -> None:
    with pytest.raises(Misfit) as raised:
        debezium(type_, None, text)
    assert (raised.value.row, raised.value.field) == (1, "x")


def test_types_that_consumers_expect_as_structures_are_refused() -> None:
    for type_ in ("circle", "geometry", "sparsevec"):
        with pytest.raises(NotRepresentable):
            field_of(TargetColumn("x", type_), "precise")


def test_what_was_not_sent_is_not_there() -> None:
    template = Template(2)
    template.open(np.array([True, False]))
    field = plain_field(TargetColumn("x", "text"))
    template.value(field, pa.array(["a", "b"]), np.array([True, False]))
    template.close()
    assert template.texts().to_pylist() == [b"{}", b"null"]
