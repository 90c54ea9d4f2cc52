"""Functions of text."""

from __future__ import annotations

from transforms.expressions.arguments import Arguments, Build, Named, as_integer, as_string, whole
from transforms.expressions.operators import compared_as_they_are
from transforms.expressions.sql import checked, quoted, stripped
from transforms.expressions.typed import (
    Excess,
    Part,
    Refusal,
    Typed,
    as_text,
    derived,
    output,
    text,
)
from transforms.types import BOOL, INT4, STRINGS, TEXT, Kind, Type

LENGTH_MAX = 10_000
"""Characters that lpad(), rpad() and repeat() may be asked for."""


def upper(arguments: Arguments, named: Named) -> Typed:
    """PostgreSQL keeps ß with a libc or builtin locale; DuckDB would make ẞ of it."""
    value = as_string(arguments[0])
    sql = text(value)
    kept = f"array_to_string(list_transform(string_split({sql}, 'ß'), lambda x: upper(x)), 'ß')"
    return derived(
        TEXT, f"CASE WHEN contains({sql}, 'ß') THEN {kept} ELSE upper({sql}) END", [value]
    )


def of_text(template: str, result: Type = TEXT) -> Build:
    """A function of texts alone; `template` has {0}, {1}, …"""

    def build(arguments: Arguments, named: Named) -> Typed:
        strings = [as_string(argument) for argument in arguments]
        return derived(result, template.format(*map(text, strings)), strings)

    return build


def octets(arguments: Arguments, named: Named) -> Typed:
    """octet_length(text): of char(n) with its padding, unlike length()."""
    value = arguments[0]
    shown = value.value if value.kind is Kind.BPCHAR else text(as_string(value))
    return derived(INT4, f"CAST(strlen({shown}) AS INTEGER)", [value])


