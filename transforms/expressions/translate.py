"""An expression of a mapping, translated for a source table: the way in to this package."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from cdc.schema import TableSchema
from transforms.errors import ExpressionError, Loc
from transforms.expressions import operators
from transforms.expressions.casts import at_some_scale
from transforms.expressions.dialects import DIALECTS
from transforms.expressions.dialects.base import Dialect
from transforms.expressions.literals import adopt
from transforms.expressions.parse import SyntaxRefusal, span_of
from transforms.expressions.rewrite import rewritten
from transforms.expressions.sql import checked
from transforms.expressions.typed import (
    SQL_CHARS_MAX,
    Excess,
    Part,
    Refusal,
    Typed,
    derived,
    literal,
    text,
)
from transforms.types import (
    BOOL,
    STRINGS,
    TEXT,
    Kind,
    Type,
    source_type,
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression stands, for its errors: in a mapping, or what `kind` says. `lookups`:
    names before a dot, ``zb.days``."""

    mapping: str
    loc: Loc
    dialect: str = "postgres"
    kind: str = "mapping"
    lookups: Collection[str] = ()

    def advice(self, fix: str | None) -> str | None:
        """What to write instead, in the words of the expression's dialect."""
        return None if fix is None else DIALECTS[self.dialect].advice(fix)


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
            fix=self.place.advice(fix),
            kind=self.place.kind,
        )


def syntax(written: str, place: Place) -> exp.Expr:
    """The rewritten tree without a schema: columns and types unchecked. Errors: ExpressionError."""
    try:
        dialect = DIALECTS[place.dialect]
        tree = rewritten(dialect.read(written), None, dialect, place.lookups)
        _check_excess(tree, dialect)
        return tree
    except Refusal as refusal:
        raise _located(refusal, written, place) from None
    except RecursionError:
        raise _located(Refusal("the expression is nested too deeply"), written, place) from None


def _check_excess(tree: exp.Expr, dialect: Dialect) -> None:
    """Refuse what is out of bounds whatever the columns are: here they are all taken for texts."""
    columns = {node.name: _A_TEXT for node in tree.find_all(exp.Column)}
    for call in tree.find_all(exp.Anonymous):
        if call.this not in _BOUNDED:
            continue
        try:
            _translate(call, columns, dialect)
        except Excess:
            raise
        except Refusal:
            continue


_A_TEXT = Typed(TEXT, "c0", column="c0", printed="c0")
_BOUNDED = frozenset(
    {
        *("repeat", "replicate", "space", "lpad", "rpad", "replace"),
        *("regexp_like", "regexp_replace", "regexp_substr", "matches", "imatches", "substring_of"),
    }
)
"""Calls whose constants are checked before the types of columns are known."""


def translate(written: str, place: Place, columns: Mapping[str, Typed]) -> Expression:
    """Check an expression against a table's columns and translate it. Errors: ExpressionError."""
    try:
        dialect = DIALECTS[place.dialect]
        tree = rewritten(dialect.read(written), columns, dialect, place.lookups)
        typed = _translate(tree, columns, dialect)
        if typed.fix is not None and len(at_some_scale(typed)) > SQL_CHARS_MAX:
            raise Refusal("the expression is too complex", fix="split it into several fields")
    except Refusal as refusal:
        raise _located(refusal, written, place) from None
    except RecursionError:
        deep = Refusal("the expression is nested too deeply")
        raise _located(deep, written, place) from None
    return Expression(written, place, tree, typed)


def conjuncts(expression: Expression, columns: Mapping[str, Typed]) -> list[tuple[exp.Expr, Typed]]:
    """The conditions that one joins by AND, in the order written. Errors: ExpressionError."""
    dialect = DIALECTS[expression.place.dialect]
    found: list[tuple[exp.Expr, Typed]] = []
    waiting = [expression.tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.And):
            waiting += [node.expression, node.this]
            continue
        try:
            typed = dialect.boolean(_translate(node, columns, dialect))
            typed = derived(BOOL, operators.condition(typed), [typed])
        except Refusal as refusal:
            raise _located(refusal, expression.text, expression.place) from None
        found.append((node, typed))
    return found


def equality(
    node: exp.Expr, expression: Expression, columns: Mapping[str, Typed]
) -> tuple[Typed, Typed] | None:
    """The sides of a condition that is an equality, as `conjuncts` found it."""
    dialect = DIALECTS[expression.place.dialect]
    if not isinstance(node, exp.EQ):
        return None
    sides = (node.this, node.expression)
    one, other = (_translate(side, columns, dialect) for side in sides)
    return one, other


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
        fix=place.advice(refusal.fix),
        kind=place.kind,
    )


