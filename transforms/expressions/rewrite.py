"""From what the parser gives to the few node kinds that `translate` knows: small pure rewrites.

`REWRITES` run in order, each taking and giving a tree. Afterwards a tree holds only: Column,
Literal, Null, Boolean, Cast, Neg, arithmetic, DPipe, And, Or, Not, comparisons, Is, In, Case and
Anonymous calls of functions on the list, all names in lower case.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from difflib import get_close_matches

from sqlglot import exp

from transforms.expressions.dialects.base import Dialect
from transforms.expressions.nodes import call
from transforms.expressions.parse import WRITTEN
from transforms.expressions.typed import Refusal

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_MATCHES = (exp.RegexpLike, exp.RegexpILike)
_RANGES = (exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape, *_MATCHES)
STEPS = frozenset({"->", "->>", "#>>"})
"""JSON's operators, which the parser gives as calls."""

_BINARY = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.And, exp.Or, exp.Escape, exp.Collate)

_ARGUMENTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Column: frozenset({"this"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Literal: frozenset({"this", "is_string"}),
    exp.Null: frozenset(),
    exp.Boolean: frozenset({"this"}),
    exp.Paren: frozenset({"this"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.DataType: frozenset({"this", "expressions", "nested"}),
    exp.DataTypeParam: frozenset({"this"}),
    exp.Neg: frozenset({"this"}),
    exp.Not: frozenset({"this"}),
    exp.DPipe: frozenset({"this", "expression", "safe"}),
    exp.Is: frozenset({"this", "expression", "negate"}),
    exp.In: frozenset({"this", "expressions"}),
    exp.Between: frozenset({"this", "low", "high"}),
    exp.Like: frozenset({"this", "expression", "negate"}),
    exp.ILike: frozenset({"this", "expression", "negate"}),
    exp.Case: frozenset({"this", "ifs", "default"}),
    exp.If: frozenset({"this", "true"}),
    exp.Anonymous: frozenset({"this", "expressions"}),
    exp.Kwarg: frozenset({"this", "expression"}),
    exp.Var: frozenset({"this"}),
    exp.Extract: frozenset({"this", "expression"}),
    exp.Substring: frozenset({"this", "start", "length"}),
    exp.StrPosition: frozenset({"this", "substr"}),
    exp.Trim: frozenset({"this", "expression", "position"}),
    exp.AtTimeZone: frozenset({"this", "zone"}),
    exp.Interval: frozenset({"this", "unit"}),
    exp.RegexpLike: frozenset({"this", "expression"}),
    exp.RegexpILike: frozenset({"this", "expression"}),
    **{node: frozenset({"this", "expression", "typed", "safe"}) for node in _BINARY},
    **{node: frozenset({"this", "expression"}) for node in _COMPARISONS},
}
"""The kinds of nodes we read, and the parts of each that we understand."""

_QUERIES = (exp.Select, exp.Subquery, exp.Exists, exp.SetOperation, exp.Any, exp.All)
_WINDOWS = (exp.Window, exp.Filter, exp.WithinGroup, exp.Distinct, exp.Order)


def scalar_only(tree: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Refuse every kind of node that is not on the list, and every unforeseen part of one."""
    for node in tree.walk():
        known = _ARGUMENTS.get(type(node), dialect.nodes.get(type(node)))
        if known is None:
            raise _foreign(node)
        for name, value in node.args.items():
            if value and name not in known:
                if isinstance(node, exp.Column):
                    raise Refusal("write the name of the column alone", node=node)
                if isinstance(value, exp.Expr):
                    raise _foreign(value)
                raise Refusal(f"{name} is not supported here", node=node)
    return tree


def _foreign(node: exp.Expr) -> Refusal:
    if isinstance(node, _QUERIES) or node.find(*_QUERIES):
        return Refusal("a sub-query is no scalar expression of the row", node=node)
    if isinstance(node, _WINDOWS):
        return Refusal("windows and aggregates see other rows; a mapping sees one", node=node)
    if isinstance(node, exp.SimilarTo):
        return Refusal("SIMILAR TO is not supported", fix="x ~ '^(?:…)$'", node=node)
    if type(node).__name__.startswith(("Current", "Local", "Session", "Sys", "Utc")):
        return _volatile(node.sql("postgres").lower(), node)
    return Refusal(f"{_described(node)} is not supported in expressions", node=node)


def _described(node: exp.Expr) -> str:
    names: dict[type[exp.Expr], str] = {
        exp.ByteString: "E'…'",
        exp.RawString: "$$…$$",
        exp.UnicodeString: "U&'…'",
        exp.Star: "*",
        exp.Parameter: "a parameter",
        exp.Placeholder: "a parameter",
        exp.Dot: "a qualified name",
        exp.Concat: "a literal directly after another one",
        exp.Bracket: "a subscript",
        exp.Tuple: "a row of values",
        exp.Pow: "^",
    }
    return names.get(type(node), f"{type(node).__name__.lower()}")


def _volatile(name: str, node: exp.Expr) -> Refusal:
    return Refusal(
        f"{name} gives another value at each call, so a replay would give another row", node=node
    )


def _bottom_up(node: exp.Expr, change: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """The tree with `change` applied to every node, children first."""
    for name, value in list(node.args.items()):
        if isinstance(value, exp.Expr):
            node.set(name, _bottom_up(value, change))
        elif isinstance(value, list):
            changed = [
                _bottom_up(item, change) if isinstance(item, exp.Expr) else item for item in value
            ]
            node.set(name, changed)
    return change(node)


def fold_names(tree: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Names that are not quoted are lower case, as in PostgreSQL."""

    def fold(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Identifier) and not node.args.get("quoted"):
            node.set("this", node.name.lower())
        elif isinstance(node, exp.Anonymous) and isinstance(node.this, str):
            name = node.this.lower()
            node.set("this", dialect.synonyms.get(name, name))
        return node

    return _bottom_up(tree, fold)


def bracketed(tree: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Refuse ``a = b LIKE c`` and the like, which parsers read differently; then drop brackets."""
    for node in tree.find_all(*_COMPARISONS, *_RANGES):
        operands = [node.this, node.args.get("expression")]
        operands += [node.args.get("low"), node.args.get("high")]
        for operand in operands:
            inner = isinstance(_within(operand), (*_COMPARISONS, *_RANGES, exp.Not))
            if inner and not isinstance(node, exp.Escape):
                raise Refusal(
                    "it is unclear which comparison comes first", fix="add brackets", node=node
                )
    for part in tree.walk():
        if dialect.unclear(part):
            raise Refusal("it is unclear which operator comes first", fix="add brackets", node=part)
    return _bottom_up(tree, _unwrapped)


def _within(operand: object) -> object:
    """What stands within brackets that nobody wrote."""
    while isinstance(operand, exp.Paren) and WRITTEN not in operand.meta:
        operand = operand.this
    return operand


def _unwrapped(node: exp.Expr) -> exp.Expr:
    return _same(node.this) if isinstance(node, exp.Paren) else node


def known_functions(tree: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Only functions on the list."""
    for node in tree.find_all(exp.Anonymous):
        name = node.name if isinstance(node.this, exp.Expr) else str(node.this)
        if name in dialect.functions and not isinstance(node.this, exp.Expr):
            continue
        if name in STEPS:
            continue
        if name == "#>":
            raise Refusal("#> gives a document, which is not computed on", fix="#>>", node=node)
        if name in dialect.volatile:
            raise _volatile(f"{name}()", node)
        if name in dialect.aggregates:
            raise Refusal(f"{name}() sees other rows; a mapping sees one", node=node)
        if name in dialect.instead:
            raise Refusal(
                f"{name}() is not supported", fix=f"use {dialect.instead[name]}", node=node
            )
        fix = suggestion(name, dialect.functions)
        fix = fix or f"docs/functions.md lists those of {dialect.name}"
        raise Refusal(f"{name}() is not on the list of functions", fix=fix, node=node)
    return tree


def suggestion(name: str, known: Collection[str]) -> str | None:
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else None


def plain_calls(tree: exp.Expr, dialect: Dialect) -> exp.Expr:
    """Special syntax as calls: TRIM, SUBSTRING, POSITION, EXTRACT, LIKE, COLLATE, zones."""

    def plain(node: exp.Expr) -> exp.Expr:
        own = dialect.plain(node)
        return _plain(node) if own is None else own

    return _bottom_up(tree, plain)


def _plain(node: exp.Expr) -> exp.Expr:
    argument = node.args.get
    match node:
        case exp.Trim():
            side = str(argument("position") or "BOTH").upper()
            name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(side, "btrim")
            return call(node, name, node.this, argument("expression"))
        case exp.Substring() if _is_text(argument("start")):
            if argument("length"):
                raise Refusal("SIMILAR patterns are not supported", node=node)
            return call(node, "substring_of", node.this, argument("start"))
        case exp.RegexpLike() | exp.RegexpILike():
            name = "matches" if isinstance(node, exp.RegexpLike) else "imatches"
            return call(node, name, node.this, node.expression)
        case exp.Interval():
            unit = argument("unit")
            name = unit.name if isinstance(unit, exp.Var) else ""
            return call(node, "interval", node.this, exp.Literal.string(name))
        case exp.Anonymous() if node.this in STEPS:
            inner = node.expressions[0]
            if isinstance(inner, exp.Anonymous) and inner.this == "->":
                return call(node, str(node.this), *inner.expressions, *node.expressions[1:])
        case exp.Substring():
            return call(node, "substring", node.this, argument("start"), argument("length"))
        case exp.StrPosition():
            return call(node, "strpos", node.this, argument("substr"))
        case exp.Extract():
            return call(node, "extract", exp.Literal.string(node.this.name), node.expression)
        case exp.Collate():
            return call(node, "collate", node.this, exp.Literal.string(node.expression.name))
        case exp.AtTimeZone():
            return call(node, "at_time_zone", node.this, argument("zone"))
        case exp.Between():
            low = exp.GTE(this=node.this.copy(), expression=argument("low"))
            high = exp.LTE(this=node.this, expression=argument("high"))
            return exp.And(this=low, expression=high)
        case exp.Like() | exp.ILike():
            name = "ilike" if isinstance(node, exp.ILike) else "like"
            made = call(node, name, node.this, node.expression)
            return exp.Not(this=made) if argument("negate") else made
        case exp.Escape():
            made = node.this.this if isinstance(node.this, exp.Not) else node.this
            made.append("expressions", node.expression)
            return _same(node.this)
    return node


def _is_text(node: exp.Expr | None) -> bool:
    return isinstance(node, exp.Literal) and node.is_string


def _same(node: object) -> exp.Expr:
    assert isinstance(node, exp.Expr)
    return node


def resolved(tree: exp.Expr, columns: Collection[str] | None, dialect: Dialect) -> exp.Expr:
    """Every column exists; with None (no schema at hand) every name is accepted."""
    for node in list(tree.find_all(exp.Column)):
        quoted = node.this.args.get("quoted")
        if node.name in dialect.words and not quoted:
            if node.name in dialect.volatile:
                raise _volatile(node.name, node)
            raise Refusal(
                f"{node.name} is a function of the session or the query",
                fix=f'if a column is meant: "{node.name}" (in double quotes)',
                node=node,
            )
        if columns is None or node.name in columns:
            continue
        alike = [name for name in columns if name.lower() == node.name.lower()]
        if dialect.insensitive and len(alike) == 1:
            node.this.set("this", alike[0])
            continue
        if LOOKUP in node.meta:
            raise _not_in_lookup(node, columns)
        fix = suggestion(node.name, columns)
        if alike and not dialect.insensitive:
            fix = f'did you mean "{alike[0]}"? (in double quotes)'
        raise Refusal(f"the table has no column {node.name}", fix=fix, node=node)
    return tree


def _not_in_lookup(node: exp.Expr, columns: Collection[str]) -> Refusal:
    alias = node.meta[LOOKUP]
    known = [name for name in columns if name.startswith(f"{alias}.")]
    if not known:
        return Refusal(f"lookup {alias} is not known here", node=node)
    name = node.name.removeprefix(f"{alias}.")
    what = f"the table of lookup {alias} has no column {name}"
    return Refusal(what, fix=suggestion(node.name, known), node=node)


LOOKUP = "lookup"
"""Marks a column of a lookup, whose name is ``zb.days`` from here on."""


def qualified(tree: exp.Expr, lookups: Collection[str]) -> exp.Expr:
    """Columns of lookups by one name. What else stands before a dot is refused later."""
    for node in tree.find_all(exp.Column):
        before = node.args.get("table")
        if not isinstance(before, exp.Identifier) or node.args.get("db"):
            continue
        alias = before.name if before.args.get("quoted") else before.name.lower()
        if alias not in lookups:
            if lookups:
                what = f"{before.name} is no lookup of this mapping"
                raise Refusal(what, fix=suggestion(alias, lookups), node=node)
            continue
        node.set("table", None)
        node.this.set("this", f"{alias}.{node.this.name}")
        if isinstance(before.meta.get("start"), int):
            node.this.meta["start"] = before.meta["start"]
        node.meta[LOOKUP] = alias
    return tree


REWRITES: tuple[Callable[[exp.Expr, Dialect], exp.Expr], ...] = (
    fold_names,
    known_functions,
    scalar_only,
    bracketed,
    plain_calls,
)


def rewritten(
    tree: exp.Expr,
    columns: Collection[str] | None,
    dialect: Dialect,
    lookups: Collection[str] = (),
) -> exp.Expr:
    """Errors: Refusal, with the node."""
    tree = qualified(tree, lookups)
    for rewrite in REWRITES:
        tree = rewrite(tree, dialect)
    return resolved(tree, columns, dialect)
