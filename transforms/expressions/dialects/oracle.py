"""The dialect of Oracle.

An empty text is NULL, and NULL is nothing to `||`. Numbers know no types of different widths; a
quotient needs its scale; what depends on NLS settings (numbers and dates read from text, or
printed, without a format) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.oracle import Oracle
from sqlglot.parsers.oracle import OracleParser

from cdc.schema import Column
from transforms.expressions import operators, zones
from transforms.expressions.arguments import Arguments, Build, Function, Named
from transforms.expressions.casts import as_numeric, cast
from transforms.expressions.dialects import oraclefunctions as own
from transforms.expressions.dialects import oraclemoments, oraclestrings
from transforms.expressions.dialects.base import Dialect, decimal_of, sizes_of
from transforms.expressions.dialects.oracletext import emptied, same_kind
from transforms.expressions.dialects.quotients import exact_quotient
from transforms.expressions.nodes import call
from transforms.expressions.parse import Brackets, interval, kept, read
from transforms.expressions.typed import Refusal, Typed, literal
from transforms.types import (
    DATE,
    INT4,
    MOMENTS,
    NUMBERS,
    NUMERIC,
    STRINGS,
    TEXT,
    TIMESTAMP,
    Kind,
    numeric,
)

_QUOTIENT_MAX = 18
"""Digits after the point of a quotient: Oracle computes 40 significant ones before it rounds."""
_PADDED = "char(n) compares with its blanks in ways of its own → RTRIM(x) = 'A'"
_WORDS = frozenset(
    [
        "sysdate",
        "systimestamp",
        "current_date",
        "current_timestamp",
        "localtimestamp",
        "rownum",
        "rowid",
        "level",
        "user",
        "uid",
        "sessiontimezone",
        "dbtimezone",
        "ora_rowscn",
    ]
)


class _Parser(Brackets, OracleParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        OracleParser.FUNCTION_PARSERS, "CAST", "EXTRACT", "TRIM"
    )
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        OracleParser.NO_PAREN_FUNCTION_PARSERS, "CASE"
    )

    def _parse_interval(
        self, require_interval: bool = True, parse_function_unit: bool = True
    ) -> exp.Interval | None:
        return interval(self)


class OracleDialect(Dialect):
    name: ClassVar[str] = "oracle"
    functions: ClassVar[Mapping[str, Function]] = own.FUNCTIONS
    synonyms: ClassVar[Mapping[str, str]] = own.SYNONYMS
    instead: ClassVar[Mapping[str, str]] = own.INSTEAD
    volatile: ClassVar[frozenset[str]] = own.VOLATILE | _WORDS
    aggregates: ClassVar[frozenset[str]] = Dialect.aggregates | {"listagg", "median", "wm_concat"}
    words: ClassVar[frozenset[str]] = _WORDS
    insensitive: ClassVar[bool] = True
    nodes: ClassVar[Mapping[type[exp.Expr], frozenset[str]]] = {
        exp.DateStrToDate: frozenset({"this"}),
        exp.StrToTime: frozenset({"this", "format"}),
        exp.National: frozenset({"this"}),
        exp.RawString: frozenset({"this"}),
    }
    cast_names: ClassVar[str] = "NUMBER(p,s), INTEGER, VARCHAR2 through SUBSTR(), or TIMESTAMP"
    syntax: ClassVar[Mapping[str, Build]] = {
        "like": oraclestrings.like,
        "interval": zones.constant_interval,
    }

    advised: ClassVar[Mapping[str, str]] = {
        "text": "TO_CHAR({x}, …)",
        "numeric": "CAST({x} AS NUMBER{size})",
        "decimal": "parse_decimal({x})",
        "integer": "CAST({x} AS INTEGER)",
        "date": "TO_DATE({x}, 'YYYYMMDD')",
        "timestamp": "TO_TIMESTAMP({x}, 'YYYYMMDDHH24MISS')",
        "double precision": "CAST({x} AS NUMBER{size})",
        "zone": "CAST(x AT TIME ZONE 'UTC' AS TIMESTAMP)",
    }

    def read(self, text: str) -> exp.Expr:
        return read(text, Oracle(), _Parser)

    def plain(self, node: exp.Expr) -> exp.Expr | None:
        argument = node.args.get
        match node:
            case exp.DateStrToDate():
                return exp.Cast(this=node.this, to=exp.DataType(this=exp.DType.DATE))
            case exp.StrToTime():
                return exp.Cast(this=node.this, to=exp.DataType(this=exp.DType.TIMESTAMP))
            case exp.National() | exp.RawString():
                return exp.Literal.string(str(node.this))
            case exp.Trim():
                side = exp.Literal.string(str(argument("position") or "BOTH").lower())
                return call(node, "trim", node.this, argument("expression"), side)
        return None

    def unclear(self, node: exp.Expr) -> bool:
        """``||`` binds like ``+``: ``a || b + c`` is ``(a || b) + c``."""
        return isinstance(node, exp.DPipe) and isinstance(node.expression, (exp.Add, exp.Sub))

    def column(self, value: Typed, column: Column) -> Typed:
        if value.kind not in STRINGS:
            return value
        padded = value.kind is Kind.BPCHAR
        parts = None if value.nullable else value.parts
        found = replace(value, type=TEXT, column=None, printed=None, nullable=True, parts=parts)
        found = replace(found, sql=f"nullif({value.value}, '')", folds=_PADDED if padded else "")
        return found if parts is not None else found.named("a column that may be NULL")

    def literal(self, text: str | None) -> Typed:
        return literal(text or None)

    def arithmetic(self, operator: str, left: Typed, right: Typed) -> Typed:
        if zones.is_interval(left) or zones.is_interval(right):
            return oraclemoments.moved(operator, left, right)
        if left.kind in MOMENTS or right.kind in MOMENTS:
            return self._days(operator, left, right)
        for side in (left, right):
            if side.kind not in NUMBERS and not side.is_null:
                raise Refusal(f"{side.type} is no number", fix="parse_decimal(x, decimal => ',')")
        left, right = as_numeric(left), as_numeric(right)
        if operator == "/":
            return exact_quotient(left, right, _QUOTIENT_MAX, zero_is_null=False)
        if operator == "%":
            raise Refusal("% is not an operator of Oracle", fix="MOD(x, y)")
        return operators.arithmetic(operator, left, right)

    def _days(self, operator: str, left: Typed, right: Typed) -> Typed:
        if Kind.TIMESTAMP in (left.kind, right.kind) or Kind.TIMESTAMPTZ in (left.kind, right.kind):
            raise Refusal("days are added to dates", fix="x + INTERVAL '1' DAY, or TRUNC(x) + 1")
        if right.kind is Kind.NUMERIC and right.type.scale == 0:
            right = cast(right, INT4)
        return operators.arithmetic(operator, left, right)

    def negative(self, value: Typed) -> Typed:
        return operators.negative(value if value.constant is not None else as_numeric(value))

    def compare(self, operator: str, left: Typed, right: Typed) -> Typed:
        same_kind(left, right)
        return operators.compare(operator, left, right)

    def is_in(self, value: Typed, items: Sequence[Typed]) -> Typed:
        for item in items:
            same_kind(value, item)
        return operators.is_in(value, items)

    def case(self, tests: Sequence[Typed], results: Sequence[Typed], otherwise: Typed) -> Typed:
        return emptied(super().case(tests, results, otherwise))

    def concatenate(self, left: Typed, right: Typed) -> Typed:
        return oraclestrings.concatenated(left, right)

    def collate(self, value: Typed, collation: str) -> Typed:
        raise Refusal("COLLATE is not supported", fix="texts compare character by character")

    def at_time_zone(self, value: Typed, zone: Typed) -> Typed:
        """The same moment, which CAST(… AS TIMESTAMP) then shows as the clock there does."""
        if value.kind is not Kind.TIMESTAMPTZ:
            raise Refusal(
                f"AT TIME ZONE takes a timestamp with time zone, not {value.type}",
                fix="FROM_TZ(x, 'UTC') AT TIME ZONE 'Europe/Berlin'",
            )
        return replace(
            value, type=oraclemoments.zoned(zones.zone_of(zone)), column=None, printed=None
        )

    def cast(self, value: Typed, to: exp.DataType) -> Typed:
        kind = to.this
        sizes = sizes_of(to) if kind is not exp.DType.VARCHAR else []
        if kind in (exp.DType.DECIMAL, exp.DType.INT):
            if value.kind in STRINGS or (value.kind is Kind.LITERAL and not value.is_null):
                raise Refusal("a number in a text depends on NLS settings", fix="parse_decimal(x)")
            if kind is exp.DType.INT:
                return cast(value, numeric(38, 0))
            return cast(value, decimal_of(sizes) if sizes else NUMERIC)
        if kind in (exp.DType.DATE, exp.DType.TIMESTAMP) and not sizes:
            return self._moment(value, kind)
        if kind is exp.DType.VARCHAR:
            raise Refusal("VARCHAR2(n) counts bytes or characters", fix="SUBSTR(x, 1, n)")
        raise self.no_cast(to)

    def _moment(self, value: Typed, kind: exp.DType) -> Typed:
        to = DATE if kind is exp.DType.DATE else TIMESTAMP
        if value.kind is Kind.LITERAL:
            return cast(value, to)
        if value.kind in STRINGS:
            raise Refusal("a date in a text depends on NLS settings", fix="TO_DATE(x, 'YYYYMMDD')")
        if value.kind is Kind.TIMESTAMPTZ:
            return oraclemoments.shown(value)
        if to is DATE and value.kind is not Kind.DATE:
            raise Refusal("a DATE of Oracle holds a time of day", fix="TRUNC(x)")
        return cast(value, to)

    def call(self, name: str, arguments: Arguments, named: Named) -> Typed:
        found = super().call(name, arguments, named)
        return found if name == "concat" else emptied(found)
