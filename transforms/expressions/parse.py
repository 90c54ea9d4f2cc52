"""Text of an expression → sqlglot tree, within limits, or a Refusal with the place.

sqlglot's parsers are used with their tables of functions emptied, so that every function keeps the
name and the arguments that were written. Only syntax that is not a plain call is left to them:
CAST, EXTRACT, POSITION, SUBSTRING, TRIM, CASE.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError, TokenError
from sqlglot.parser import Parser
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token, TokenType

from transforms.expressions.typed import Refusal

logging.getLogger("sqlglot").setLevel(logging.CRITICAL + 1)
"""Its warnings print what it parses, and that may be a customer's data."""

CHARS_MAX = 10_000
"""A longer expression is a mistake, and may be an attack on the parser."""
DEPTH_MAX = 120
"""Nesting of operators; keeps every recursion below Python's limit."""


INTERVAL_UNITS = ("year", "quarter", "month", "week", "day", "hour", "minute", "second")


class SyntaxRefusal(Refusal):
    """A Refusal that knows its place in the text, `span`, instead of a node."""

    def __init__(self, what: str, span: tuple[int, int] | None, fix: str | None = None) -> None:
        super().__init__(what, fix=fix)
        self.span = span


def _step(name: str) -> Callable[[Any, Any, Any], exp.Expr]:
    """A JSON operator as a call. A key is a key: sqlglot would read a path in it."""
    return lambda parser, this, key: parser.expression(
        exp.Anonymous(this=name, expressions=[this, key])
    )


def kept(parsers: Mapping[str, Callable[..., Any]], *names: str) -> dict[str, Callable[..., Any]]:
    """The parsers of syntax that is not a plain call."""
    return {name: parsers[name] for name in names}


def interval(parser: Any, *, numbers: bool = False) -> exp.Interval | None:
    """INTERVAL 'text' and perhaps a unit; with `numbers` also INTERVAL 3 DAY."""
    begin = parser._index
    if not parser._match(TokenType.INTERVAL):
        return None
    sign = "-" if numbers and parser._match(TokenType.DASH) else ""
    wanted = {TokenType.STRING, TokenType.NUMBER} if numbers else {TokenType.STRING}
    if not parser._curr or parser._curr.token_type not in wanted:
        parser._retreat(begin)
        return None
    amount = exp.Literal.string(sign + parser._parse_primary().name)
    unit = None
    if parser._curr and parser._curr.text.lower() in INTERVAL_UNITS:
        unit = exp.Var(this=parser._curr.text.lower())
        parser._advance()
    found: exp.Interval = parser.expression(exp.Interval(this=amount, unit=unit))
    return found


WRITTEN = "written"
"""Marks brackets that the author wrote; sqlglot puts in others, by what it takes for granted."""


class Brackets:
    """Beside one of sqlglot's parsers: tells the two kinds of brackets apart."""

    def _parse_paren(self) -> exp.Expr | None:
        found: exp.Expr | None = super()._parse_paren()  # type: ignore[misc]
        if isinstance(found, exp.Paren):
            found.meta[WRITTEN] = True
        return found


class _PostgresParser(Brackets, PostgresParser):
    FUNCTIONS: ClassVar[dict[str, Callable[..., Any]]] = {}
    FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        PostgresParser.FUNCTION_PARSERS, "CAST", "EXTRACT", "POSITION", "SUBSTRING", "TRIM"
    )
    JSON_OPERATORS: ClassVar[dict[TokenType, Callable[..., Any]]] = {
        TokenType.ARROW: _step("->"),
        TokenType.DARROW: _step("->>"),
        TokenType.HASH_ARROW: _step("#>"),
        TokenType.DHASH_ARROW: _step("#>>"),
    }
    NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., Any]]] = kept(
        PostgresParser.NO_PAREN_FUNCTION_PARSERS, "CASE"
    )

    def _parse_interval(
        self, require_interval: bool = True, parse_function_unit: bool = True
    ) -> exp.Interval | None:
        """INTERVAL 'text' and perhaps a unit; sqlglot's own adds up what follows by plus signs."""
        return interval(self)


Check = Callable[[Token], SyntaxRefusal | None]
"""What a dialect refuses of tokens."""


def read_postgres(text: str) -> exp.Expr:
    """Errors: Refusal."""
    return read(text, Postgres(), _PostgresParser)


def read(
    text: str, dialect: Dialect, parser: Callable[..., Parser], check: Check | None = None
) -> exp.Expr:
    """Errors: Refusal."""
    if len(text) > CHARS_MAX:
        raise SyntaxRefusal(f"an expression has at most {CHARS_MAX} characters", None)
    if "\x00" in text:
        raise SyntaxRefusal("a text cannot hold the character NUL", None)
    try:
        tokens = dialect.tokenize(text)
        _check_tokens(tokens)
        _refused(tokens, check)
        found = parser(dialect=dialect).parse_into(exp.Condition, tokens, text)
        tree = found[0] if len(found) == 1 else None
    except TokenError:
        raise SyntaxRefusal("a quote or comment is not closed", None) from None
    except ParseError as error:
        raise _syntax(text, error) from None
    except RecursionError:
        raise SyntaxRefusal("the expression is nested too deeply", None) from None
    if tree is None:
        raise SyntaxRefusal("the expression is empty", None, fix="write null for NULL")
    if _depth(tree) > DEPTH_MAX:
        raise SyntaxRefusal("the expression is nested too deeply", None)
    return tree


def _check_tokens(tokens: Sequence[Token]) -> None:
    """What the parser would pass over: several statements, and brackets left open."""
    opened: list[Token] = []
    for token in tokens:
        if token.token_type is TokenType.SEMICOLON:
            raise SyntaxRefusal("one expression, not several statements", (token.start, token.end))
        if token.token_type is TokenType.L_PAREN:
            opened.append(token)
        elif token.token_type is TokenType.R_PAREN and opened:
            opened.pop()
    if opened:
        raise SyntaxRefusal("this bracket is not closed", (opened[-1].start, opened[-1].end))


def _refused(tokens: Sequence[Token], check: Check | None) -> None:
    for token in tokens if check is not None else ():
        assert check is not None
        if refusal := check(token):
            raise refusal


def _syntax(text: str, error: ParseError) -> SyntaxRefusal:
    first = error.errors[0] if error.errors else {}
    line, column = first.get("line"), first.get("col")
    highlight = first.get("highlight") or ""
    span = None
    if line and column is not None:
        begin = sum(len(row) + 1 for row in text.split("\n")[: line - 1])
        end = max(begin + column - 1, 0)
        span = (max(end - max(len(highlight), 1) + 1, 0), end)
    if text.lstrip()[:6].lower() in ("select", "insert", "update", "delete"):
        return SyntaxRefusal("an expression is expected, not a statement", (0, 5))
    return SyntaxRefusal("this is not an expression", span)


def _depth(tree: exp.Expr) -> int:
    deepest = 0
    level: list[exp.Expr] = [tree]
    while level and deepest <= DEPTH_MAX:
        deepest += 1
        level = [child for node in level for child in node.iter_expressions()]
    return deepest


def span_of(node: exp.Expr) -> tuple[int, int] | None:
    """First and last character of what a node was parsed from, as far as its parts know."""
    spans = [
        (part.meta["start"], part.meta["end"])
        for part in node.walk()
        if isinstance(part.meta.get("start"), int) and isinstance(part.meta.get("end"), int)
    ]
    if not spans:
        return None
    return min(start for start, _ in spans), max(end for _, end in spans)
