"""The two functions that PostgreSQL does not have: legacy numbers and dates kept as text.

They are strict: a text that is not wholly of the declared form fails its row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from transforms.expressions.arguments import Function
from transforms.expressions.sql import checked, quoted
from transforms.expressions.typed import Refusal, Typed, as_text, derived, text
from transforms.types import DATE, INTEGERS, NUMERIC, STRINGS, TIMESTAMP, Kind, numeric

_DATE_TOKENS = {
    "YYYY": "[0-9]{4}",
    "MM": "[0-9]{2}",
    "DD": "[0-9]{2}",
    "HH24": "[0-9]{2}",
    "MI": "[0-9]{2}",
    "SS": "[0-9]{2}",
}
_TOKEN = re.compile(r"YYYY|MM|DD|HH24|MI|SS|[-./: ,;_T]")


def _constant(named: Mapping[str, Typed], name: str, default: str) -> str:
    value = named.get(name)
    if value is None:
        return default
    if value.kind is not Kind.LITERAL or value.constant is None:
        raise Refusal(f"{name} => takes a quoted constant")
    return value.constant


def _text(value: Typed, name: str) -> Typed:
    if value.kind not in STRINGS | INTEGERS and value.kind is not Kind.LITERAL:
        raise Refusal(f"{name}() takes text, not {value.type}")
    return as_text(value)


def parse_decimal(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """A number as people write it: sign, digits in groups of three or none, decimal sign, digits.

    The sign may also stand at the end. Blank text is NULL. Its scale is given by what is done with
    it: a field's type, a cast or round().
    """
    value = _text(arguments[0], "parse_decimal")
    point = _constant(named, "decimal", ".")
    group = _constant(named, "group", "")
    if len(point) != 1 or len(group) > 1 or point == group or re.match(r"[0-9+\-]", point + group):
        raise Refusal("decimal => and group => are two different characters, no digits or signs")
    p, g = re.escape(point), re.escape(group)
    whole = f"([0-9]+|[0-9]{{1,3}}({g}[0-9]{{3}})+)" if group else "[0-9]+"
    number = f"({whole}({p}[0-9]*)?|{p}[0-9]+)"
    form = f"[+-]?{number}|{number}[+-]"
    bare = f"trim({text(value)}, ' ')"

    def fix(precision: int, scale: int) -> str:
        digits = f"replace({bare}, {quoted(group)}, '')" if group else bare
        if point != ".":
            digits = f"replace({digits}, {quoted(point)}, '.')"
        last = f"right({bare}, 1)"
        signed = (
            f"CASE WHEN {last} IN ('+', '-') THEN {last} || left({digits}, -1) ELSE {digits} END"
        )
        to = numeric(precision, scale)
        strict = checked(
            f"NOT regexp_full_match({bare}, {quoted(form)})",
            "malformed",
            f"CAST({signed} AS {to.duckdb})",
            to.duckdb,
        )
        return f"CASE WHEN {bare} <> '' THEN {strict} END"

    return derived(NUMERIC, None, [value], nullable=True, fix=fix, fails=True)


def parse_date(arguments: Sequence[Typed], named: Mapping[str, Typed]) -> Typed:
    """A date (with HH24: a timestamp) of a fixed form.

    Blank text, and every text listed in `empty` (separated by commas), is NULL.
    """
    value = _text(arguments[0], "parse_date")
    pattern = arguments[1].constant if arguments[1].kind is Kind.LITERAL else None
    tokens = _TOKEN.findall(pattern or "")
    if not pattern or "".join(tokens) != pattern:
        raise Refusal(f"the format is a constant made of {', '.join(_DATE_TOKENS)} and -./:,;_T")
    named_parts = [token for token in tokens if token in _DATE_TOKENS]
    if len(set(named_parts)) != len(named_parts) or not {"YYYY", "MM", "DD"} <= set(named_parts):
        raise Refusal("the format names YYYY, MM and DD, each once")
    if {"MI", "SS"} & set(named_parts) and "HH24" not in named_parts:
        raise Refusal("minutes need HH24")
    to = TIMESTAMP if "HH24" in named_parts else DATE
    bare = f"trim({text(value)}, ' ')"
    form = "".join(_DATE_TOKENS.get(token, re.escape(token)) for token in tokens)
    iso = _iso(bare, tokens)
    year = f"substring({bare}, {_offsets(tokens)['YYYY']}, 4)"
    strict = checked(
        f"NOT regexp_full_match({bare}, {quoted(form)}) OR {year} = '0000'",
        "malformed",
        f"CAST({iso} AS {to.duckdb})",
        to.duckdb,
    )
    empty = ["", *_constant(named, "empty", "").split(",")]
    listed = ", ".join(quoted(item.strip(" ")) for item in dict.fromkeys(empty))
    sql = f"CASE WHEN {bare} NOT IN ({listed}) THEN {strict} END"
    return derived(to, sql, [value], nullable=True, fails=True)


def _offsets(tokens: Sequence[str]) -> dict[str, int]:
    """Where each token begins, counted from 1."""
    at, offsets = 1, {}
    for token in tokens:
        offsets[token] = at
        at += 4 if token == "YYYY" else 2 if token in _DATE_TOKENS else 1
    return offsets


def _iso(bare: str, tokens: Sequence[str]) -> str:
    """SQL of the text in ISO 8601 form."""
    if tokens in (["YYYY", "-", "MM", "-", "DD"],):
        return bare
    at = _offsets(tokens)

    def piece(token: str, before: str, default: str) -> str:
        if token not in at:
            return f"{before}{default}"
        return f"{before}' || substring({bare}, {at[token]}, {4 if token == 'YYYY' else 2}) || '"

    sql = "'" + piece("YYYY", "", "") + piece("MM", "-", "01") + piece("DD", "-", "01")
    if "HH24" in at:
        sql += piece("HH24", " ", "00") + piece("MI", ":", "00") + piece("SS", ":", "00")
    return f"({sql}')"


FUNCTIONS = {
    "parse_date": Function(
        "parse_date(text, format [, empty => '…'])", parse_date, 2, 2, ("empty",)
    ),
    "parse_decimal": Function(
        "parse_decimal(text, decimal => '…' [, group => '…'])",
        parse_decimal,
        1,
        1,
        ("decimal", "group"),
    ),
}
"""In every dialect."""
