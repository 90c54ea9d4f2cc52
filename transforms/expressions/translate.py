"""An expression of a mapping, translated for a source table: the way in to this package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from cdc.schema import TableSchema
from transforms.errors import ExpressionError, Loc
from transforms.expressions import documents, operators, regexes, zones
from transforms.expressions.casts import cast, cast_varchar
from transforms.expressions.functions import call
from transforms.expressions.literals import adopt, number
from transforms.expressions.parse import SyntaxRefusal, parse, span_of
from transforms.expressions.rewrite import rewritten
from transforms.expressions.sql import checked
from transforms.expressions.strings import like
from transforms.expressions.typed import (
    SQL_CHARS_MAX,
    Part,
    Refusal,
    Typed,
    derived,
    literal,
    text,
)
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
    Kind,
    Type,
    numeric,
    source_type,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression stands, for its errors: in a mapping, or what `kind` says."""

    mapping: str
    loc: Loc
    kind: str = "mapping"


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression. `tree` is what the rewrites left; `typed` what it was translated to."""

    text: str
    place: Place
    tree: exp.Expr
    typed: Typed

    def refuse(self, what: str, *, fix: str | None = None) -> ExpressionError:
        """An error about the whole of it."""
        return ExpressionError(
            what,
            mapping=self.place.mapping,
            loc=self.place.loc,
            expression=self.text,
            span=(0, len(self.text) - 1),
            fix=fix,
            kind=self.place.kind,
        )


def syntax(written: str, place: Place) -> exp.Expr:
    """The rewritten tree without a schema: columns and types unchecked. Errors: ExpressionError."""
    try:
        return rewritten(parse(written), None)
    except Refusal as refusal:
        raise _located(refusal, written, place) from None


def translate(written: str, place: Place, columns: Mapping[str, Typed]) -> Expression:
    """Check an expression against a table's columns and translate it. Errors: ExpressionError."""
    try:
        tree = rewritten(parse(written), columns)
        typed = _translate(tree, columns)
        if typed.fix is not None and len(typed.fix(DIGITS_MAX, 0)) > SQL_CHARS_MAX:
            raise Refusal("the expression is too complex", fix="split it into several fields")
    except Refusal as refusal:
        raise _located(refusal, written, place) from None
    except RecursionError:
        deep = Refusal("the expression is nested too deeply")
        raise _located(deep, written, place) from None
    return Expression(written, place, tree, typed)


def conjuncts(expression: Expression, columns: Mapping[str, Typed]) -> list[tuple[exp.Expr, Typed]]:
    """The conditions that one joins by AND, in the order written. Errors: ExpressionError."""
    found: list[tuple[exp.Expr, Typed]] = []
    waiting = [expression.tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.And):
            waiting += [node.expression, node.this]
            continue
        try:
            typed = _translate(node, columns)
            typed = derived(BOOL, operators.condition(typed), [typed])
        except Refusal as refusal:
            raise _located(refusal, expression.text, expression.place) from None
        found.append((node, typed))
    return found


def _located(refusal: Refusal, written: str, place: Place) -> ExpressionError:
    if isinstance(refusal, SyntaxRefusal):
        span = refusal.span
    else:
        span = span_of(refusal.node) if refusal.node is not None else None
    return ExpressionError(
        refusal.what,
        mapping=place.mapping,
        loc=place.loc,
        expression=written,
        span=span,
        fix=refusal.fix,
        kind=place.kind,
    )


def source_columns(schema: TableSchema) -> dict[str, Typed]:
    """Each column as a typed expression over the table of texts `c0`, `c1`, … by position."""
    return {
        column.name: _column(
            source_type(column),
            f"c{index}",
            column.name,
            column.nullable and column.name not in schema.key,
        )
        for index, column in enumerate(schema.columns)
    }


def _column(type_: Type, printed: str, name: str, nullable: bool) -> Typed:
    value = Typed(
        type_,
        _decoded(type_, printed),
        reads=frozenset({name}),
        nullable=nullable,
        fails=type_.kind in (Kind.NUMERIC, Kind.DATE, Kind.TIMESTAMP, Kind.TIMESTAMPTZ),
        column=name,
        printed=printed,
    )
    if type_.kind is Kind.NUMERIC and not type_.fixed:
        value = replace(value, fix=lambda p, s: f"CAST({printed} AS DECIMAL({p},{s}))")
    try:
        shown = text(value)
    except Refusal:
        shown = printed
    return replace(value, parts=(Part(shown, name, type_.kind),))


def _decoded(type_: Type, printed: str) -> str | None:
    """SQL of a column's value from the text that the source printed."""
    match type_.kind:
        case Kind.OTHER:
            return None
        case Kind.NUMERIC if not type_.fixed:
            return None
        case Kind.BOOL:
            return f"({printed} = 't')"
        case Kind.TIMESTAMP:
            sql = f"CAST({printed} AS TIMESTAMP)"
            return checked(f"suffix({printed}, 'BC')", "bc", sql, "TIMESTAMP")
        case Kind.TIMESTAMPTZ:
            utc = f"suffix({printed}, '+00') OR suffix({printed}, 'infinity')"
            return checked(f"NOT ({utc})", "bc", f"CAST({printed} AS TIMESTAMP)", "TIMESTAMP")
        case kind if kind in STRINGS or kind is Kind.UUID:
            return printed
        case _:
            return f"CAST({printed} AS {type_.duckdb})"


_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_COMPARISON: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}


