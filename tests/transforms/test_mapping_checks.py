"""Mappings that must be refused, with the place and the way out; and those that must not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.transforms.batches import table
from transforms.checks import check_syntax
from transforms.compile import compile_mapping
from transforms.disjoint import check_together
from transforms.entity import Entity
from transforms.errors import ExpressionError, MappingError
from transforms.model import Mapping

ENTITY = Entity.model_validate(
    {
        "entity": "customer",
        "key": ["no"],
        "fields": {
            "no": {"type": "text", "required": "true"},
            "name": {"type": "text"},
            "count": {"type": "integer"},
            "credit": {"type": "decimal(12,2)"},
            "gone": {"type": "boolean"},
            "at": {"type": "timestamptz"},
            "day": {"type": "date"},
            "data": {"type": "json"},
            "exact": {"type": "decimal"},
        },
    }
)
PAIR = Entity.model_validate(
    {
        "entity": "pair",
        "key": ["a", "b"],
        "fields": {"a": {"type": "text"}, "b": {"type": "integer"}, "name": {"type": "text"}},
    }
)
ENTITIES = {"customer": ENTITY, "pair": PAIR}

COLUMNS = {
    "id": "integer",
    "region": "text",
    "code": "character(3)",
    "name1": "text",
    "big": "bigint",
    "num": "numeric(12,2)",
    "loose": "numeric",
    "dbl": "double precision",
    "ts": "timestamp without time zone",
    "tz": "timestamp with time zone",
    "day": "date",
    "state": "text|shop.state",
    "doc": "jsonb",
    "ip": "inet",
    "flag": "boolean",
    "guid": "uuid",
    "Mixed Case": "text",
}


def errors(key: tuple[str, ...] = ("id",), /, **changes: Any) -> list[MappingError]:
    declared: dict[str, Any] = {
        "mapping": "m",
        "entity": "customer",
        "table": "s.t",
        "key": {"no": "'E-' || id"},
    }
    found = Mapping.model_validate(declared | changes)
    return compile_mapping(found, ENTITIES, table("s.t", COLUMNS, key))[1]


def test_a_sound_mapping_has_no_errors() -> None:
    assert errors(fields={"name": "name1", "credit": "num", "at": "tz", "data": "doc"}) == []


EXPRESSIONS = [
    ("naem1", "no column naem1", "did you mean name1?", "naem1"),
    ("mixed case", "not an expression", "", ""),
    ("Name1 || nmae1", "no column nmae1", "name1", "nmae1"),
    ('"Mixed case"', "no column Mixed case", "Mixed Case", '"Mixed case"'),
    ("trim(name1", "bracket is not closed", "", "("),
    ("", "empty", "null", ""),
    ("name1; delete from t", "several statements", "", ";"),
    ("select 1", "not a statement", "", "select"),
    ("(select max(id) from t)", "", "", ""),
    ("id is distinct from id < id", "which comparison", "brackets", ""),
    ("to_char(date '2024-01-31', 'DDDD')", "the format", "", ""),
    ("to_char(timestamp '2024-01-31 01:02:03', 'SSSS')", "the format", "", ""),
    ("date '2024-01-31' + interval '1 month 2 days' month", "behind an interval", "", ""),
    ("name1 ilike 'xX%' escape 'X'", "no letter", "", "name1"),
    ("name1::json ->> '*'", "a key of JSON", "", "name1"),
    ("exists (select 1)", "sub-query", "", ""),
    ("name1 in (select 1)", "sub-query", "", ""),
    ("count(*)", "other rows", "", "count"),
    ("row_number() over ()", "row_number", "", "row_number"),
    ("sum(id)", "other rows", "", "sum"),
    ("now()::text", "replay", "", "now"),
    ("current_date::text", "replay", "", ""),
    ("random()::text", "replay", "", "random"),
    ("to_number(name1, '99')::text", "to_number", "parse_decimal", "to_number"),
    ("pg_read_file('/etc/passwd')", "pg_read_file", "", "pg_read_file"),
    ("getenv('HOME')", "getenv", "", "getenv"),
    ("read_text('x')", "read_text", "", "read_text"),
    ("regexp_replace(name1, 'a*?', 'b')", "lazy", "", "regexp_replace"),
    ("regexp_match(name1, 'a')", "regexp_match", "regexp_substr", "regexp_match"),
    ("case when name1 ~ '\\s' then 'a' end", "blanks depend on the locale", "", "name1"),
    ("case when name1 ~ region then 'a' end", "quoted constant", "", "name1"),
    ("case when name1 similar to 'x' then 'a' end", "SIMILAR TO", "~", ""),
    ("uper(name1)", "uper()", "upper", "uper"),
    ("t.name1", "column alone", "", "name1"),
    ("user", "function of the session", "double quotes", "user"),
    ("upper(id)", "text is expected", "::text", "upper"),
    ("id || big", "joins text", "::text", "id || big"),
    ("case when name1 < 'M' then 'a' end", "collation", 'COLLATE "C"', "name1 < 'M'"),
    ("case when state = 'x' then 'a' end", "carried", "::text", "state = 'x'"),
    ("case when ip = '10.0.0.1' then 'a' end", "carried", "", ""),
    ("ip::text", "cast to text", "", "ip"),
    ("dbl + 1", "computed double", "round", ""),
    ("(num / 3) || ''", "scale", "round", ""),
    ("loose + 1", "scale", "round", ""),
    ("case when ts = tz then 'a' end", "not compared", "UTC", "ts = tz"),
    ("ts::timestamptz::text", "no cast", "UTC", "ts"),
    ("ts at time zone 'CET'", "named by its place", "Europe/Berlin", ""),
    ("name1 like region", "quoted constant", "", ""),
    ("case when id = 'x' then 'a' end", "'x' is no integer", "", "id = 'x'"),
    ("case when day = '2024-02-30' then 'a' end", "'2024-02-30' is no date", "", ""),
    ("case when day = 'today' then 'a' end", "'today' is no date of the form 2024", "", ""),
    ("case when id then 'a' end", "true or false", "", ""),
    ("case when id = name1 then 'a' end", "not compared", "cast", ""),
    ("coalesce(id, name1)", "types", "cast", ""),
    ("case when id = 1 = flag then 'a' end", "which comparison", "brackets", ""),
    ("case when name1 like 'a' = flag then 'a' end", "", "", ""),
    ("split_part(name1, '', 1)", "constant separator", "", "split_part"),
    ("lpad(name1, 5, '')", "not empty", "", "lpad"),
    ("name1::char(3)", "not supported", "varchar", ""),
    ("name1::money", "not supported", "", ""),
    ("name1::text[]", "no", "", ""),
    ("1e5", "1e5", "", "1e5"),
    ("round(dbl, 2)::text", "not a double", "numeric", "round"),
    ("extract(epoch from ts)::text", "extract()", "", "ts"),
    ("to_char(num, '999')", "FM000000", "", "to_char"),
    ("to_char(ts, 'Month')", "format", "", "to_char"),
    ("date_trunc('decade', ts)::text", "date_trunc()", "", "date_trunc"),
    ("parse_date(name1, 'DDMM')", "YYYY", "", "parse_date"),
    ("parse_date(name1, 'YYYYMMDD', empty => region)::text", "constant", "", ""),
    ("parse_decimal(name1, decimal => ',', group => ',')::text", "different", "", ""),
    ("parse_decimal(name1, digits => ',')::text", "no argument digits", "", "parse_decimal"),
    ("greatest(name1, region)", "numbers, dates", "", "greatest"),
    ("interval '1 day'", "interval", "", ""),
    ("E'\\n'", "not supported", "", ""),
    ("doc->'a'", "gives a document", "->>", ""),
    ("$1", "parameter", "", ""),
    ("array[1]", "not supported", "", ""),
    ("num / 0.0", "zero", "", ""),
    ("'a\x00b'", "NUL", "", ""),
]


@pytest.mark.parametrize(("written", "what", "fix", "marked"), EXPRESSIONS)
def test_refused_expressions(written: str, what: str, fix: str, marked: str) -> None:
    (error,) = errors(fields={"name": written})
    assert isinstance(error, ExpressionError)
    assert what in error.what
    assert fix in (error.fix or "")
    assert error.loc == ("fields", "name")
    assert "mapping m, field name" in str(error)
    if marked:
        assert error.span is not None
        start, end = error.span
        assert marked.lower() in written[start : end + 1].lower()
        lines = error.what.split("\n")
        assert lines[-1].strip("^ ") == ""
        assert len(lines[-1].strip()) == end - start + 1


@pytest.mark.parametrize(
    "written",
    [
        "'" + "x" * 10_000_000 + "'",
        "(" * 4000 + "1" + ")" * 4000,
        "not " * 2000 + "true",
        "- " * 4000 + "1",
        " || ".join(["name1"] * 1200),
        "upper(" * 1500 + "name1" + ")" * 1500,
        "case when flag then " * 400 + "1" + " end" * 400,
        "substring(" * 60 + "name1" + ", id, 2)" * 60,
        "parse_date(" * 20 + "name1" + ", 'YYYYMMDD')::text" * 20,
        "[" * 3000,
        "{" * 3000,
        "$$" * 3000,
        "/*" * 3000,
        "'" * 4001,
    ],
)
def test_hostile_expressions_are_refused_quickly(written: str) -> None:
    import time

    began = time.process_time()
    (error,) = errors(fields={"name": written})
    assert time.process_time() - began < 10
    assert len(str(error)) < 1000


ASSIGNMENTS = [
    ("count", "num", True),
    ("exact", "num * 2", True),
    ("exact", "loose", True),
    ("exact", "coalesce(num, 0)", False),
    ("exact", "num / 3", False),
    ("exact", "dbl", False),
    ("count", "name1", False),
    ("count", "name1::integer", True),
    ("count", "dbl", True),
    ("credit", "id", True),
    ("credit", "loose", True),
    ("credit", "num / 3", True),
    ("credit", "dbl", True),
    ("credit", "name1", False),
    ("credit", "parse_decimal(name1, decimal => ',')", True),
    ("at", "tz", True),
    ("at", "ts", False),
    ("at", "ts at time zone 'UTC'", True),
    ("at", "day", False),
    ("day", "ts", True),
    ("day", "name1", False),
    ("day", "parse_date(name1, 'YYYYMMDD')", True),
    ("data", "doc", True),
    ("data", "name1", False),
    ("gone", "flag", True),
    ("gone", "id = 1", True),
    ("gone", "id", False),
    ("name", "state", True),
    ("name", "ip", False),
    ("name", "guid", True),
    ("name", "loose", True),
    ("name", "dbl", True),
    ("name", "doc", True),
    ("name", "id", True),
    ("name", "null", True),
]


@pytest.mark.parametrize(("field", "written", "fits"), ASSIGNMENTS)
def test_types_of_fields(field: str, written: str, fits: bool) -> None:
    assert (errors(fields={field: written}) == []) is fits


KEYS = [
    # identity, key, where, what is wrong (None: nothing)
    (("id",), "id::text", None, None),
    (("id",), "'E-' || id", None, None),
    (("id",), "id || '-E'", None, None),
    (("id",), "concat('E', id)", None, None),
    (("id",), "id", None, None),
    (("big",), "big::numeric(30,2)::text", None, None),
    (("id",), "lpad(id::text, 6, '0')", None, "lpad()"),
    (("id",), "'E-' || (id + 1)", None, "share"),
    (("id",), "'E-' || name1", None, "replica identity"),
    (("id",), "coalesce(name1, id::text)", None, "replica identity"),
    (("id",), "'E'", None, "share a key"),
    (("id",), "nullif(id, 0)::text", None, "can be NULL"),
    (("region",), "region", None, None),
    (("region",), "region::text", None, None),
    (("region",), "upper(region)", None, "upper()"),
    (("region",), "trim(region)", None, "btrim()"),
    (("region",), "region::varchar(3)", None, "varchar(3)"),
    (("region",), "region::integer::text", None, "cast to integer"),
    (("region",), "left(region, 3)", None, "left()"),
    (("region",), "case when region = 'a' then 'b' else region end", None, "CASE"),
    (("code",), "code", None, None),
    (("code",), "rtrim(code)", None, None),
    (("code",), "code || '-x'", None, None),
    (("code",), "trim(code)", None, "btrim()"),
    (("ts",), "ts::text", None, None),
    (("ts",), "ts::date::text", None, "cast to date"),
    (("num",), "num::text", None, None),
    (("num",), "num::integer::text", None, "cast to integer"),
    (("guid",), "guid::text", None, None),
    (("id", "big"), "id || '-' || big", None, None),
    (("id", "big"), "id || big::text", None, "nothing separates id from big"),
    (("id", "big"), "id || '' || big", None, "nothing separates id from big"),
    (("id", "big"), "id || '0' || big", None, None),
    (("id", "region"), "region || '/' || id", None, None),
    (("id", "region"), "concat_ws('/', region, id)", None, None),
    (("id", "region"), "concat(region, id)", None, "nothing separates"),
    (("id", "region"), "region", None, "id of the replica identity is not in it"),
    (("id", "region"), "region", "id = 1", None),
    (("id", "region"), "region", "1 = id and flag", None),
    (("id", "region"), "region", "id = 1 or flag", "not in it"),
    (("id", "region"), "region", "id > 1", "not in it"),
    (("id", "region"), "region", "id in (1)", "not in it"),
    (("id", "region"), "region", "id = big", "not in it"),
    (("id", "region"), "id", "region = 'x' and name1 = 'y'", None),
    ((), "id", None, "no replica identity"),
]


@pytest.mark.parametrize(("identity", "key", "where", "wrong"), KEYS)
def test_keys_tell_rows_apart(
    identity: tuple[str, ...], key: str, where: str | None, wrong: str | None
) -> None:
    changes = {"where": where} if where else {}
    found = errors(identity, key={"no": key}, **changes)
    if wrong is None:
        assert found == []
    else:
        assert len(found) == 1
        assert wrong in str(found[0])


def test_a_key_of_two_fields() -> None:
    two = {"entity": "pair", "fields": {}}
    assert errors(("id", "region"), key={"a": "region", "b": "id"}, **two) == []
    assert errors(("id", "region"), key={"a": "upper(region)", "b": "id"}, **two) != []
    assert errors(("num", "region"), key={"a": "region", "b": "num"}, **two) != []  # rounds
    (error,) = errors(("id", "region"), key={"a": "region"}, **two)
    assert "has b, which is not given" in str(error)


OTHERS: list[tuple[dict[str, Any], str, tuple[Any, ...]]] = [
    ({"entity": "custmer"}, "no entity custmer", ("entity",)),
    ({"key": {"no": "id::text", "number": "id"}}, "not in the key", ("key", "number")),
    ({"fields": {"naem": "name1"}}, "no field naem", ("fields", "naem")),
    ({"fields": {"no": "name1"}}, "given under key", ("fields", "no")),
    ({"on_delete": {"soft": "name"}}, "not a boolean field", ("on_delete",)),
    (
        {"on_delete": {"soft": "gone"}, "fields": {"gone": "flag"}},
        "set by on_delete",
        ("on_delete",),
    ),
    ({"fields": {"count": {"value": "many"}}}, "'many' is no bigint", ("fields", "count", "value")),
    (
        {"fields": {"count": {"value": "99999999999999999999"}}},
        "out of the range",
        ("fields", "count", "value"),
    ),
    ({"fields": {"data": {"value": "{"}}}, "no JSON", ("fields", "data", "value")),
    (
        {"fields": {"count": {"from": "code", "values": {"A": "1", "B": "x"}}}},
        "'x' is no bigint",
        ("fields", "count", "values", "B"),
    ),
    (
        {"fields": {"count": {"from": "code", "values": {"A": "1"}, "otherwise": {"value": "y"}}}},
        "'y' is no bigint",
        ("fields", "count", "otherwise"),
    ),
    (
        {"fields": {"count": {"from": "cdoe", "values": {"A": "1"}}}},
        "no column cdoe",
        ("fields", "count", "from"),
    ),
    (
        {"fields": {"count": {"expr": "id", "default": "z"}}},
        "'z' is no bigint",
        ("fields", "count", "default"),
    ),
    ({"where": "id = 1 and nmae1 = 'x'"}, "no column nmae1", ("where",)),
    ({"where": "id"}, "true or false", ("where",)),
]


@pytest.mark.parametrize(("changes", "what", "loc"), OTHERS)
def test_refused_mappings(changes: dict[str, Any], what: str, loc: tuple[Any, ...]) -> None:
    found = errors(**changes)
    assert [error.loc for error in found] == [loc]
    assert what in str(found[0])


def test_every_error_is_reported_at_once() -> None:
    found = errors(fields={"name": "naem1", "count": "upper(name1)", "day": "now()"}, where="x = 1")
    assert {error.loc for error in found} == {
        ("fields", "name"),
        ("fields", "count"),
        ("fields", "day"),
        ("where",),
    }


def test_errors_in_rows_name_which() -> None:
    declared = {
        "mapping": "m",
        "table": "s.t",
        "rows": [
            {"name": "a", "entity": "customer", "key": {"no": "id::text"}},
            {"name": "b", "entity": "customer", "key": {"no": "'B' || id"}, "where": "oops"},
        ],
    }
    found = compile_mapping(
        Mapping.model_validate(declared), ENTITIES, table("s.t", COLUMNS, ("id",))
    )[1]
    assert [error.loc for error in found] == [("rows", 1, "where")]
    assert "rows 2, where" in str(found[0])


def test_what_can_be_checked_without_the_source() -> None:
    declared = {
        "mapping": "m",
        "entity": "customer",
        "table": "s.t",
        "key": {"no": "anything || '-'"},
        "fields": {"name": "upper(unknown_column)", "naem": "x", "day": "now()", "count": "(("},
    }
    found = check_syntax(Mapping.model_validate(declared), ENTITIES)
    assert {error.loc for error in found} == {
        ("fields", "naem"), ("fields", "day"), ("fields", "count")
    }  # fmt: skip


def together(*maps: dict[str, Any]) -> list[str]:
    built = [
        Mapping.model_validate(
            {"mapping": f"m{at}", "entity": "customer", "table": "s.t"} | declared
        )
        for at, declared in enumerate(maps)
    ]
    schemas = {name: table(name, COLUMNS, ("id",)) for name in ("s.t", "s.u")}
    return [str(error) for error in check_together(built, ENTITIES, schemas)]


def one(key: str, **changes: Any) -> dict[str, Any]:
    return {"key": {"no": key}, "fields": {"name": "name1"}} | changes


def test_two_mappings_of_one_target_must_be_disjoint() -> None:
    assert "writes name" in together(one("id::text"), one("id::text", table="s.u"))[0]
    assert together(one("'A-' || id"), one("'B-' || id", table="s.u")) == []
    assert together(one("'A' || id"), one("'AB' || id", table="s.u")) != []
    assert together(one("id || 'A'"), one("id || 'B'", table="s.u")) != []
    assert together(one("id::text"), one("id::text", into="elsewhere")) == []
    assert together(one("id::text", where="code = 'A'"), one("id::text", where="code = 'B'")) == []
    assert together(one("id::text", where="code = 'A'"), one("id::text", where="code = 'A '")) != []
    assert together(one("id::text", where="big = 1"), one("id::text", where="big = 01")) != []
    assert together(one("id::text", where="code = 'A'"), one("'x' || id", where="code = 'B'")) != []
    assert (
        together(
            one("id::text", where="code = 'A'"), one("id::text", where="code = 'B'", table="s.u")
        )
        != []
    )


def test_mappings_of_different_fields_still_meet_in_their_rows() -> None:
    second = one("id::text", fields={"count": "big"}, table="s.u", on_delete="set_null")
    assert "writes rows of public.customer" in together(one("id::text"), second)[0]
    parts = [
        one("id::text", where="code = 'A'"),
        one("id::text", where="code = 'B'", fields={"count": "big"}),
    ]
    assert together(*parts) != []


def test_constants_are_told_apart_in_texts_only() -> None:
    def pair(key: dict[str, str], name: str) -> Mapping:
        return Mapping.model_validate(
            {"mapping": name, "entity": "pair", "table": f"s.{name}", "key": key}
        )

    texts = [pair({"a": "'x'", "b": "id"}, "t"), pair({"a": "'y'", "b": "id"}, "u")]
    numbers = [pair({"a": "id::text", "b": "'1'"}, "t"), pair({"a": "id::text", "b": "'01'"}, "u")]
    assert check_together(texts, ENTITIES, {}) == []
    assert check_together(numbers, ENTITIES, {}) != []


def test_a_required_field_must_be_delivered_by_some_mapping() -> None:
    strict = Entity.model_validate(
        {
            "entity": "customer",
            "key": ["no"],
            "fields": {"no": {"type": "text"}, "name": {"type": "text", "required": "true"}},
        }
    )
    declared = {"mapping": "m", "entity": "customer", "table": "s.t", "key": {"no": "id::text"}}
    found = check_together([Mapping.model_validate(declared)], {"customer": strict}, {})
    assert "name of customer is required" in str(found[0])
