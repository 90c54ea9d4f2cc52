"""Lookups: what is refused, what a row finds, and what becomes of one that finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from pydantic import ValidationError

from cdc.schema import TableName
from tests.transforms.batches import Change, batch, table
from transforms.compile import compile_mapping
from transforms.entity import Entity
from transforms.errors import ExpressionError, RowError
from transforms.model import Mapping
from transforms.preview import preview
from transforms.router import Router
from transforms.trial import try_examples

TERMS = table(
    "s.terms", {"nr": "integer", "lang": "character(2)", "days": "smallint", "name": "text"},
    ["nr", "lang"],
)  # fmt: skip
CODES = table("s.codes", {"code": "character varying(9)", "word": "text"}, ["code"])
ROWS = table(
    "s.rows",
    {"id": "integer", "zb": "text", "code": "text", "part": "smallint", "big": "text"},
    ["id"],
)
ENTITY = Entity.model_validate(
    {
        "entity": "e",
        "key": ["id"],
        "fields": {"id": {"type": "text"}, "days": {"type": "integer"}, "word": {"type": "text"}},
    }
)
LOOKUPS: dict[str, Any] = {
    "zb": {"table": "s.terms", "on": "zb.nr = zb::integer AND 'DE' = zb.lang"},
    "c": {"table": "s.codes", "on": "c.code = trim(code)", "missing": "null"},
}


def mapping(**changes: Any) -> Mapping:
    whole: dict[str, Any] = {
        "mapping": "m",
        "entity": "e",
        "table": "s.rows",
        "key": {"id": "id::text"},
        "fields": {"word": "upper(c.word)"},
        "lookups": {"c": LOOKUPS["c"]},
    }
    return Mapping.model_validate(whole | changes)


def routed(declared: Mapping, changes: Sequence[Change], **tables: Sequence[Change]) -> list[Any]:
    """The values that the target gets, by row."""
    with closing(Router((), [declared], {"e": ENTITY})) as router:
        assert router.lookups is not None
        schemas = {"terms": TERMS, "codes": CODES}
        for name, rows in tables.items():
            router.lookups.apply(batch(schemas[name], rows))
        (made,) = router.route(batch(ROWS, changes), 0)
        return [tuple(column[row].as_py() for column in made.values) for row in range(made.rows)]


def faults(declared: Mapping, changes: Sequence[Change], **tables: Sequence[Change]) -> list[Any]:
    with pytest.raises(RowError) as raised:
        routed(declared, changes, **tables)
    return [(one.seq, one.field, one.reason) for one in raised.value.faults]


def row(id: int, **values: str | None) -> Change:
    return Change("c", {"id": str(id), **values})


A = Change("r", {"code": "A", "word": "ah"})
B = Change("r", {"code": "B", "word": None})


def test_a_row_finds_its_line() -> None:
    changes = [row(1, code=" A "), row(2, code="B"), row(3, code="C"), row(4, code=None)]
    found = routed(mapping(), changes, codes=[A, B])
    assert found == [("1", "AH"), ("2", None), ("3", None), ("4", None)]


def test_nothing_is_looked_up_for_null_and_what_is_missing_is_what_the_lookup_says() -> None:
    changes = [row(1, code="A"), row(2, code="C"), row(3, code=None)]
    for missing, expected in (("null", None), ({"value": "none"}, "NONE")):
        declared = mapping(lookups={"c": {**LOOKUPS["c"], "missing": missing}})
        assert routed(declared, changes, codes=[A]) == [("1", "AH"), ("2", expected), ("3", None)]
    declared = mapping(lookups={"c": {**LOOKUPS["c"], "missing": "exception"}})
    assert faults(declared, changes, codes=[A]) == [(1, "c", "missing")]


def test_a_row_that_where_leaves_out_need_find_nothing() -> None:
    exception = {"c": {**LOOKUPS["c"], "missing": "exception"}}
    changes = [row(1, code="A", part="1"), row(2, code="C", part="2")]
    declared = mapping(lookups=exception, where="part = 1")
    assert routed(declared, changes, codes=[A]) == [("1", "AH")]
    declared = mapping(lookups=exception, where="c.word = 'ah'")
    assert faults(declared, changes, codes=[A]) == [(1, "c", "missing")]


def test_a_key_of_several_columns_of_other_types() -> None:
    days = "zb.days + 1"
    declared = mapping(fields={"days": days}, lookups={"zb": {**LOOKUPS["zb"], "missing": "null"}})
    lines = [
        Change("r", {"nr": nr, "lang": lang, "days": days, "name": None})
        for nr, lang, days in (("1", "DE", "30"), ("1", "EN", "31"), ("11", "DE", "7"))
    ]
    changes = [row(1, zb="1"), row(2, zb=" 011"), row(3, zb="2")]
    assert routed(declared, changes, terms=lines) == [("1", "31"), ("2", "8"), ("3", None)]
    assert faults(declared, [row(1, zb="1"), row(2, zb="x")], terms=lines) == [
        (1, "zb", "malformed")
    ]


def test_the_last_state_of_the_table_counts() -> None:
    lines = [
        A,
        Change("u", {"code": "Z", "word": "zet"}, {"code": "A"}),
        Change("u", {"code": "Z", "word": None}, unsent=("word",)),
        B,
        Change("d", None, {"code": "B"}),
    ]
    changes = [row(1, code="A"), row(2, code="Z"), row(3, code="B")]
    found = routed(mapping(lookups={"c": {**LOOKUPS["c"], "missing": {"value": "-"}}}), changes,
                   codes=lines)  # fmt: skip
    assert found == [("1", "-"), ("2", "ZET"), ("3", "-")]


def test_a_value_that_the_log_never_sent_is_not_null() -> None:
    later = table(
        "s.codes", {"code": "character varying(9)", "old": "text", "word": "text"}, ["code"]
    )
    earlier = table("s.codes", {"code": "character varying(9)", "old": "text"}, ["code"])
    with closing(Router((), [mapping()], {"e": ENTITY})) as router:
        assert router.lookups is not None
        router.lookups.apply(
            batch(earlier, [Change("r", {"code": "A"}), Change("r", {"code": "B"})])
        )
        router.lookups.apply(batch(later, [Change("u", {"code": "B", "word": "be"})]))
        with pytest.raises(RowError) as raised:
            router.route(batch(ROWS, [row(1, code="A"), row(2, code="B")]), 0)
        assert [(one.seq, one.reason) for one in raised.value.faults] == [(0, "unread")]
        router.lookups.apply(batch(later, [Change("u", {"code": "A", "word": "ah"})]))
        (made,) = router.route(batch(ROWS, [row(1, code="A")]), 0)
        assert made.values[1].to_pylist() == ["AH"]


def test_a_code_that_was_not_sent_leaves_the_field_as_it_is() -> None:
    declared = mapping(
        fields={"word": "c.word"}, lookups={"c": {**LOOKUPS["c"], "on": "c.code = big"}}
    )
    with closing(Router((), [declared], {"e": ENTITY})) as router:
        assert router.lookups is not None
        router.lookups.apply(batch(CODES, [A]))
        changes = [Change("u", {"id": "1"}, unsent=("big",)), Change("u", {"id": "2", "big": "A"})]
        (made,) = router.route(batch(ROWS, changes), 0)
        assert made.unsent[1].to_pylist() == [True, False]
        assert made.values[1].to_pylist() == [None, "ah"]


REFUSED = [
    ({"fields": {"word": "c.wort"}}, "the table of lookup c has no column wort", "c.wort"),
    ({"fields": {"word": "d.word"}}, "d is no lookup of this mapping", "d.word"),
    ({"key": {"id": "c.word"}}, "a key reads only the replica identity", "c.word"),
    ({"on": "c.code = code OR c.code = zb"}, "joined by AND", None),
    ({"on": "c.code < code"}, "the order of text depends on", None),
    ({"on": "c.code = 1"}, "is not compared with integer", None),
    ({"on": "c.code = null"}, "not compared", None),
    ({"on": "upper(c.code) = code"}, "joined by AND", None),
    ({"on": "c.word = code"}, "its key has code, too", None),
    ({"on": "c.code = c.word"}, "joined by AND", None),
    ({"on": "code = zb"}, "joined by AND", None),
    ({"on": "c.nr = code"}, "has no column nr", "c.nr"),
]


@pytest.mark.parametrize(("changes", "what", "underlined"), REFUSED)
def test_refused_lookups(changes: dict[str, Any], what: str, underlined: str | None) -> None:
    if "on" in changes:
        changes = {"lookups": {"c": {**LOOKUPS["c"], **changes}}}
    known = {TERMS.table: TERMS, CODES.table: CODES}
    _, errors = compile_mapping(mapping(**changes), {"e": ENTITY}, ROWS, known)
    assert errors
    assert what in errors[0].what
    error = errors[0]
    assert isinstance(error, ExpressionError)
    if underlined is not None:
        assert error.span is not None
        assert error.expression[error.span[0] : error.span[1] + 1] == underlined


@pytest.mark.parametrize(
    ("dialect", "on"),
    [
        ("mysql", "c.code COLLATE utf8mb4_bin = code"),
        ("mysql", "C.CODE = BINARY code"),
        ("oracle", "c.code = code"),
        ("tsql", "c.code = code COLLATE Latin1_General_BIN2"),
    ],
)
def test_texts_are_joined_to_the_letter_in_every_dialect(dialect: str, on: str) -> None:
    lookup = {**LOOKUPS["c"], "on": on}
    declared = mapping(dialect=dialect, key={"id": "id"}, lookups={"c": lookup})
    found = routed(declared, [row(1, code="A"), row(2, code="a")], codes=[A])
    assert found == [("1", "AH"), ("2", None)]


def test_a_unique_column_will_do_and_two_lines_of_it_are_an_error() -> None:
    columns = {"code": "varchar(9) primary key", "word": "text unique"}
    lookup = {**LOOKUPS["c"], "on": "c.word = code", "columns": columns}
    declared = mapping(fields={"word": "c.code"}, lookups={"c": lookup})
    changes = [row(1, code="ah"), row(2, code="be")]
    assert routed(declared, changes, codes=[A, B]) == [("1", "A"), ("2", None)]
    twice = Change("r", {"code": "Z", "word": "ah"})
    assert faults(declared, changes, codes=[A, B, twice]) == [(0, "c", "ambiguous")]


def test_unique_is_refused_where_it_says_nothing() -> None:
    with pytest.raises(ValidationError, match="lookups only"):
        mapping(columns={"id": "integer primary key", "code": "text unique"})


def test_types_of_which_a_value_has_several_texts_are_not_joined() -> None:
    odd = table("s.codes", {"code": "numeric", "word": "text"}, ["code"])
    declared = mapping(lookups={"c": {**LOOKUPS["c"], "on": "c.code = part::numeric"}})
    _, errors = compile_mapping(declared, {"e": ENTITY}, ROWS, {odd.table: odd})
    assert errors


def test_a_table_that_was_never_shown_stops_what_looks_it_up() -> None:
    with (
        closing(Router((), [mapping()], {"e": ENTITY})) as router,
        pytest.raises(Exception, match="nothing of it has been captured yet"),
    ):
        router.route(batch(ROWS, [row(1, code="A")]), 0)


def test_preview_reads_the_table() -> None:
    declared = mapping(lookups={"c": {**LOOKUPS["c"], "missing": "exception"}}, where="id < 3")
    sample = batch(
        ROWS, [Change("r", {"id": str(n), "code": code}) for n, code in enumerate("ACCC")]
    )
    (seen,) = preview(declared, {"e": ENTITY}, sample, lookups=[batch(CODES, [A])])
    assert [one.outcome for one in seen.rows] == ["mapped", "failed", "failed", "filtered"]
    assert seen.rows[0].mapped == {"id": "0", "word": "AH"}
    assert seen.rows[1].failures == (("c", "the looked up table has no such row"),)


def test_examples_say_what_the_table_holds() -> None:
    declared = mapping(
        lookups={
            "c": {
                **LOOKUPS["c"],
                "missing": "exception",
                "columns": {"code": "varchar(9) primary key", "word": "text"},
            }
        },
        columns={"id": "integer primary key", "code": "text"},
        examples=[
            {
                "given": {"id": "1", "code": "A"},
                "lookups": {"c": [{"code": "A", "word": "ah"}]},
                "expect": {"word": "AH"},
            },
            {"given": {"id": "1", "code": "A"}, "fails": {"c": "missing"}},
            {"given": {"id": "1", "code": "A"}, "expect": {"word": "AH"}},
        ],
    )
    trials = try_examples(declared, {"e": ENTITY})
    assert [bool(trial.differences) for trial in trials] == [False, False, True]


def test_what_is_looked_up_is_part_of_the_version_and_its_columns_are_not() -> None:
    declared = {**LOOKUPS["c"], "columns": {"code": "text primary key"}}
    assert mapping().version == mapping(lookups={"c": declared}).version
    assert mapping().version != mapping(lookups={"c": {**declared, "missing": "exception"}}).version
    assert TableName("s", "codes") == mapping().lookups["c"].source


@pytest.mark.parametrize("missing", ["null", {"value": "none"}, "exception"])
@pytest.mark.parametrize("type_", ["character varying(20)", "text"])
def test_lines_stay_where_the_key_becomes_wider(missing: Any, type_: str) -> None:
    declared = mapping(lookups={"c": {**LOOKUPS["c"], "missing": missing}})
    with closing(Router((), [declared], {"e": ENTITY})) as router:
        assert router.lookups is not None
        router.lookups.apply(batch(CODES, [A, B]))
        wide = table("s.codes", {"code": type_, "word": "text"}, ["code"])
        router.lookups.apply(batch(wide, [Change("c", {"code": "C", "word": "ce"})]))
        (made,) = router.route(batch(ROWS, [row(1, code="A"), row(2, code="C")]), 0)
        assert ["AH", "CE"] in [column.to_pylist() for column in made.values]


@pytest.mark.parametrize("missing", ["null", {"value": "none"}, "exception"])
def test_lines_whose_key_is_not_known_any_more_are_not_missing(missing: Any) -> None:
    """The column may have got other values, which the log does not say."""
    declared = mapping(lookups={"c": {**LOOKUPS["c"], "missing": missing}})
    narrow = table("s.codes", {"code": "character varying(3)", "word": "text"}, ["code"])
    with closing(Router((), [declared], {"e": ENTITY})) as router:
        assert router.lookups is not None
        router.lookups.apply(batch(CODES, [A, B]))
        router.lookups.apply(batch(narrow, [Change("u", {"code": "B", "word": "be"})]))
        with pytest.raises(RowError) as raised:
            router.route(batch(ROWS, [row(1, code="A"), row(2, code="B")]), 0)
        assert [(one.seq, one.reason) for one in raised.value.faults] == [(0, "unread")]
        router.lookups.apply(batch(narrow, [Change("t"), Change("r", {"code": "B"})]))
        if missing != "exception":
            (made,) = router.route(batch(ROWS, [row(1, code="A")]), 0)
            assert made.rows == 1


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ("2020-01-01 00:00:00.000000", "2020-01-01 00:00:00"),
        ("2020-01-01 00:00:00.12", "2020-01-01 00:00:00.120000"),
    ],
)
def test_moments_are_one_however_many_digits_the_source_prints(theirs: str, mine: str) -> None:
    prices = table("s.codes", {"code": "timestamp(6) without time zone", "word": "text"}, ["code"])
    rows = table("s.rows", {"id": "integer", "at": "timestamp(2) without time zone"}, ["id"])
    lookup = {"table": "s.codes", "on": "c.code = at", "missing": "null"}
    declared = mapping(dialect="mysql", key={"id": "cast(id as char)"}, lookups={"c": lookup})
    with closing(Router((), [declared], {"e": ENTITY})) as router:
        assert router.lookups is not None
        router.lookups.apply(batch(prices, [Change("r", {"code": theirs, "word": "ah"})]))
        (made,) = router.route(batch(rows, [Change("c", {"id": "1", "at": mine})]), 0)
        assert [column.to_pylist() for column in made.values][-1] == ["AH"]
