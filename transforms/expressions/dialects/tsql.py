"""The dialect of SQL Server.

`+` joins texts. Texts compare by a collation that ignores case, and without trailing blanks; a
binary one must be named. Integers divide without a fraction. Texts are counted in code points, as
with a collation that knows supplementary characters (…_SC).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.tsql import TSQL
from sqlglot.parsers.tsql import TSQLParser
from sqlglot.tokenizer_core import Token, TokenType

from cdc.schema import Column
from transforms.expressions import operators
from transforms.expressions.arguments import Arguments, Build, Function, Named
from transforms.expressions.dialects import tsqlfunctions as own
from transforms.expressions.dialects.base import Dialect
from transforms.expressions.dialects.quotients import exact_quotient
from transforms.expressions.dialects.tsqlcasts import converted, tried
from transforms.expressions.dialects.tsqltext import FOLDS, folding
from transforms.expressions.literals import adopt
from transforms.expressions.nodes import call
from transforms.expressions.parse import Brackets, SyntaxRefusal, kept, read
from transforms.expressions.typed import Refusal, Typed, as_text, derived, literal, text
from transforms.types import FLOATS, INTEGERS, MOMENTS, NUMBERS, NUMERIC, STRINGS, TEXT, Kind, Type

_QUOTIENT_MAX = 5
"""Digits after the point of a quotient: SQL Server cuts it off after six at the least."""
_FACTORS = (exp.Mul, exp.Div, exp.Mod)
_PARTS = ("dateadd", "datediff", "datepart")


class _Parser(Brackets, TSQLParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        TSQLParser.FUNCTION_PARSERS,
        "CAST",
        "CONVERT",
        "SUBSTRING",
        "TRIM",
        "TRY_CAST",
        "TRY_CONVERT",
    )
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        TSQLParser.NO_PAREN_FUNCTION_PARSERS, "CASE"
    )


def _refused(token: Token) -> SyntaxRefusal | None:
    if token.token_type is TokenType.DPIPE:
        return SyntaxRefusal("|| is not an operator here", (token.start, token.end), "a + b")
    return None


class TsqlDialect(Dialect):
    name: ClassVar[str] = "tsql"
    functions: ClassVar[Mapping[str, Function]] = own.FUNCTIONS
    synonyms: ClassVar[Mapping[str, str]] = {}
    instead: ClassVar[Mapping[str, str]] = own.INSTEAD
    volatile: ClassVar[frozenset[str]] = own.VOLATILE
    aggregates: ClassVar[frozenset[str]] = Dialect.aggregates | {"count_big", "stdev", "var"}
    words: ClassVar[frozenset[str]] = frozenset()
    insensitive: ClassVar[bool] = True
    nodes: ClassVar[Mapping[type[exp.Expr], frozenset[str]]] = {
        exp.National: frozenset({"this"}),
        exp.Convert: frozenset({"this", "expression", "style", "safe"}),
        exp.TryCast: frozenset({"this", "to", "safe"}),
    }
    syntax: ClassVar[Mapping[str, Build]] = {"like": own.like}

    advised: ClassVar[Mapping[str, str]] = {
        "text": "CAST({x} AS varchar(40))",
        "numeric": "CAST({x} AS decimal{size})",
        "decimal": "CAST({x} AS decimal{size})",
        "integer": "CAST({x} AS int)",
        "date": "CONVERT(date, {x}, 112)",
        "timestamp": "CONVERT(datetime2, {x}, 120)",
        "double precision": "CAST({x} AS float)",
        "zone": "a field of type timestamptz",
    }

    def read(self, text: str) -> exp.Expr:
        return read(text, TSQL(), _Parser, _refused)

    def plain(self, node: exp.Expr) -> exp.Expr | None:
        argument = node.args.get
        match node:
            case exp.National():
                return exp.Literal.string(str(node.this))
            case exp.Trim():
                if argument("expression") or argument("position"):
                    raise Refusal("TRIM() takes off blanks only", fix="REPLACE(), STUFF()")
                return call(node, "trim", node.this)
            case exp.Substring():
                return call(node, "substring", node.this, argument("start"), argument("length"))
            case exp.Anonymous() if node.this in _PARTS and node.expressions:
                first = node.expressions[0]
                if isinstance(first, exp.Column):
                    named = exp.Literal.string(first.name.lower())
                    return call(node, str(node.this), named, *node.expressions[1:])
        return None

    def unclear(self, node: exp.Expr) -> bool:
        """A sign binds less than ``*``: ``a / -b * c`` is ``a / -(b * c)``."""
        left = node.this
        chained = isinstance(node, _FACTORS) and isinstance(left, _FACTORS)
        return chained and isinstance(left.expression, exp.Neg)

    def column(self, value: Typed, column: Column) -> Typed:
        if value.kind not in STRINGS:
            return value
        size = column.native.partition("(")[2] or column.type.partition("(")[2]
        name = f"varchar({size}" if size else "text"
        if value.kind is Kind.BPCHAR:
            value = replace(value, column=None, printed=None)
        return replace(value, type=Type(Kind.TEXT, name=name), folds=FOLDS)

    def literal(self, text: str | None) -> Typed:
        return replace(literal(text), folds=FOLDS)

    def number(self, written: str) -> Typed:
        """What is no int is a decimal."""
        found = super().number(written)
        return adopt(literal(written), NUMERIC) if found.kind is Kind.INT8 else found

    def arithmetic(self, operator: str, left: Typed, right: Typed) -> Typed:
        texts = STRINGS | {Kind.LITERAL}
        if operator == "+" and left.kind in texts and right.kind in texts:
            return self._joined(left, right)
        for side in (left, right):
            if side.kind in MOMENTS:
                raise Refusal("dates are not added to", fix="DATEADD(day, 1, x), DATEDIFF()")
            if side.kind in texts and not side.is_null:
                raise Refusal(
                    "a text and a number are added", fix="CAST(x AS varchar(20)) + …, or CONCAT()"
                )
            if side.kind not in NUMBERS and not side.is_null:
                raise Refusal(f"{side.type} is no number")
        exact = left.kind not in FLOATS and right.kind not in FLOATS
        if operator == "/" and exact and not {left.kind, right.kind} <= INTEGERS:
            return exact_quotient(left, right, _QUOTIENT_MAX, zero_is_null=False)
        result = operators.arithmetic(operator, left, right)
        if result.kind is Kind.NUMERIC and result.type.precision == 38:
            raise Refusal(
                "a result of 38 digits loses some after the point", fix="CAST(x AS decimal(12,2))"
            )
        return result

    def _joined(self, left: Typed, right: Typed) -> Typed:
        a, b = as_text(left), as_text(right)
        parts = None
        if a.parts is not None and b.parts is not None:
            parts = a.parts + b.parts
        return folding(derived(TEXT, f"({text(a)} || {text(b)})", [a, b], parts=parts))

    def compare(self, operator: str, left: Typed, right: Typed) -> Typed:
        left, right = own.as_bit(left, right), own.as_bit(right, left)
        _same_kind(left, right)
        return operators.compare(operator, left, right)

    def is_in(self, value: Typed, items: Sequence[Typed]) -> Typed:
        for item in items:
            _same_kind(value, item)
        return operators.is_in(value, items)

    def case(self, tests: Sequence[Typed], results: Sequence[Typed], otherwise: Typed) -> Typed:
        return folding(super().case(tests, results, otherwise))

    def concatenate(self, left: Typed, right: Typed) -> Typed:
        raise Refusal("|| is not an operator here", fix="a + b")

    def collate(self, value: Typed, collation: str) -> Typed:
        if not collation.lower().endswith(("_bin2", "_bin")):
            raise Refusal(
                f"how {collation} compares is not known here",
                fix="x COLLATE Latin1_General_BIN2",
            )
        if value.kind not in STRINGS and value.kind is not Kind.LITERAL:
            raise Refusal(f"{value.type} has no collation")
        return replace(as_text(value), folds="", binary=True, pads=True)

    def at_time_zone(self, value: Typed, zone: Typed) -> Typed:
        raise Refusal(
            "AT TIME ZONE takes the names of Windows", fix="convert where the target is read"
        )

    def cast(self, value: Typed, to: exp.DataType) -> Typed:
        return folding(converted(value, to, None))

    def call(self, name: str, arguments: Arguments, named: Named) -> Typed:
        return folding(super().call(name, arguments, named))

    def converting(self, value: Typed, node: exp.Expr, style: Typed | None) -> Typed:
        """CONVERT(type, x, style), TRY_CAST(x AS type)."""
        to = node.this if isinstance(node, exp.Convert) else node.args["to"]
        if node.args.get("safe"):
            if style is not None:
                raise Refusal("TRY_CONVERT with a style is not supported", fix="CONVERT()")
            return folding(tried(value, to))
        return folding(converted(value, to, style))


def _same_kind(left: Typed, right: Typed) -> None:
    for value, other in ((left, right), (right, left)):
        if value.kind in NUMBERS and other.kind is Kind.LITERAL and not other.is_null:
            raise Refusal("a number is compared with a text", fix="write the number unquoted")
