"""The dialect of MySQL and MariaDB.

Texts compare by collations that ignore case, accents and trailing blanks; the source's schema does
not say which. So texts are compared only where the author names a binary collation. Numbers are not
read from texts silently, `||` is refused (it is OR there), a quotient needs its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.parsers.mysql import MySQLParser
from sqlglot.tokenizer_core import Token, TokenType

from cdc.schema import Column
from transforms.expressions import operators, zones
from transforms.expressions.arguments import Arguments, Build, Function, Named
from transforms.expressions.casts import cast, cast_varchar
from transforms.expressions.dialects import mysqlfunctions as own
from transforms.expressions.dialects import mysqlmoments, mysqlstrings
from transforms.expressions.dialects.base import Dialect, decimal_of, sizes_of
from transforms.expressions.dialects.mysqltext import (
    FOLDS,
    UNSIGNED,
    folding,
    string,
    unsigned,
    wide,
)
from transforms.expressions.dialects.quotients import quotient
from transforms.expressions.nodes import call
from transforms.expressions.parse import Brackets, SyntaxRefusal, interval, kept, read
from transforms.expressions.sql import checked
from transforms.expressions.typed import Refusal, Typed, as_text, derived, literal
from transforms.types import (
    BOOL,
    DATE,
    FLOAT8,
    FLOATS,
    INT8,
    INTEGERS,
    MOMENTS,
    NUMBERS,
    STRINGS,
    TIMESTAMP,
    Kind,
    numeric,
)

_SCALE_MAX = 30


class _Tokenizer(MySQL.Tokenizer):
    COMMANDS: ClassVar[set[TokenType]] = set()
    """REPLACE begins a statement as well, which sqlglot would not read further."""


class _Mysql(MySQL):
    Tokenizer = _Tokenizer


class _Parser(Brackets, MySQLParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNC_TOKENS: ClassVar[set[TokenType]] = {*MySQLParser.FUNC_TOKENS, TokenType.REPLACE}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        MySQLParser.FUNCTION_PARSERS, "CAST", "CONVERT", "EXTRACT", "POSITION", "SUBSTRING", "TRIM"
    )
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        MySQLParser.NO_PAREN_FUNCTION_PARSERS, "CASE"
    )

    def _parse_interval(
        self, require_interval: bool = True, parse_function_unit: bool = True
    ) -> exp.Interval | None:
        return interval(self, numbers=True)


def _refused(token: Token) -> SyntaxRefusal | None:
    """What sqlglot reads in its own way."""
    span = (token.start, token.end)
    if token.token_type is TokenType.DPIPE:
        return SyntaxRefusal("|| is OR here, unless PIPES_AS_CONCAT is set", span, "CONCAT(a, b)")
    if token.token_type is TokenType.NOT and token.text == "!":
        return SyntaxRefusal("! is not supported", span, "NOT (…)")
    if any(comment.lstrip("M").startswith("!") for comment in token.comments):
        return SyntaxRefusal("comments that are executed are not supported", span)
    return None


class MysqlDialect(Dialect):
    name: ClassVar[str] = "mysql"
    functions: ClassVar[Mapping[str, Function]] = own.FUNCTIONS
    synonyms: ClassVar[Mapping[str, str]] = own.SYNONYMS
    instead: ClassVar[Mapping[str, str]] = own.INSTEAD
    volatile: ClassVar[frozenset[str]] = own.VOLATILE
    aggregates: ClassVar[frozenset[str]] = Dialect.aggregates | {"group_concat", "bit_or", "std"}
    words: ClassVar[frozenset[str]] = frozenset({"user"})
    insensitive: ClassVar[bool] = True
    nodes: ClassVar[Mapping[type[exp.Expr], frozenset[str]]] = {
        exp.IntDiv: frozenset({"this", "expression"})
    }
    cast_names: ClassVar[str] = "SIGNED, UNSIGNED, CHAR, DECIMAL(p,s), DOUBLE, DATE or DATETIME"
    syntax: ClassVar[Mapping[str, Build]] = {
        "like": Dialect.syntax["like"],
        "matches": mysqlstrings.matches,
        "interval": zones.constant_interval,
        "div": lambda arguments, named: whole_quotient(*arguments),
    }

    advised: ClassVar[Mapping[str, str]] = {
        "text": "CAST({x} AS CHAR)",
        "numeric": "CAST({x} AS DECIMAL{size})",
        "decimal": "CAST({x} AS DECIMAL{size})",
        "integer": "CAST({x} AS SIGNED)",
        "date": "STR_TO_DATE({x}, '%Y-%m-%d')",
        "timestamp": "STR_TO_DATE({x}, '%Y-%m-%d %H:%i:%s')",
        "double precision": "CAST({x} AS DOUBLE)",
        "zone": "CONVERT_TZ(x, '+00:00', '+00:00')",
    }

    def read(self, text: str) -> exp.Expr:
        return read(text, _Mysql(), _Parser, _refused)

    def plain(self, node: exp.Expr) -> exp.Expr | None:
        argument = node.args.get
        match node:
            case exp.IntDiv():
                return call(node, "div", node.this, node.expression)
            case exp.Trim():
                side = exp.Literal.string(str(argument("position") or "BOTH").lower())
                return call(node, "trim", node.this, argument("expression"), side)
            case exp.Substring():
                return call(node, "substring", node.this, argument("start"), argument("length"))
            case exp.StrPosition():
                return call(node, "locate", argument("substr"), node.this)
        return None

    def column(self, value: Typed, column: Column) -> Typed:
        if value.kind is Kind.BPCHAR:
            value = replace(as_text(value), column=None, printed=None)
        if value.kind in STRINGS:
            return replace(value, folds=FOLDS)
        if column.native.endswith("unsigned") and value.kind in INTEGERS:
            return replace(value, type=replace(value.type, name=column.native[6:]))
        return value

    def literal(self, text: str | None) -> Typed:
        return replace(literal(text), folds=FOLDS)

    def boolean(self, value: Typed) -> Typed:
        """A number is true where it is not 0."""
        if value.kind in NUMBERS:
            return derived(BOOL, f"({value.value} <> 0)", [value])
        return value

    def arithmetic(self, operator: str, left: Typed, right: Typed) -> Typed:
        if zones.is_interval(left) or zones.is_interval(right):
            if zones.is_interval(left) or operator not in "+-":
                raise Refusal("of intervals there are: x + INTERVAL 1 DAY, x - INTERVAL 1 DAY")
            return mysqlmoments.moved(operator, left, right)
        for side in (left, right):
            if side.kind in MOMENTS:
                raise Refusal(
                    "a date is a number here", fix="x + INTERVAL 1 DAY, or DATEDIFF(x, y)"
                )
            if side.kind not in NUMBERS and not side.is_null:
                raise Refusal(f"{side.type} is no number", fix="CAST(x AS DECIMAL(12,2))")
        left, right = (wide(side) for side in (left, right))
        if left.kind in FLOATS or right.kind in FLOATS:
            return _double(operator, left, right)
        if operator == "/":
            return quotient(left, right)
        if operator == "%":
            return _remainder(left, right)
        result = operators.arithmetic(operator, left, right)
        if (result.type.scale or 0) > _SCALE_MAX:
            raise Refusal(f"the result has more than {_SCALE_MAX} digits after the point")
        return _never_negative(result, left, right)

    def negative(self, value: Typed) -> Typed:
        return operators.negative(value if value.constant is not None else wide(value))

    def compare(self, operator: str, left: Typed, right: Typed) -> Typed:
        left, right = _as_number(left, right), _as_number(right, left)
        _same_kind(left, right)
        return operators.compare(operator, left, right)

    def is_in(self, value: Typed, items: Sequence[Typed]) -> Typed:
        for item in items:
            _same_kind(value, item)
        return operators.is_in(value, items)

    def case(self, tests: Sequence[Typed], results: Sequence[Typed], otherwise: Typed) -> Typed:
        return folding(super().case(tests, results, otherwise))

    def collate(self, value: Typed, collation: str) -> Typed:
        name = collation.lower()
        if not (name.endswith("_bin") or name == "binary"):
            raise Refusal(f"{collation} is not known here", fix="x COLLATE utf8mb4_bin")
        if value.kind not in STRINGS and value.kind is not Kind.LITERAL:
            raise Refusal(f"{value.type} has no collation")
        pads = not (name == "binary" or "nopad" in name or "0900" in name)
        return replace(as_text(value), folds="", binary=True, pads=pads)

    def at_time_zone(self, value: Typed, zone: Typed) -> Typed:
        raise Refusal("AT TIME ZONE is not supported", fix="CONVERT_TZ(x, 'UTC', 'Europe/Berlin')")

    def cast(self, value: Typed, to: exp.DataType) -> Typed:
        kind = to.this
        if kind is exp.DType.CHARACTER_SET:
            raise Refusal("CONVERT(x USING …) is not supported", fix="texts are UTF-8 already")
        if kind is exp.DType.BINARY:
            return self.collate(value, "binary")
        sizes = sizes_of(to)
        if kind in (exp.DType.CHAR, exp.DType.VARCHAR) and len(sizes) <= 1:
            whole = string(value)
            return folding(cast_varchar(whole, sizes[0]) if sizes else whole)
        if kind is exp.DType.DECIMAL:
            return cast(wide(value), decimal_of(sizes or [10]))
        if kind is exp.DType.UBIGINT and not sizes:
            result = cast(cast(value, numeric(20, 0)), numeric(20, 0))
            sql = checked(f"{result.value} < 0", "overflow", result.value, result.type.duckdb)
            return derived(result.type, sql, [result], fails=True)
        wanted = {
            exp.DType.BIGINT: INT8,
            exp.DType.DOUBLE: FLOAT8,
            exp.DType.DATE: DATE,
            exp.DType.DATETIME: TIMESTAMP,
            exp.DType.TIMESTAMPTZ: TIMESTAMP,
            exp.DType.TIMESTAMP: TIMESTAMP,
        }
        if kind not in wanted or sizes:
            raise self.no_cast(to)
        if kind is exp.DType.BIGINT and value.kind in INTEGERS:
            return replace(cast(value, INT8), type=INT8)
        return cast(value, wanted[kind])

    def call(self, name: str, arguments: Arguments, named: Named) -> Typed:
        return folding(super().call(name, arguments, named))


def _never_negative(result: Typed, left: Typed, right: Typed) -> Typed:
    """With an unsigned operand a whole result is unsigned."""
    if result.kind not in INTEGERS or not (unsigned(left) or unsigned(right)):
        return result
    sql = checked(f"{result.value} < 0", "overflow", result.value, "BIGINT")
    return derived(UNSIGNED, sql, [result], fails=True)


def _remainder(left: Typed, right: Typed) -> Typed:
    """x % 0 is NULL."""
    zero = f"{right.value} = 0"
    result = operators.arithmetic("%", left, right)
    sql = f"CASE WHEN {zero} THEN NULL ELSE {result.value} END"
    exact = result.kind in INTEGERS  # MariaDB prints -0.00
    return derived(result.type, sql, [result], nullable=True, exact=exact)


def whole_quotient(left: Typed, right: Typed) -> Typed:
    """DIV of integers."""
    left, right = wide(left), wide(right)
    if left.kind not in INTEGERS or right.kind not in INTEGERS:
        raise Refusal("DIV takes integers", fix="TRUNCATE(x, 0) DIV y, of CAST(x AS SIGNED)")
    result = operators.arithmetic("/", left, right)
    sql = f"CASE WHEN {right.value} = 0 THEN NULL ELSE {result.value} END"
    return _never_negative(derived(INT8, sql, [result], nullable=True), left, right)


def _double(operator: str, left: Typed, right: Typed) -> Typed:
    result = operators.arithmetic(operator, left, right)
    if operator != "/":
        return result
    zero = f"CAST({right.value} AS DOUBLE) = 0"
    return derived(
        FLOAT8, f"CASE WHEN {zero} THEN NULL ELSE {result.value} END", [result], nullable=True
    )


def _as_number(value: Typed, other: Typed) -> Typed:
    """TRUE is 1 where it meets a number."""
    if value.kind is Kind.BOOL and other.kind in NUMBERS:
        return derived(INT8, f"CAST({value.value} AS BIGINT)", [value])
    return value


def _same_kind(left: Typed, right: Typed) -> None:
    """Numbers and texts are not compared: MySQL would compare them as doubles."""
    for value, other in ((left, right), (right, left)):
        if value.kind in NUMBERS and other.kind is Kind.LITERAL and not other.is_null:
            raise Refusal("a number is compared with a text", fix="write the number unquoted")
