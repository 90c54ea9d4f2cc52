"""JSON: the way to one scalar in a document.

PostgreSQL gives a number's text as it stands in the document; DuckDB would print it anew (1.10 as
1.1, 1e400 not at all). So numbers are first put into quotes: what RE2 finds outside of strings and
looks like a number. A document holds no control characters but in escapes, so the marks that tell
numbers from strings cannot occur in it. The rest is DuckDB's parser, which is as strict as
PostgreSQL's.
"""

from __future__ import annotations

import re
from dataclasses import replace

from transforms.expressions.arguments import Arguments, Named, as_string, constant
from transforms.expressions.sql import checked, quoted
from transforms.expressions.typed import Refusal, Typed, derived, text
from transforms.types import TEXT, Kind, Type

JSON = Type(Kind.OTHER, name="json")
_STRING = r'"(?:[^"\\]|\\.)*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_LENIENT = r",[ \t\r\n]*[\]}]|[nN][aA][nN]|[iI][nN][fF]"
"""What DuckDB's parser takes beyond the standard, where it stands outside of strings."""
DEPTH_MAX = 32


def from_text(value: Typed) -> Typed:
    """``x::json``."""
    if value.type.name in ("json", "jsonb"):
        return value
    value = as_string(value)
    shown = text(value)
    outside = f"regexp_replace({shown}, {quoted(_STRING)}, '', 'g')"
    strict = checked(f"regexp_matches({outside}, {quoted(_LENIENT)})", "malformed", shown)
    return replace(derived(JSON, None, [value], fails=True), printed=f"({strict})")


def of_keys(arguments: Arguments, named: Named) -> Typed:
    """json_extract_path_text(json, key, …)."""
    value, *keys = arguments
    steps = [_named(constant(key, "a key of JSON")) for key in keys]
    return scalar(document(value), steps)


def of_path(arguments: Arguments, named: Named) -> Typed:
    """``json #>> '{a,b}'``."""
    value, path = arguments
    written = constant(path, "the path of #>>")
    if not re.fullmatch(r"\{[^{}\"\\, ]+(,[^{}\"\\, ]+)*\}", written):
        raise Refusal("the path of #>> is written as '{a,b}'")
    return scalar(document(value), [_named(key) for key in written[1:-1].split(",")])


def of_arrows(arguments: Arguments, named: Named) -> Typed:
    """``json -> a -> b ->> c``: arguments are the document and each key or index."""
    value, *keys = arguments
    return scalar(document(value), [_step(key) for key in keys])


def document(value: Typed) -> Typed:
    if value.type.name not in ("json", "jsonb") or value.printed is None:
        raise Refusal(f"JSON is expected here, not {value.type}", fix="of a text: x::json")
    return value


def _step(value: Typed) -> str:
    """DuckDB's path for a constant key or index."""
    if value.kind is Kind.LITERAL and value.constant is not None:
        return key_step(value.constant)
    if value.kind in (Kind.INT2, Kind.INT4) and value.constant is not None:
        number = int(value.constant)
        return f"[{number}]" if number >= 0 else f"[#{number}]"
    raise Refusal("a key of JSON is a quoted constant, an index a constant integer")


def _named(key: str) -> str:
    if re.fullmatch(r"-?[0-9]+", key):
        raise Refusal("a number in a path may be a key or an index", fix="write x -> 'a' ->> 0")
    return key_step(key)


def key_step(key: str) -> str:
    if '"' in key or "\\" in key or key in ("", "*"):
        raise Refusal("a key of JSON has no quotes or backslashes, and is not empty or *")
    return f'."{key}"'


def scalar(value: Typed, steps: list[str], *, flags: bool = True, null: str | None = None) -> Typed:
    """The text of the scalar at a path; NULL where there is none. Of JSON's null it is `null`.

    With `flags` false, JSON's true and false are errors.

    The row fails where the path leads to an object or array, or passes an object that has a key
    twice (of which databases choose in their own ways).
    """
    if not steps or len(steps) > DEPTH_MAX:
        raise Refusal(f"a path has 1 to {DEPTH_MAX} steps")
    marks = "'\\1' || chr(1) || '\\2' || chr(2)"
    marked = f"regexp_replace({value.printed}, {quoted(f'({_STRING})|({_NUMBER})')}, {marks}, 'g')"
    safe = f"translate(replace({marked}, chr(1) || chr(2), ''), chr(1) || chr(2), '\"\"')"
    path = quoted("$" + "".join(steps))
    unlike = "('OBJECT', 'ARRAY')" if flags else "('OBJECT', 'ARRAY', 'BOOLEAN')"
    unfit = f"json_type(j, {path}) IN {unlike}"
    if value.type.name != "jsonb":
        unfit += "".join(
            f" OR len(list_distinct(json_keys(j, {within}))) < len(json_keys(j, {within}))"
            for within in (quoted("$" + "".join(steps[:at])) for at in range(len(steps)))
        )
    elif steps[0].startswith("["):  # jsonb has a scalar document be an array of itself
        unfit += " OR json_type(j) NOT IN ('OBJECT', 'ARRAY')"
    found = f"json_extract_string(j, {path})"
    found = checked(f"contains({found}, chr(0))", "malformed", found)
    if null is not None:
        found = f"CASE WHEN json_type(j, {path}) = 'NULL' THEN {quoted(null)} ELSE {found} END"
    sql = f"list_transform([{safe}], lambda j: {checked(unfit, 'document', found)})[1]"
    return derived(TEXT, sql, [value], nullable=True, fails=True)
