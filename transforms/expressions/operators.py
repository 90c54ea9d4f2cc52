"""Operators and the syntax that reads like them: comparison, arithmetic, logic, CASE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transforms.expressions import zones
from transforms.expressions.casts import as_numeric, at_some_scale, fixer, widened
from transforms.expressions.division import divide
from transforms.expressions.literals import adopt
from transforms.expressions.sql import checked
from transforms.expressions.typed import Refusal, Typed, as_text, derived, literal, text
from transforms.types import (
    BOOL,
    DATE,
    DIGITS_MAX,
    FLOAT4,
    FLOAT8,
    FLOATS,
    INT4,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    NUMERIC,
    STRINGS,
    TEXT,
    TIMESTAMP,
    Kind,
    Type,
    numeric,
)

_FIRST_DAY = "DATE '0001-01-01'"  # before it texts say BC, each database in its own way
_LAST_DAY = "DATE '5874897-12-31'"  # PostgreSQL's last; DuckDB's is later
_NARROW = 18  # digits of a decimal that DuckDB keeps in 64 bits
_WIDTH = (Kind.INT2, Kind.INT4, Kind.INT8)
_COMPARED = STRINGS | NUMBERS | MOMENTS | {Kind.BOOL, Kind.UUID}


def compare(operator: str, left: Typed, right: Typed) -> Typed:
    """``= <> < <= > >=`` and ``IS [NOT] DISTINCT FROM``, between values of types that fit."""
    left_sql, right_sql = comparable(left, right)
    if operator in ("<", "<=", ">", ">="):
        _has_order(left, right)
    never_null = "DISTINCT" in operator
    nullable = False if never_null else None
    return derived(BOOL, f"({left_sql} {operator} {right_sql})", [left, right], nullable=nullable)


def comparable(left: Typed, right: Typed) -> tuple[str, str]:
    """Both sides in one DuckDB type that compares as PostgreSQL would."""
    if left.kind is Kind.LITERAL and right.kind is Kind.LITERAL:
        compared_as_they_are(left, right)
        return text(left), text(right)
    for side in (left, right):
        if side.kind not in _COMPARED and side.kind is not Kind.LITERAL:
            raise Refusal(
                f"values of type {side.type} are carried, not compared",
                fix="compare its text: x::text" if side.type.prints else None,
            )
    left, right = adopt(left, right.type), adopt(right, left.type)
    if left.kind in STRINGS and right.kind in STRINGS:
        compared_as_they_are(left, right)
        padded = Kind.BPCHAR in (left.kind, right.kind) and Kind.TEXT not in (left.kind, right.kind)
        padded = padded or left.pads or right.pads
        return (_unpadded(left), _unpadded(right)) if padded else (text(left), text(right))
    if left.kind in NUMBERS and right.kind in NUMBERS:
        to = _compared_number(left, right)
        return widened(left, to), widened(right, to)
    if left.kind is right.kind:
        return left.value, right.value
    if {left.kind, right.kind} == {Kind.DATE, Kind.TIMESTAMP}:
        return widened(left, TIMESTAMP), widened(right, TIMESTAMP)
    raise Refusal(
        f"{left.type} is not compared with {right.type}",
        fix="cast one of them" if Kind.TIMESTAMPTZ not in (left.kind, right.kind) else _ZONE,
    )


def compared_as_they_are(*values: Typed) -> None:
    """Errors: Refusal where a collation may take different texts for the same."""
    if any(value.binary for value in values) or any(value.is_null for value in values):
        return
    for value in values:
        if value.folds:
            what, _, fix = value.folds.partition(" → ")
            raise Refusal(what, fix=fix or None)


_ZONE = "name the zone: x AT TIME ZONE 'UTC'"


def _unpadded(value: Typed) -> str:
    return f"rtrim({text(value)}, ' ')"


def _has_order(left: Typed, right: Typed) -> None:
    kinds = {left.kind, right.kind}
    if kinds & STRINGS or kinds == {Kind.LITERAL}:
        if not (left.ordered or right.ordered):
            raise Refusal(
                "the order of text depends on the source's collation",
                fix="""name one that is the same everywhere: x COLLATE "C" < 'M'""",
            )
    elif Kind.UUID in kinds:
        raise Refusal("uuids are compared for equality only")


def _compared_number(left: Typed, right: Typed) -> Type:
    if left.kind in FLOATS or right.kind in FLOATS:
        return FLOAT8
    return common_number([left, right])


def common_number(values: Sequence[Typed]) -> Type:
    """The narrowest type that holds integers and numerics alike without rounding."""
    kinds = {value.kind for value in values}
    if kinds <= INTEGERS:
        return Type(max(kinds, key=_WIDTH.index))
    fixed = [as_numeric(value) for value in values]
    for value in fixed:
        if not value.type.fixed:
            _ = value.value
    scale = max(value.type.scale or 0 for value in fixed)
    whole = max((value.type.precision or 0) - (value.type.scale or 0) for value in fixed)
    return numeric(min(DIGITS_MAX, max(whole + scale, 1)), scale)


def is_in(value: Typed, items: Sequence[Typed]) -> Typed:
    """``IN (a, b, …)``."""
    pairs = [comparable(value, item) for item in items]
    if len({left for left, _ in pairs}) == 1:
        sql = f"({pairs[0][0]} IN ({', '.join(right for _, right in pairs)}))"
    else:
        sql = "(" + " OR ".join(f"({left} = {right})" for left, right in pairs) + ")"
    return derived(BOOL, sql, [value, *items])


def arithmetic(operator: str, left: Typed, right: Typed) -> Typed:
    """``+ - * / %``."""
    if zones.is_interval(left) or zones.is_interval(right):
        return zones.arithmetic(operator, left, right)
    if left.kind in MOMENTS or right.kind in MOMENTS:
        return _days(operator, left, right)
    if left.kind is Kind.LITERAL and right.kind is Kind.LITERAL:
        raise Refusal("it is unclear what type these literals are", fix="write numbers unquoted")
    left, right = adopt(left, right.type), adopt(right, left.type)
    for side in (left, right):
        if side.kind not in NUMBERS:
            raise Refusal(f"{side.type} is no number", fix="cast it: x::integer")
    if left.kind in FLOATS or right.kind in FLOATS:
        return _floats(operator, left, right)
    if left.kind in INTEGERS and right.kind in INTEGERS:
        return _integers(operator, left, right)
    return _numerics(operator, left, right)


def _integers(operator: str, left: Typed, right: Typed) -> Typed:
    to = common_number([left, right])
    symbol = "//" if operator == "/" else operator
    a, b = widened(left, to), widened(right, to)
    sql = f"({a} {symbol} {b})"
    if operator == "%" and right.constant in (
        None,
        "-1",
    ):  # DuckDB calls the smallest % -1 an overflow
        sql = f"CASE WHEN {b} = -1 AND {a} IS NOT NULL THEN 0 ELSE {sql} END"
    return derived(to, f"CAST({sql} AS {to.duckdb})", [left, right], fails=True)


def _numerics(operator: str, left: Typed, right: Typed) -> Typed:
    left, right = as_numeric(left), as_numeric(right)
    if operator == "/":
        return divide(left, right)
    if operator == "*":
        _ = left.value, right.value
        scale = (left.type.scale or 0) + (right.type.scale or 0)
        if scale > DIGITS_MAX:
            raise Refusal(f"the product has more than {DIGITS_MAX} digits after the point")
        digits = (left.type.precision or 0) + (right.type.precision or 0)
        to = numeric(max(min(DIGITS_MAX, digits), scale), scale)
        sql = f"({_wide(left, digits)} * {right.value})"
    else:
        common = common_number([left, right])
        assert common.precision is not None
        assert common.scale is not None
        wider = min(DIGITS_MAX, common.precision + (1 if operator in "+-" else 0))
        to = numeric(wider, common.scale)
        sql = f"({widened(left, common)} {operator} {widened(right, common)})"
    exact = left.exact and right.exact
    return derived(to, f"CAST({sql} AS {to.duckdb})", [left, right], fails=True, exact=exact)


def _wide(value: Typed, digits: int) -> str:
    """A factor wide enough that DuckDB does not cap the product at 18 digits."""
    if digits <= _NARROW or (value.type.precision or 0) > _NARROW:
        return value.value
    return f"CAST({value.value} AS DECIMAL({_NARROW + 1},{value.type.scale}))"


def _floats(operator: str, left: Typed, right: Typed) -> Typed:
    """IEEE arithmetic, with PostgreSQL's errors in place of infinity and lost digits."""
    if operator == "%":
        raise Refusal("the remainder of doubles is not defined")
    if left.kind is Kind.FLOAT4 and right.kind is Kind.FLOAT4:
        raise Refusal("arithmetic on real rounds early", fix="cast one: x::double precision")
    a, b = widened(left, FLOAT8), widened(right, FLOAT8)
    result = f"({a} {operator} {b})"
    outside = f"(isinf({result}) AND NOT isinf({a}) AND NOT isinf({b}))"
    if operator == "*":
        outside += f" OR ({result} = 0 AND {a} <> 0 AND {b} <> 0)"
    elif operator == "/":
        outside += f" OR ({result} = 0 AND {a} <> 0 AND NOT isinf({b}))"
    sql = checked(outside, "overflow", result, "DOUBLE")
    if operator == "/":
        sql = checked(f"{b} = 0 AND NOT isnan({a})", "zero", sql, "DOUBLE")
    return derived(FLOAT8, sql, [left, right], fails=True)


