"""The functions that expressions may call: one table, nothing else.

Each is here because a differential test holds it against a real PostgreSQL. `FUNCTIONS` is the
allow-list; `docs/mappings.md` documents exactly these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from transforms.expressions import moments, numbers, ours
from transforms.expressions.casts import cast, widened
from transforms.expressions.literals import adopt
from transforms.expressions.operators import alternatives, comparable, compare, unified
from transforms.expressions.sql import checked, quoted, stripped
from transforms.expressions.typed import Part, Refusal, Typed, as_text, derived, output, text
from transforms.types import (
    BOOL,
    FLOAT8,
    FLOATS,
    INT4,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    STRINGS,
    TEXT,
    Kind,
    Type,
)

Arguments = Sequence[Typed]
Named = Mapping[str, Typed]
Build = Callable[[Arguments, Named], Typed]


@dataclass(frozen=True, slots=True)
class Function:
    """`signature` as the manual shows it; `least` and `most` count positional arguments."""

    signature: str
    build: Build
    least: int
    most: int | None
    named: tuple[str, ...] = ()


def _string(value: Typed) -> Typed:
    """An argument declared as text: numbers and dates are not cast to it silently."""
    if value.kind not in STRINGS and value.kind is not Kind.LITERAL:
        raise Refusal(f"a text is expected here, not {value.type}", fix="cast it: x::text")
    return as_text(value)


def _integer(value: Typed) -> Typed:
    value = adopt(value, INT4)
    if value.kind not in (Kind.INT2, Kind.INT4):
        raise Refusal(f"an integer is expected here, not {value.type}")
    return value


def _upper(arguments: Arguments, named: Named) -> Typed:
    """PostgreSQL keeps ß with a libc or builtin locale; DuckDB would make ẞ of it."""
    value = _string(arguments[0])
    sql = text(value)
    kept = f"array_to_string(list_transform(string_split({sql}, 'ß'), lambda x: upper(x)), 'ß')"
    return derived(
        TEXT, f"CASE WHEN contains({sql}, 'ß') THEN {kept} ELSE upper({sql}) END", [value]
    )


def _of_text(template: str, result: Type = TEXT) -> Build:
    """A function of texts alone; `template` has {0}, {1}, …"""

    def build(arguments: Arguments, named: Named) -> Typed:
        strings = [_string(argument) for argument in arguments]
        return derived(result, template.format(*map(text, strings)), strings)

    return build


def _trim(function: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        source = arguments[0]
        strings = [_string(argument) for argument in arguments]
        characters = text(strings[-1])
        harmless = function == "rtrim" and source.kind is Kind.BPCHAR and len(strings) == 1
        return derived(
            TEXT,
            stripped(function, text(strings[0]))
            if len(strings) == 1
            else f"{function}({text(strings[0])}, {characters})",
            strings,
            parts=strings[0].parts if harmless else None,
        )

    return build


def _part_of(template: str) -> Build:
    """left(), right(): a text and a number of characters."""

    def build(arguments: Arguments, named: Named) -> Typed:
        string, count = _string(arguments[0]), _integer(arguments[1])
        return derived(TEXT, template.format(text(string), count.value), [string, count])

    return build


def _pad(function: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        string, length = _string(arguments[0]), _integer(arguments[1])
        fill = _string(arguments[2]) if len(arguments) > 2 else None
        if fill is not None and not fill.constant:
            raise Refusal(f"{function}() pads with a constant that is not empty")
        sql = f"{function}({text(string)}, {length.value}, {text(fill) if fill else quoted(' ')})"
        return derived(TEXT, sql, [string, length])

    return build


def _substring(arguments: Arguments, named: Named) -> Typed:
    """Characters from `start` on; positions before the first count, as in the SQL standard."""
    string, start = _string(arguments[0]), _integer(arguments[1])
    inputs = [string, start]
    first = f"greatest({start.value}, 1)"
    if len(arguments) == 2:
        result = f"substring({text(string)}, {first})"
    else:
        count = _integer(arguments[2])
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


def _split_part(arguments: Arguments, named: Named) -> Typed:
    string, separator, index = _string(arguments[0]), _string(arguments[1]), _integer(arguments[2])
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


def _concat(arguments: Arguments, named: Named) -> Typed:
    sql = f"concat({', '.join(_joined(value) for value in arguments)})"
    return derived(TEXT, sql, arguments, nullable=False, parts=_known_parts(arguments))


def _concat_ws(arguments: Arguments, named: Named) -> Typed:
    separator, *values = arguments
    separator = _string(separator)
    joined = ", ".join(_joined(value) for value in values)
    spaced = [item for value in values for item in (separator, value)][1:]
    return derived(
        TEXT,
        f"concat_ws({text(separator)}, {joined})",
        arguments,
        nullable=separator.nullable,
        parts=_known_parts(spaced),
    )


def _coalesce(arguments: Arguments, named: Named) -> Typed:
    nullable = all(value.nullable for value in arguments)
    return alternatives(
        arguments, arguments, lambda sql: f"coalesce({', '.join(sql)})", nullable=nullable
    )


def _nullif(arguments: Arguments, named: Named) -> Typed:
    value, other = arguments
    if value.kind is Kind.LITERAL:
        value = as_text(value)
    same = compare("=", value, other)
    if {value.kind, other.kind} == {Kind.VARCHAR, Kind.BPCHAR}:
        value = replace(value, type=Type(Kind.BPCHAR))  # what PostgreSQL compares, it returns
    elif other.kind is Kind.TEXT and value.kind is Kind.BPCHAR:
        value = as_text(value)
    elif other.kind in FLOATS and value.kind not in FLOATS:
        value = cast(value, FLOAT8)
    kept = replace(value, parts=None, blur="nullif()")
    result = f"CASE WHEN {same.value} THEN NULL ELSE {value.value} END"
    return derived(value.type, result, [kept, other], nullable=True, exact=value.exact)


def _extreme(function: str) -> Build:
    def build(arguments: Arguments, named: Named) -> Typed:
        to, adopted = unified(arguments)
        if to.kind not in NUMBERS | MOMENTS:
            raise Refusal(f"{function}() takes numbers, dates or timestamps, not {to}")
        for value in adopted[1:]:
            comparable(adopted[0], value)
        _ = [value.value for value in adopted]
        branches = ", ".join(widened(value, to) for value in adopted)
        scales = {value.type.scale for value in adopted if value.kind is Kind.NUMERIC}
        alike = len(scales) <= 1 and not any(value.kind in INTEGERS for value in adopted)
        exact = to.kind is not Kind.NUMERIC or (alike and all(value.exact for value in adopted))
        nullable = all(value.nullable for value in arguments)
        return derived(to, f"{function}({branches})", arguments, nullable=nullable, exact=exact)

    return build


def like(arguments: Arguments, *, fold: bool) -> Typed:
    """``x LIKE pattern [ESCAPE e]``; char(n) keeps its padding here, as in PostgreSQL."""
    value, pattern = arguments[0], arguments[1]
    if value.kind not in STRINGS and value.kind is not Kind.LITERAL:
        raise Refusal(f"LIKE takes text, not {value.type}", fix="cast it: x::text")
    if pattern.constant is None or pattern.kind is not Kind.LITERAL:
        raise Refusal("the pattern of LIKE is a quoted constant")
    escape = "\\" if len(arguments) < 3 else arguments[2].constant
    if escape is None or len(escape) > 1:
        raise Refusal("the escape of LIKE is one constant character")
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


_TEXT_FUNCTIONS = {
    "btrim": Function("btrim(text [, characters])", _trim("trim"), 1, 2),
    "concat": Function("concat(value, …)", _concat, 1, None),
    "concat_ws": Function("concat_ws(separator, value, …)", _concat_ws, 2, None),
    "left": Function("left(text, count)", _part_of("left({}, {})"), 2, 2),
    "length": Function("length(text)", _of_text("CAST(length({0}) AS INTEGER)", INT4), 1, 1),
    "lower": Function("lower(text)", _of_text("lower({0})"), 1, 1),
    "lpad": Function("lpad(text, length [, fill])", _pad("lpad"), 2, 3),
    "ltrim": Function("ltrim(text [, characters])", _trim("ltrim"), 1, 2),
    "replace": Function("replace(text, from, to)", _of_text("replace({0}, {1}, {2})"), 3, 3),
    "right": Function("right(text, count)", _part_of("right({}, {})"), 2, 2),
    "rpad": Function("rpad(text, length [, fill])", _pad("rpad"), 2, 3),
    "rtrim": Function("rtrim(text [, characters])", _trim("rtrim"), 1, 2),
    "split_part": Function("split_part(text, separator, number)", _split_part, 3, 3),
    "strpos": Function(
        "strpos(text, part)", _of_text("CAST(strpos({0}, {1}) AS INTEGER)", INT4), 2, 2
    ),
    "substring": Function("substring(text, start [, count])", _substring, 2, 3),
    "upper": Function("upper(text)", _upper, 1, 1),
}

_CHOICES = {
    "coalesce": Function("coalesce(value, …)", _coalesce, 1, None),
    "greatest": Function("greatest(value, …)", _extreme("greatest"), 1, None),
    "least": Function("least(value, …)", _extreme("least"), 1, None),
    "nullif": Function("nullif(value, other)", _nullif, 2, 2),
}

_NUMBER_FUNCTIONS = {
    "abs": Function("abs(number)", numbers.absolute, 1, 1),
    "ceil": Function("ceil(numeric)", numbers.toward("ceil"), 1, 1),
    "floor": Function("floor(numeric)", numbers.toward("floor"), 1, 1),
    "mod": Function("mod(number, number)", numbers.remainder, 2, 2),
    "round": Function("round(numeric [, digits])", numbers.rounded, 1, 2),
    "trunc": Function("trunc(numeric [, digits])", numbers.truncated, 1, 2),
}

_MOMENT_FUNCTIONS = {
    "date_trunc": Function("date_trunc(unit, timestamp)", moments.truncated, 2, 2),
    "extract": Function("extract(part FROM date)", moments.extracted, 2, 2),
    "to_char": Function("to_char(date, format)", moments.formatted, 2, 2),
}

_OUR_FUNCTIONS = {
    "parse_date": Function(
        "parse_date(text, format [, empty => '…'])", ours.parse_date, 2, 2, ("empty",)
    ),
    "parse_decimal": Function(
        "parse_decimal(text, decimal => '…' [, group => '…'])",
        ours.parse_decimal,
        1,
        1,
        ("decimal", "group"),
    ),
}

FUNCTIONS: dict[str, Function] = {
    **_TEXT_FUNCTIONS,
    **_CHOICES,
    **_NUMBER_FUNCTIONS,
    **_MOMENT_FUNCTIONS,
    **_OUR_FUNCTIONS,
}

SYNONYMS = {
    "ceiling": "ceil",
    "char_length": "length",
    "character_length": "length",
    "substr": "substring",
}
"""Other names PostgreSQL has for the same."""

VOLATILE = frozenset(
    {
        "age",
        "clock_timestamp",
        "current_date",
        "current_time",
        "current_timestamp",
        "current_user",
        "gen_random_uuid",
        "localtime",
        "localtimestamp",
        "nextval",
        "now",
        "random",
        "session_user",
        "statement_timestamp",
        "timeofday",
        "transaction_timestamp",
        "uuid_generate_v4",
        "uuidv4",
        "uuidv7",
    }
)
"""Refused with a reason: a replay must give the same row."""

AGGREGATES = frozenset(
    {"array_agg", "avg", "bool_and", "bool_or", "count", "every", "max", "min", "string_agg", "sum"}
)

INSTEAD = {
    "to_number": "parse_decimal(x, decimal => ',', group => '.')",
    "to_date": "parse_date(x, 'YYYYMMDD')",
    "to_timestamp": "x::timestamp",
    "date_part": "extract(year FROM x)",
    "regexp_replace": "replace(), split_part() or substring()",
    "regexp_match": "LIKE, split_part() or substring()",
    "initcap": "a value map",
    "format": "||",
    "position": "position(part IN text)",
}
"""What to write in place of functions that are asked for most."""


def call(name: str, arguments: Arguments, named: Named) -> Typed:
    """Errors: Refusal for a wrong number of arguments, unknown named ones, or wrong types."""
    function = FUNCTIONS[name]
    most = function.most
    if len(arguments) < function.least or (most is not None and len(arguments) > most):
        raise Refusal(f"{name}() is called as {function.signature}")
    unknown = sorted(set(named) - set(function.named))
    if unknown:
        raise Refusal(f"{name}() has no argument {unknown[0]}; it is {function.signature}")
    result = function.build(arguments, named)
    return result if result.parts is not None else replace(result, blur=f"{name}()")