def trim(function: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        source = arguments[0]
        strings = [as_string(argument) for argument in arguments]
        shown = text(strings[0])
        sql = stripped(function, shown)
        if len(strings) > 1:
            sql = f"{function}({shown}, {text(strings[1])})"
        harmless = function == "rtrim" and source.kind is Kind.BPCHAR and len(strings) == 1
        return derived(
            TEXT,
            sql,
            strings,
            parts=strings[0].parts if harmless else None,
        )

    return build


def part_of(template: str) -> Build:
    """left(), right(): a text and a number of characters."""

    def build(arguments: Arguments, named: Named) -> Typed:
        string, count = as_string(arguments[0]), as_integer(arguments[1])
        return derived(TEXT, template.format(text(string), count.value), [string, count])

    return build


def pad(function: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        string, length = as_string(arguments[0]), as_integer(arguments[1])
        fill = as_string(arguments[2]) if len(arguments) > 2 else None
        if fill is not None and not fill.constant:
            raise Refusal(f"{function}() pads with a constant that is not empty")
        sql = f"{function}({text(string)}, {length.value}, {text(fill) if fill else quoted(' ')})"
        return derived(TEXT, _bounded(length, sql), [string, length], chars=_length(length))

    return build


def _length(length: Typed) -> int:
    """How long a text of that length may be."""
    if length.constant is None:
        return LENGTH_MAX
    if int(length.constant) > LENGTH_MAX:
        raise Excess(f"a length is at most {LENGTH_MAX}")
    return int(length.constant)


def _bounded(length: Typed, sql: str) -> str:
    """The same, failing where a length that is no constant is out of bounds."""
    if length.constant is not None:
        return sql
    return checked(f"{length.value} > {LENGTH_MAX}", "overflow", sql)


def substring(arguments: Arguments, named: Named) -> Typed:
    """Characters from `start` on; positions before the first count, as in the SQL standard."""
    string, start = as_string(arguments[0]), as_integer(arguments[1])
    inputs = [string, start]
    first = f"greatest({start.value}, 1)"
    if len(arguments) == 2:
        result = f"substring({text(string)}, {first})"
    else:
        count = as_integer(arguments[2])
        inputs.append(count)
        if count.constant is not None and int(count.constant) < 0:
            raise Refusal("a length is not negative")
        stop = f"(CAST({start.value} AS BIGINT) + {count.value})"
        result = f"substring({text(string)}, {first}, greatest({stop} - {first}, 0))"
        if count.constant is None:
            result = checked(f"{count.value} < 0", "malformed", result)
    if any(item.constant is None for item in inputs[1:]):  # greatest() would pass over a NULL
        known = " AND ".join(f"{item.value} IS NOT NULL" for item in inputs)
        result = f"CASE WHEN {known} THEN {result} END"
    return derived(TEXT, result, inputs, fails=len(inputs) > 2)


def split_part(arguments: Arguments, named: Named) -> Typed:
    string, separator, index = (
        as_string(arguments[0]),
        as_string(arguments[1]),
        as_integer(arguments[2]),
    )
    if not separator.constant or index.constant is None or int(index.constant) == 0:
        raise Refusal("split_part() takes a constant separator and a constant number but 0")
    sql = f"split_part({text(string)}, {text(separator)}, {index.value})"
    return derived(TEXT, sql, [string, separator, index])


def _joined(value: Typed) -> str:
    """What concat() makes of an argument: its output, and nothing of NULL."""
    return text(as_text(value)) if value.kind is Kind.LITERAL else output(value)


def _known_parts(values: Arguments) -> tuple[Part, ...] | None:
    """The parts of all, where none can be NULL (which concat would drop)."""
    parts: tuple[Part, ...] = ()
    for value in values:
        if value.parts is None or value.nullable:
            return None
        parts += value.parts
    return parts


def concat(arguments: Arguments, named: Named) -> Typed:
    sql = f"concat({', '.join(_joined(value) for value in arguments)})"
    return derived(TEXT, sql, arguments, nullable=False, parts=_known_parts(arguments))


def concat_ws(arguments: Arguments, named: Named) -> Typed:
    separator, *values = arguments
    separator = as_string(separator)
    joined = ", ".join(_joined(value) for value in values)
    spaced = [item for value in values for item in (separator, value)][1:]
    return derived(
        TEXT,
        f"concat_ws({text(separator)}, {joined})",
        arguments,
        nullable=separator.nullable,
        parts=_known_parts(spaced),
    )


def like(arguments: Arguments, *, fold: bool) -> Typed:
    """``x LIKE pattern [ESCAPE e]``; char(n) keeps its padding here, as in PostgreSQL."""
    value, pattern = arguments[0], arguments[1]
    if value.kind not in STRINGS and value.kind is not Kind.LITERAL:
        raise Refusal(f"LIKE takes text, not {value.type}", fix="cast it: x::text")
    if pattern.constant is None or pattern.kind is not Kind.LITERAL:
        raise Refusal("the pattern of LIKE is a quoted constant")
    compared_as_they_are(value)
    escape = "\\" if len(arguments) < 3 else arguments[2].constant
    if escape is None or len(escape) > 1:
        raise Refusal("the escape of LIKE is one constant character")
    if fold and escape.isalpha():
        raise Refusal("the escape of ILIKE is no letter")
    written = pattern.constant
    if escape and _ends_in_escape(written, escape):
        raise Refusal("the pattern ends with its escape character")
    padded = output(value) if value.kind is Kind.BPCHAR else text(value)
    shown = quoted(written)
    if fold:
        padded, shown = f"lower({padded})", f"lower({shown})"
    escaped = f" ESCAPE {quoted(escape)}" if escape and escape in written else ""
    return derived(BOOL, f"({padded} LIKE {shown}{escaped})", [value])


def _ends_in_escape(pattern: str, escape: str) -> bool:
    at = 0
    while at < len(pattern):
        if pattern[at] == escape:
            at += 1
            if at == len(pattern):
                return True
        at += 1
    return False


def replaced(arguments: Arguments, named: Named) -> Typed:
    """replace(text, from, to)."""
    value, old, new = map(as_string, arguments)
    shortest = max(1, len(old.constant)) if old.constant is not None else 1
    sql = f"replace({text(value)}, {text(old)}, {text(new)})"
    chars = value.chars * max(1, -(-new.chars // shortest))
    return derived(TEXT, sql, [value, old, new], chars=chars)


def repeat(arguments: Arguments, named: Named) -> Typed:
    """repeat(text, count): the count is a constant."""
    value, count = as_string(arguments[0]), whole(arguments[1], "the count of repeat()")
    if count > LENGTH_MAX:
        raise Excess(f"repeat() repeats at most {LENGTH_MAX} times")
    sql = f"repeat({text(value)}, {count})"
    return derived(TEXT, sql, [value], chars=value.chars * max(count, 1))


def reverse(arguments: Arguments, named: Named) -> Typed:
    """Character by character; DuckDB's own reverse() keeps what is written as one together."""
    value = as_string(arguments[0])
    sql = f"array_to_string(list_reverse(string_split({text(value)}, '')), '')"
    return derived(TEXT, sql, [value])


def character(arguments: Arguments, named: Named) -> Typed:
    """chr(code)."""
    code = as_integer(arguments[0])
    outside = f"{code.value} NOT BETWEEN 1 AND 1114111 OR {code.value} BETWEEN 55296 AND 57343"
    known = checked(outside, "overflow", f"chr({code.value})")
    return derived(TEXT, known, [code], fails=code.constant is None, chars=1)


def starts_with(arguments: Arguments, named: Named) -> Typed:
    """starts_with(text, part): byte by byte, whatever the collation."""
    return of_text("prefix({0}, {1})", BOOL)(arguments, named)


def translated(arguments: Arguments, named: Named) -> Typed:
    """translate(text, from, to)."""
    return of_text("translate({0}, {1}, {2})")([as_string(arguments[0]), *arguments[1:]], named)


def initcap(arguments: Arguments, named: Named) -> Typed:
    """A word is letters and digits; its first character becomes upper case, the rest lower."""
    value = as_string(arguments[0])
    words = rf"regexp_extract_all({text(value)}, '[\pL\pN]+|[^\pL\pN]+')"
    first = "CASE WHEN prefix(w, 'ß') THEN 'ß' ELSE upper(left(w, 1)) END"
    cased = f"list_transform({words}, lambda w: {first} || lower(substring(w, 2)))"
    return derived(TEXT, f"array_to_string({cased}, '')", [value])