def _days(operator: str, left: Typed, right: Typed) -> Typed:
    """date ± integer, date - date."""
    if left.kind is Kind.DATE and right.kind is Kind.DATE and operator == "-":
        a, b = left.value, right.value
        infinite = f"(isinf({a}) AND {b} IS NOT NULL) OR (isinf({b}) AND {a} IS NOT NULL)"
        days = checked(infinite, "infinite", f"CAST({a} - {b} AS INTEGER)", "INTEGER")
        return derived(INT4, days, [left, right], fails=True)
    if operator == "+" and right.kind is Kind.DATE:
        left, right = right, left
    if left.kind is not Kind.DATE or operator not in "+-":
        raise Refusal("of dates there are: date + days, date - days, date - date")
    right = adopt(right, INT4)
    if right.kind not in (Kind.INT2, Kind.INT4):
        raise Refusal(f"days are an integer, not {right.type}")
    moved = f"({left.value} {operator} {widened(right, INT4)})"
    outside = f"{moved} NOT BETWEEN {_FIRST_DAY} AND {_LAST_DAY} AND NOT isinf({left.value})"
    return derived(DATE, checked(outside, "overflow", moved, "DATE"), [left, right], fails=True)


def negative(value: Typed) -> Typed:
    """Unary minus."""
    if value.constant is not None and value.kind in INTEGERS | {Kind.NUMERIC}:
        written = value.constant
        flipped = written[1:] if written.startswith("-") else f"-{written}"
        return adopt(literal(flipped), value.type)
    if value.kind in INTEGERS:
        sql = f"CAST((- {value.value}) AS {value.type.duckdb})"
        return derived(value.type, sql, [value], fails=True)
    if value.kind is Kind.NUMERIC and value.fix is not None:
        fix = value.fix
        return derived(NUMERIC, None, [value], fix=lambda p, s: f"(- {fix(p, s)})")
    if value.kind is Kind.NUMERIC or value.kind in FLOATS:
        return derived(value.type, f"(- {value.value})", [value], exact=value.exact)
    raise Refusal(f"{value.type} has no negative")


