"""A translated expression: its PostgreSQL type, its DuckDB SQL, and what is known of it.

Two texts of a value matter. `text` is what PostgreSQL's cast to text gives (char(n) without its
padding, ``true``); `output` is what its type's output function gives (padded, ``t``), which is
what concat() joins. A source column's text is what the source printed, never reformatted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sqlglot import exp

from transforms.expressions.sql import quoted, stripped
from transforms.types import (
    LITERAL,
    STRINGS,
    TEXT,
    Kind,
    Type,
)

Fix = Callable[[int, int], str]
"""(precision, scale) → SQL of the value rounded to it, half away from zero, failing on overflow."""


SQL_CHARS_MAX = 200_000
"""Some constructs repeat their operand; nested into each other they would grow without bound."""


COLUMN_CHARS = 1_000
"""What a column of text is taken to hold where the growth of a text is judged."""
CHARS_MAX = 1_000_000
"""Characters that an expression may make of columns of that size; more is a runaway."""


SCALAR_CHARS = 64
"""What numbers and dates print at most, roughly."""


class Refusal(Exception):
    """An expression we do not accept. `node` is the offending part; None: the innermost one."""

    def __init__(self, what: str, *, fix: str | None = None, node: exp.Expr | None = None) -> None:
        self.what, self.fix, self.node = what, fix, node
        super().__init__(what)


class Excess(Refusal):
    """A Refusal whatever the types of columns are: a length or pattern that is out of bounds."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text that still tells rows apart: a constant, or a whole column.

    `text` is the constant, or the SQL of the column's text. `kind` is the column's.
    """

    text: str
    column: str | None = None
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Typed:
    """`sql` computes in `type.duckdb`; None where the value is only carried or `fix` is needed.

    reads     source columns it depends on
    nullable  whether it can be NULL
    fails     whether evaluating it can fail for some row; then it must not run ahead of its turn
    column    the source column it is, unchanged; `printed` is then the SQL of its text
    constant  the text of a constant; a LITERAL without it is NULL
    fix       of a numeric whose values have different scales: gives them one
    exact     whether a numeric prints with the digits after the point that PostgreSQL would print
    ordered   compares byte by byte (COLLATE "C"), so its order is known
    folds     why its texts do not compare as they are (a collation that ignores case), or empty
    binary    compares byte by byte because the author said so, whatever the other side is
    pads      compares without its trailing blanks
    chars     how long its text may be, roughly, were each column `COLUMN_CHARS` long
    parts     the columns it tells apart, as pieces in order; None: it does not, because of `blur`
    """

    type: Type
    sql: str | None
    reads: frozenset[str] = frozenset()
    nullable: bool = True
    fails: bool = False
    column: str | None = None
    printed: str | None = None
    constant: str | None = None
    fix: Fix | None = None
    exact: bool = True
    ordered: bool = False
    folds: str = ""
    binary: bool = False
    pads: bool = False
    chars: int = COLUMN_CHARS
    parts: tuple[Part, ...] | None = None
    blur: str = ""

    @property
    def kind(self) -> Kind:
        return self.type.kind

    @property
    def is_null(self) -> bool:
        return self.type.kind is Kind.LITERAL and self.constant is None

    @property
    def value(self) -> str:
        """`sql` where the value can be computed on. Errors: Refusal."""
        if self.sql is None:
            if self.type.kind is Kind.NUMERIC:
                raise Refusal(
                    "a numeric whose values have different scales is not computed on",
                    fix="give it a scale first: round(x, 2) or x::numeric(12,2)",
                )
            raise Refusal(f"values of type {self.type} are carried, not computed on")
        return self.sql

    def named(self, blur: str) -> Typed:
        """The same, saying what made it unfit for a key."""
        return replace(self, blur=blur) if self.parts is None and not self.blur else self


def literal(text: str | None) -> Typed:
    """A quoted literal or NULL; its type is decided by its neighbours."""
    sql = "NULL" if text is None else quoted(text)
    parts = None if text is None else (Part(text),)
    chars = len(text or "")
    return Typed(LITERAL, sql, nullable=text is None, constant=text, parts=parts, chars=chars)


def derived(
    type_: Type,
    sql: str | None,
    inputs: Iterable[Typed],
    *,
    nullable: bool | None = None,
    fails: bool = False,
    fix: Fix | None = None,
    exact: bool = True,
    parts: tuple[Part, ...] | None = None,
    blur: str = "",
    chars: int | None = None,
) -> Typed:
    """A result computed from `inputs`: NULL if one of them is, unless `nullable` says otherwise.

    Its text is as long as those of `inputs` together, unless `chars` says otherwise.
    Errors: Refusal where the SQL or the text grows too long.
    """
    if sql is not None and len(sql) > SQL_CHARS_MAX:
        raise Refusal("the expression is too complex", fix="split it into several fields")
    inputs = tuple(inputs)
    if chars is None:
        chars = sum(item.chars for item in inputs)
    if type_.kind not in STRINGS and type_.kind is not Kind.OTHER:
        chars = min(chars, SCALAR_CHARS)
    if chars > CHARS_MAX:
        raise Excess("the text may grow without bound", fix="a smaller count")
    textual = type_.kind in STRINGS
    first = next((item.blur for item in inputs if item.blur), "")
    return Typed(
        type_,
        sql,
        reads=frozenset().union(*(item.reads for item in inputs)),
        nullable=any(item.nullable for item in inputs) if nullable is None else nullable,
        fails=fails or any(item.fails for item in inputs),
        fix=fix,
        exact=exact,
        parts=parts,
        blur=blur or first,
        folds=next((item.folds for item in inputs if item.folds), "") if textual else "",
        chars=chars,
    )


def text(value: Typed) -> str:
    """SQL of the value cast to text, as PostgreSQL casts it. Errors: Refusal."""
    kind = value.kind
    if kind is Kind.LITERAL:
        return "CAST(NULL AS VARCHAR)" if value.constant is None else quoted(value.constant)
    if kind is Kind.BPCHAR:
        return stripped("rtrim", value.value)
    if kind in STRINGS or kind is Kind.UUID:
        return value.value
    if kind is Kind.BOOL:
        return f"CAST({value.value} AS VARCHAR)"
    if value.printed is not None:
        if not value.type.prints:
            raise Refusal(f"the text of type {value.type} is not what a cast to text gives")
        return value.printed
    return _computed_text(value)


def _computed_text(value: Typed) -> str:
    kind = value.kind
    if kind in (Kind.FLOAT4, Kind.FLOAT8):
        raise Refusal(
            "a computed double does not print as PostgreSQL prints it",
            fix="round it first: round(x::numeric, 2)",
        )
    if kind is Kind.NUMERIC and not value.exact:
        raise Refusal(
            "the branches have different scales, so PostgreSQL prints each in its own way",
            fix="cast the whole to one scale: (…)::numeric(12,2)",
        )
    sql = f"CAST({value.value} AS VARCHAR)"
    if kind is Kind.TIMESTAMPTZ:
        return f"CASE WHEN isinf({value.value}) THEN {sql} ELSE {sql} || '+00' END"
    return sql


def output(value: Typed) -> str:
    """SQL of what the type's output function gives: concat() joins these. Errors: Refusal."""
    if value.kind is Kind.BPCHAR:
        return value.value
    if value.kind is Kind.BOOL:
        return f"left({text(value)}, 1)"
    return text(value)


def as_text(value: Typed) -> Typed:
    """The value as PostgreSQL's text type."""
    if value.kind is Kind.TEXT:
        return value
    if value.kind is Kind.VARCHAR:
        return replace(value, type=TEXT)
    if value.kind is Kind.LITERAL:
        return replace(value, type=TEXT, sql=text(value))
    carried = value.printed is not None and value.kind not in (Kind.BPCHAR, Kind.BOOL)
    result = derived(TEXT, text(value), [value], parts=value.parts)
    if carried:
        result = replace(result, column=value.column, printed=value.printed)
    return replace(result, constant=value.constant)
