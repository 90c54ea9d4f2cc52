"""What a dialect of expressions is: how it is read, its functions, and where its meaning differs.

This is PostgreSQL's; the others inherit from it and say what is different. Whatever a dialect does
not list is refused: nothing is turned from one into another by its syntax.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from sqlglot import exp

from cdc.schema import Column
from transforms.expressions import documents, operators, regexes, strings, zones
from transforms.expressions.arguments import Arguments, Build, Function, Named
from transforms.expressions.casts import cast, cast_varchar
from transforms.expressions.functions import AGGREGATES, FUNCTIONS, INSTEAD, SYNONYMS, VOLATILE
from transforms.expressions.literals import number
from transforms.expressions.parse import read_postgres
from transforms.expressions.typed import Refusal, Typed, literal
from transforms.types import (
    BOOL,
    DATE,
    DIGITS_MAX,
    FLOAT4,
    FLOAT8,
    INT2,
    INT4,
    INT8,
    NUMERIC,
    STRINGS,
    TEXT,
    TIMESTAMP,
    TIMESTAMPTZ,
    UUID,
    Type,
    numeric,
)


def _arrow(arguments: Arguments, named: Named) -> Typed:
    raise Refusal("-> gives a document, which is not computed on", fix="->> gives its text")


def _matches(fold: bool) -> Build:
    return lambda arguments, named: regexes.matched(arguments[0], arguments[1], fold=fold)


def _like(fold: bool) -> Build:
    return lambda arguments, named: strings.like(arguments, fold=fold)


class Dialect:
    """PostgreSQL's. `words`: names that read like columns and are functions; `insensitive`: whether
    the names of columns are found whatever their case; `nodes`: kinds of nodes that only this
    parser gives, with the parts of each that are understood."""

    name: ClassVar[str] = "postgres"
    functions: ClassVar[Mapping[str, Function]] = FUNCTIONS
    synonyms: ClassVar[Mapping[str, str]] = SYNONYMS
    instead: ClassVar[Mapping[str, str]] = INSTEAD
    volatile: ClassVar[frozenset[str]] = VOLATILE
    aggregates: ClassVar[frozenset[str]] = AGGREGATES
    words: ClassVar[frozenset[str]] = frozenset(
        {"user", "current_role", "current_catalog", "current_schema", "system_user"}
    )
    insensitive: ClassVar[bool] = False
    nodes: ClassVar[Mapping[type[exp.Expr], frozenset[str]]] = {}
    casts: ClassVar[Mapping[exp.DType, Type]] = {
        exp.DType.TEXT: TEXT,
        exp.DType.SMALLINT: INT2,
        exp.DType.INT: INT4,
        exp.DType.BIGINT: INT8,
        exp.DType.FLOAT: FLOAT4,
        exp.DType.DOUBLE: FLOAT8,
        exp.DType.BOOLEAN: BOOL,
        exp.DType.DATE: DATE,
        exp.DType.TIMESTAMP: TIMESTAMP,
        exp.DType.TIMESTAMPTZ: TIMESTAMPTZ,
        exp.DType.UUID: UUID,
    }
    cast_names: ClassVar[str] = (
        "text, varchar(n), smallint, integer, bigint, numeric(p,s), double precision, boolean,"
        " date, timestamp or uuid"
    )
    syntax: ClassVar[Mapping[str, Build]] = {
        "like": _like(False),
        "ilike": _like(True),
        "matches": _matches(False),
        "imatches": _matches(True),
        "substring_of": regexes.extracted(of_group=True),
        "interval": zones.constant_interval,
        "->": _arrow,
        "->>": documents.of_arrows,
        "#>>": documents.of_path,
    }
    """Calls that stand for syntax."""

    advised: ClassVar[Mapping[str, str]] = {}
    """Casts to PostgreSQL's types as this dialect writes them; what it has no word for is left."""

    def advice(self, fix: str) -> str | None:
        """What to write instead, in this dialect's words."""
        if not self.advised:
            return fix
        if 'COLLATE "C"' in fix:
            return None
        fix = fix.replace("x AT TIME ZONE 'UTC'", self.advised["zone"])
        return _CAST.sub(self._advised, fix)

    def _advised(self, match: re.Match[str]) -> str:
        template = self.advised.get(match[2])
        size = match[3] or "(12,2)"
        return match[0] if template is None else template.format(x=match[1], size=size)

    def read(self, text: str) -> exp.Expr:
        """Errors: Refusal."""
        return read_postgres(text)

    def plain(self, node: exp.Expr) -> exp.Expr | None:
        """A node that only this dialect's parser gives, as a call; None: it is none."""
        return None

    def unclear(self, node: exp.Expr) -> bool:
        """Whether its operators are read in another order here than the parser has read them."""
        return False

    def column(self, value: Typed, column: Column) -> Typed:
        """A source's column as this dialect sees it."""
        return value

    def literal(self, text: str | None) -> Typed:
        return literal(text)

    def number(self, written: str) -> Typed:
        return number(written)

    def boolean(self, value: Typed) -> Typed:
        """A value that is used as a condition."""
        return value

    def arithmetic(self, operator: str, left: Typed, right: Typed) -> Typed:
        return operators.arithmetic(operator, left, right)

    def negative(self, value: Typed) -> Typed:
        return operators.negative(value)

    def compare(self, operator: str, left: Typed, right: Typed) -> Typed:
        return operators.compare(operator, left, right)

    def is_in(self, value: Typed, items: Sequence[Typed]) -> Typed:
        return operators.is_in(value, items)

    def is_null(self, value: Typed) -> Typed:
        return operators.is_null(value)

    def case(self, tests: Sequence[Typed], results: Sequence[Typed], otherwise: Typed) -> Typed:
        return operators.case(tests, results, otherwise)

    def concatenate(self, left: Typed, right: Typed) -> Typed:
        return operators.concatenate(left, right)

    def collate(self, value: Typed, collation: str) -> Typed:
        if collation != "C":
            raise Refusal("""only COLLATE "C" is the same in every database""")
        return replace(_collated(value), ordered=True)

    def at_time_zone(self, value: Typed, zone: Typed) -> Typed:
        return zones.at_time_zone(value, zone)

    def cast(self, value: Typed, to: exp.DataType) -> Typed:
        sizes = sizes_of(to)
        if to.this is exp.DType.VARCHAR and len(sizes) <= 1:
            return cast_varchar(value, sizes[0] if sizes else None)
        if to.this is exp.DType.JSON:
            return documents.from_text(value)
        if to.this is exp.DType.DECIMAL:
            return cast(value, decimal_of(sizes) if sizes else NUMERIC)
        if to.this not in self.casts or sizes:
            raise self.no_cast(to)
        return cast(value, self.casts[to.this])

    def converting(self, value: Typed, node: exp.Expr, style: Typed | None) -> Typed:
        """A cast that only this dialect's parser gives."""
        raise Refusal(f"{type(node).__name__} is not supported in expressions")

    def no_cast(self, to: exp.DataType) -> Refusal:
        name = to.sql("postgres").lower()
        return Refusal(f"a cast to {name} is not supported", fix=f"to {self.cast_names}")

    def call(self, name: str, arguments: Arguments, named: Named) -> Typed:
        """Errors: Refusal for a wrong number of arguments, unknown named ones, or wrong types."""
        if name == "collate":
            return self.collate(arguments[0], arguments[1].constant or "")
        if name == "at_time_zone":
            return self.at_time_zone(*arguments)
        if name in self.syntax:
            return self.syntax[name](arguments, named)
        function = self.functions[name]
        most = function.most
        if len(arguments) < function.least or (most is not None and len(arguments) > most):
            raise Refusal(f"{name}() is called as {function.signature}")
        unknown = sorted(set(named) - set(function.named))
        if unknown:
            raise Refusal(f"{name}() has no argument {unknown[0]}; it is {function.signature}")
        return function.build(arguments, named)


_CAST = re.compile(r"(\w+|\(…\))::(double precision|[a-z]+)(\(\d+,\d+\))?")


def _collated(value: Typed) -> Typed:
    if value.kind not in STRINGS:
        raise Refusal(f"{value.type} has no collation")
    return value


def sizes_of(to: exp.DataType) -> list[int]:
    """The numbers in a type's brackets. Errors: Refusal where there is anything else."""
    sizes = [int(size.name) for size in to.expressions if size.name.isdigit()]
    if len(sizes) != len(to.expressions):
        raise Refusal(f"there is no cast to {to.sql('postgres')}")
    return sizes


def decimal_of(sizes: Sequence[int]) -> Type:
    """numeric(p[,s])."""
    scale = sizes[1] if len(sizes) > 1 else 0
    if not scale < sizes[0] <= DIGITS_MAX:
        raise Refusal(f"numeric(p,s) needs p <= {DIGITS_MAX} and s < p")
    return numeric(sizes[0], scale)