def concatenate(left: Typed, right: Typed) -> Typed:
    """``||``: text with anything that has a text."""
    if not any(side.kind in STRINGS or side.kind is Kind.LITERAL for side in (left, right)):
        raise Refusal(
            f"|| joins text, not {left.type} with {right.type}", fix="cast one of them: x::text"
        )
    parts = None
    left, right = as_text(left).named(_blur(left)), as_text(right).named(_blur(right))
    if left.parts is not None and right.parts is not None:
        parts = left.parts + right.parts
    return derived(TEXT, f"({text(left)} || {text(right)})", [left, right], parts=parts)


def _blur(value: Typed) -> str:
    return value.blur or "this expression"


def condition(value: Typed) -> str:
    """SQL of a value used as a condition. Errors: Refusal."""
    value = adopt(value, BOOL)
    if value.kind is not Kind.BOOL:
        raise Refusal(f"a condition is true or false, not {value.type}")
    return value.value


def both(left: Typed, right: Typed) -> Typed:
    """AND. What can fail on the right runs only where the left did not settle it."""
    a, b = condition(left), condition(right)
    sql = f"({a} AND {b})"
    if right.fails:
        rest = f"CASE WHEN {b} THEN NULL WHEN NOT {b} THEN false END"
        sql = f"CASE {a} WHEN false THEN false WHEN true THEN {b} ELSE {rest} END"
    return derived(BOOL, sql, [left, right])