def source_columns(
    schema: TableSchema, dialect: str = "postgres", *, lookup: str = "", first: int = 0
) -> dict[str, Typed]:
    """Each column as a typed expression over the table of texts `c0`, `c1`, … by position.

    `lookup`: the table is joined under this name, its columns from position `first` on, and NULL
    where it has no row.
    """
    own = DIALECTS[dialect]
    return {
        name: own.column(
            _column(
                source_type(column),
                f"c{index}",
                name,
                bool(lookup) or (column.nullable and column.name not in schema.key),
            ),
            column,
        )
        for index, column in enumerate(schema.columns, first)
        for name in (f"{lookup}.{column.name}" if lookup else column.name,)
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


Columns = Mapping[str, Typed]


def _translate(node: exp.Expr, columns: Columns, dialect: Dialect) -> Typed:
    """Children first; a Refusal without a node is about this one."""
    try:
        return _node(node, columns, dialect)
    except Refusal as refusal:
        if refusal.node is None and not isinstance(refusal, SyntaxRefusal):
            refusal.node = node
        raise


def _node(node: exp.Expr, columns: Columns, dialect: Dialect) -> Typed:
    def of(child: object) -> Typed:
        assert isinstance(child, exp.Expr)
        return _translate(child, columns, dialect)

    def truth(child: object) -> Typed:
        return dialect.boolean(of(child))

    if type(node) in _ARITHMETIC:
        return dialect.arithmetic(_ARITHMETIC[type(node)], of(node.this), of(node.expression))
    if type(node) in _COMPARISON:
        return dialect.compare(_COMPARISON[type(node)], of(node.this), of(node.expression))
    match node:
        case exp.Column():
            return columns[node.name]
        case exp.Literal():
            return dialect.literal(node.name) if node.is_string else dialect.number(node.name)
        case exp.Null():
            return dialect.literal(None)
        case exp.Boolean():
            return adopt(literal(str(node.this).lower()), BOOL)
        case exp.Neg():
            return dialect.negative(of(node.this))
        case exp.TryCast():
            return dialect.converting(of(node.this), node, None)
        case exp.Convert():
            style = node.args.get("style")
            return dialect.converting(
                of(node.expression), node, None if style is None else of(style)
            )
        case exp.Cast():
            return dialect.cast(of(node.this), node.to)
        case exp.DPipe():
            return dialect.concatenate(of(node.this), of(node.expression))
        case exp.And():
            return operators.both(truth(node.this), truth(node.expression))
        case exp.Or():
            return operators.either(truth(node.this), truth(node.expression))
        case exp.Not():
            return operators.negation(truth(node.this))
        case exp.Is():
            return _is(node, of(node.this), dialect)
        case exp.In():
            items = [of(item) for item in node.expressions]
            if not items:
                raise Refusal("IN () holds nothing")
            return dialect.is_in(of(node.this), items)
        case exp.Case():
            return _case(node, columns, dialect)
        case exp.Anonymous():
            return _call(node, columns, dialect)
    raise Refusal(f"{type(node).__name__} is not supported in expressions")


def _is(node: exp.Is, value: Typed, dialect: Dialect) -> Typed:
    what = node.expression
    if isinstance(what, exp.Null):
        result = dialect.is_null(value)
    elif isinstance(what, exp.Boolean):
        result = operators.is_truth(dialect.boolean(value), bool(what.this))
    else:
        raise Refusal("IS is followed by NULL, TRUE or FALSE")
    return operators.negation(result) if node.args.get("negate") else result


def _case(node: exp.Case, columns: Columns, dialect: Dialect) -> Typed:
    subject = None if node.this is None else _translate(node.this, columns, dialect)
    tests, results = [], []
    for branch in node.args["ifs"]:
        test = _translate(branch.this, columns, dialect)
        same = None if subject is None else dialect.compare("=", subject, test)
        tests.append(dialect.boolean(test) if same is None else same)
        results.append(_translate(branch.args["true"], columns, dialect))
    default = node.args.get("default")
    otherwise = _translate(exp.Null() if default is None else default, columns, dialect)
    return replace(dialect.case(tests, results, otherwise), blur="CASE")


def _call(node: exp.Anonymous, columns: Columns, dialect: Dialect) -> Typed:
    name = str(node.this)
    arguments, named = [], {}
    for item in node.expressions:
        if isinstance(item, exp.Kwarg):
            named[item.this.name.lower()] = _translate(item.expression, columns, dialect)
        else:
            arguments.append(_translate(item, columns, dialect))
    result = dialect.call(name, arguments, named)
    return result if result.parts is not None else replace(result, blur=f"{name}()")
