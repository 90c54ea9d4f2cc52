from __future__ import annotations

import pytest
from pydantic import ValidationError

from cdc.patterns import Patterns
from cdc.postgres.settings import PostgresSource
from cdc.schema import TableName
from cdc.sizes import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("patterns", "table", "is_in"),
    [
        (["sales.*"], "sales.orders", True),
        (["sales.*"], "sales2.orders", False),
        (["sales.orders"], "sales.orders", True),
        (["sales.orders"], "sales.Orders", False),
        (["*.order?"], "sales.orders", True),
        (["*.order?"], "sales.order", False),
        (["sales.*", "!sales.tmp_*"], "sales.tmp_1", False),
        (["!sales.tmp_*", "sales.*"], "sales.tmp_1", False),
        (['sales."*"'], "sales.orders", False),
        (["sales.a[b]"], "sales.ab", False),
        (["sales.a[b]"], "sales.a[b]", True),
    ],
)
def test_a_pattern_names_tables(patterns: list[str], table: str, is_in: bool) -> None:
    assert Patterns.parse(patterns).matches(TableName(*table.split("."))) is is_in


def test_names_with_dots_and_stars_are_quoted() -> None:
    assert Patterns.parse(['"a.b"."c*""d"']).matches(TableName("a.b", 'c*"d'))


def test_a_pattern_that_names_a_table_exactly_comes_before_one_with_a_star() -> None:
    patterns = Patterns.parse(["sales.*", "sales.orders"])
    named = patterns.named_by(TableName("sales", "orders"))
    assert named is not None
    assert named.text == "sales.orders"


def test_patterns_without_a_table_are_told() -> None:
    patterns = Patterns.parse(["sales.*", "crm.*"])
    assert [p.text for p in patterns.without_match([TableName("sales", "a")])] == ["crm.*"]


@pytest.mark.parametrize("text", ["sales", "sales.", ".orders", "a.b.c", "", '"a.b'])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a table pattern"):
        Patterns.parse([text])


@pytest.mark.parametrize(
    ("text", "size"),
    [("20GB", 20 << 30), ("1.5 MB", 3 << 19), ("8192", 8192), ("64kB", 64 << 10), (7, 7)],
)
def test_sizes_are_read(text: object, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "20 XB", "-1MB", "1,5MB", "1e3"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


def test_sizes_are_shown_in_the_largest_unit_that_fits() -> None:
    assert [format_bytes(n) for n in (17, 1536, 16 << 20, 3 << 39)] == [
        "17 bytes", "1.5 kB", "16 MB", "1.5 TB",
    ]  # fmt: skip


WHOLE = {"type": "postgres", "url": "postgresql://u:geheim@h/d", "tables": ["sales.*"]}


def test_a_source_has_defaults() -> None:
    source = PostgresSource.model_validate(WHOLE)
    assert (source.heartbeat_s, source.retain_max, source.on_limit) == (10.0, 20 << 30, "hold")
    assert "geheim" not in repr(source)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tabels": ["sales.*"]},
        {"tables": []},
        {"tables": ["!sales.*"]},
        {"tables": ["sales"]},
        {"type": "mysql"},
        {"slot": "Upper"},
        {"slot": "x" * 64},
        {"publication": "ü" * 32},
        {"heartbeat_s": "0"},
        {"heartbeat_s": "nan"},
        {"retain_max": "1MB"},
        {"on_limit": "ignore"},
        {"url": ""},
    ],
    ids=str,
)
def test_a_source_with_a_mistake_is_refused_without_showing_the_password(
    wrong: dict[str, object],
) -> None:
    with pytest.raises(ValidationError) as refused:
        PostgresSource.model_validate({**WHOLE, **wrong})
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "two", "can"),
    [
        ("sales.*", "sales.orders", True),
        ("sales.*", "crm.*", False),
        ("*.orders", "sales.*", True),
        ("s.a*b", "s.*ba*", True),
        ("s.a*b", "s.a*c", False),
        ("s.a?c", "s.ab?", True),
        ("s.a?", "s.a", False),
        ("s.**", "s.?", True),
        ('s."*"', "s.*", True),
        ('s."*"', "s.x", False),
        ('s."a*"', "s.ab", False),
    ],
)
def test_two_patterns_meet_where_a_table_can_match_both(one: str, two: str, can: bool) -> None:
    first, second = (Patterns.parse([text]).included[0] for text in (one, two))
    assert first.meets(second) is can
    assert second.meets(first) is can