def either(left: Typed, right: Typed) -> Typed:
    """OR, in the same way."""
    a, b = condition(left), condition(right)
    sql = f"({a} OR {b})"
    if right.fails:
        rest = f"CASE WHEN {b} THEN true END"
        sql = f"CASE {a} WHEN true THEN true WHEN false THEN {b} ELSE {rest} END"
    return derived(BOOL, sql, [left, right])


def negation(value: Typed) -> Typed:
    return derived(BOOL, f"(NOT {condition(value)})", [value])


def is_null(value: Typed) -> Typed:
    """``IS NULL``, of any type."""
    sql = value.printed if value.printed is not None else value.sql
    if sql is None:
        sql = at_some_scale(value)
    return derived(BOOL, f"({sql} IS NULL)", [value], nullable=False)


def is_truth(value: Typed, truth: bool) -> Typed:
    """``IS TRUE``, ``IS FALSE``."""
    sql = f"({condition(value)} IS NOT DISTINCT FROM {str(truth).lower()})"
    return derived(BOOL, sql, [value], nullable=False)


def unified(values: Sequence[Typed]) -> tuple[Type, list[Typed]]:
    """The type that alternatives (CASE, coalesce) share, and each of them, literals adopted.

    Of strings the first one's type wins, as in PostgreSQL. Errors: Refusal.
    """
    typed = [value for value in values if value.kind is not Kind.LITERAL]
    if not typed:
        return TEXT, [adopt(value, TEXT) for value in values]
    kinds = {value.kind for value in typed}
    first = typed[0].type
    if len(kinds) == 1 and first.kind not in (Kind.NUMERIC, Kind.OTHER):
        return first, [adopt(value, first) for value in values]
    if kinds <= STRINGS:
        return first, [adopt(value, first) for value in values]
    if kinds <= INTEGERS | {Kind.NUMERIC}:
        to = common_number(typed) if kinds <= INTEGERS else NUMERIC
        adopted = [adopt(value, to) for value in values]
        if any(value.kind is Kind.NUMERIC and not value.type.fixed for value in adopted):
            return NUMERIC, adopted
        return common_number(adopted), adopted
    if Kind.FLOAT8 in kinds and kinds <= NUMBERS:
        return FLOAT8, [adopt(value, FLOAT8) for value in values]
    if kinds == {Kind.FLOAT4, Kind.INT2} or kinds == {Kind.FLOAT4, Kind.INT4}:
        return FLOAT4, [adopt(value, FLOAT4) for value in values]
    if kinds == {Kind.DATE, Kind.TIMESTAMP}:
        return TIMESTAMP, [adopt(value, TIMESTAMP) for value in values]
    names = " and ".join(sorted({str(value.type) for value in typed}))
    raise Refusal(f"the alternatives have the types {names}", fix="cast them to one")


def alternatives(
    values: Sequence[Typed],
    inputs: Sequence[Typed],
    render: Callable[[list[str]], str],
    *,
    nullable: bool,
) -> Typed:
    """A choice among `values`: `render` makes SQL of theirs. `inputs` are what it depends on."""
    to, adopted = unified(values)
    if to.kind is Kind.NUMERIC and not to.fixed:
        fixes = [fixer(value) for value in adopted]
        return derived(
            NUMERIC,
            None,
            inputs,
            nullable=nullable,
            fix=lambda p, s: render([fix(p, s) for fix in fixes]),
        )
    present = [new for old, new in zip(values, adopted, strict=True) if not old.is_null]
    exact = len({new.type.scale or 0 for new in present}) <= 1 and all(new.exact for new in present)
    branches = [_branch(value, to) for value in adopted]
    return derived(to, render(branches), inputs, nullable=nullable, exact=exact)


def _branch(value: Typed, to: Type) -> str:
    if to.kind is Kind.BPCHAR:
        return value.value
    return text(value) if to.kind in STRINGS else widened(value, to)


def case(tests: Sequence[Typed], results: Sequence[Typed], otherwise: Typed) -> Typed:
    """``CASE WHEN … THEN … ELSE otherwise END``."""
    conditions = [condition(test) for test in tests]
    values = [otherwise, *results]  # PostgreSQL lets the type of ELSE come first

    def render(branches: list[str]) -> str:
        pairs = zip(conditions, branches[1:], strict=True)
        whens = " ".join(f"WHEN {test} THEN {branch}" for test, branch in pairs)
        return f"CASE {whens} ELSE {branches[0]} END"

    nullable = any(value.nullable for value in values)
    return alternatives(values, [*tests, *values], render, nullable=nullable)