def _translate(node: exp.Expr, columns: Mapping[str, Typed]) -> Typed:
    """Children first; a Refusal without a node is about this one."""
    try:
        return _node(node, columns)
    except Refusal as refusal:
        if refusal.node is None and not isinstance(refusal, SyntaxRefusal):
            refusal.node = node
        raise


def _node(node: exp.Expr, columns: Mapping[str, Typed]) -> Typed:
    def of(child: object) -> Typed:
        assert isinstance(child, exp.Expr)
        return _translate(child, columns)

    if type(node) in _ARITHMETIC:
        return operators.arithmetic(_ARITHMETIC[type(node)], of(node.this), of(node.expression))
    if type(node) in _COMPARISON:
        return operators.compare(_COMPARISON[type(node)], of(node.this), of(node.expression))
    match node:
        case exp.Column():
            return columns[node.name]
        case exp.Literal():
            return literal(node.name) if node.is_string else number(node.name)
        case exp.Null():
            return literal(None)
        case exp.Boolean():
            return adopt(literal(str(node.this).lower()), BOOL)
        case exp.Neg():
            return operators.negative(of(node.this))
        case exp.Cast():
            return _cast(node, of(node.this))
        case exp.DPipe():
            return operators.concatenate(of(node.this), of(node.expression))
        case exp.And():
            return operators.both(of(node.this), of(node.expression))
        case exp.Or():
            return operators.either(of(node.this), of(node.expression))
        case exp.Not():
            return operators.negation(of(node.this))
        case exp.Is():
            return _is(node, of(node.this))
        case exp.In():
            items = [of(item) for item in node.expressions]
            if not items:
                raise Refusal("IN () holds nothing")
            return operators.is_in(of(node.this), items)
        case exp.Case():
            return _case(node, columns)
        case exp.Anonymous():
            return _call(node, columns)
    raise Refusal(f"{type(node).__name__} is not supported in expressions")


def _is(node: exp.Is, value: Typed) -> Typed:
    what = node.expression
    if isinstance(what, exp.Null):
        result = operators.is_null(value)
    elif isinstance(what, exp.Boolean):
        result = operators.is_truth(value, bool(what.this))
    else:
        raise Refusal("IS is followed by NULL, TRUE or FALSE")
    return operators.negation(result) if node.args.get("negate") else result


def _case(node: exp.Case, columns: Mapping[str, Typed]) -> Typed:
    subject = None if node.this is None else _translate(node.this, columns)
    tests, results = [], []
    for branch in node.args["ifs"]:
        test = _translate(branch.this, columns)
        tests.append(test if subject is None else operators.compare("=", subject, test))
        results.append(_translate(branch.args["true"], columns))
    default = node.args.get("default")
    otherwise = literal(None) if default is None else _translate(default, columns)
    return replace(operators.case(tests, results, otherwise), blur="CASE")


def _call(node: exp.Anonymous, columns: Mapping[str, Typed]) -> Typed:
    name = str(node.this)
    arguments, named = [], {}
    for item in node.expressions:
        if isinstance(item, exp.Kwarg):
            named[item.this.name.lower()] = _translate(item.expression, columns)
        else:
            arguments.append(_translate(item, columns))
    if name in ("like", "ilike"):
        return like(arguments, fold=name == "ilike")
    if name == "collate":
        return _collate(*arguments)
    if name == "at_time_zone":
        return zones.at_time_zone(*arguments)
    if name == "interval":
        return zones.constant_interval(arguments, named)
    if name in ("matches", "imatches"):
        return regexes.matched(*arguments, fold=name == "imatches")
    if name == "substring_of":
        return regexes.extracted(of_group=True)(arguments, named).named("substring()")
    if name == "->>":
        return documents.of_arrows(arguments, named).named("->>")
    if name == "#>>":
        return documents.of_path(arguments, named).named("#>>")
    if name == "->":
        raise Refusal("-> gives a document, which is not computed on", fix="->> gives its text")
    return call(name, arguments, named)


def _collate(value: Typed, collation: Typed) -> Typed:
    if collation.constant != "C":
        raise Refusal("""only COLLATE "C" is the same in every database""")
    if value.kind not in STRINGS:
        raise Refusal(f"{value.type} has no collation")
    return replace(value, ordered=True)


_CAST_TYPES = {
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


def _cast(node: exp.Cast, value: Typed) -> Typed:
    to = node.to
    sizes = [int(size.name) for size in to.expressions if size.name.isdigit()]
    if len(sizes) != len(to.expressions):
        raise Refusal(f"there is no cast to {to.sql('postgres')}")
    if to.this is exp.DType.VARCHAR and len(sizes) <= 1:
        return cast_varchar(value, sizes[0] if sizes else None)
    if to.this is exp.DType.JSON:
        return documents.from_text(value)
    if to.this is exp.DType.DECIMAL:
        if not sizes:
            return cast(value, NUMERIC)
        scale = sizes[1] if len(sizes) > 1 else 0
        if not scale < sizes[0] <= DIGITS_MAX:
            raise Refusal(f"numeric(p,s) needs p <= {DIGITS_MAX} and s < p")
        return cast(value, numeric(sizes[0], scale))
    if to.this not in _CAST_TYPES or sizes:
        raise Refusal(
            f"a cast to {to.sql('postgres').lower()} is not supported",
            fix="to text, varchar(n), smallint, integer, bigint, numeric(p,s), double precision,"
            " boolean, date, timestamp or uuid",
        )
    return cast(value, _CAST_TYPES[to.this])
