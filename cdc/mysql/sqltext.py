"""Statements as tokens, as MariaDB's own lexer cuts them. Pure.

A statement in a log has run, so what stands in a comment for certain versions (``/*!50101 … */``,
``/*M!100500 … */``) was part of it: a server takes the mark from those that it passed over before
it logs them. https://mariadb.com/kb/en/comment-syntax/
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from tailrace.errors import DecodeError

Kind = Literal["word", "quoted", "text", "number", "bytes", "sign"]

MYSQL = 1 << 63
"""A bit that no server has, beside those: the statement is of a MySQL."""

_PATTERN = r"""
    (?P<space>  \s+ | \#[^\n]* | --(?=[\s\x00-\x1f]|\Z)[^\n]* | /\*(?!{2}!).*?\*/
              | /\*{2}!(?:\d{{5,6}})? | \*/ )
  | (?P<quoted> `(?:[^`]|``)*` )
  | (?P<bytes>  [xXbB]'[0-9a-fA-F]*' | 0[xXb][0-9a-fA-F]+(?![\w$]) )
  | (?P<text>   [nN]?'(?:[^'{0}]|''{1})*' )
  | (?P<double> "(?:[^"{0}]|""{1})*" )
  | (?P<number> \d+\.\d*(?:[eE][+-]?\d+)? | \.\d+ | \d+[eE][+-]?\d+(?![\w$]) | \d+(?![\w$]) )
  | (?P<word>   [\w$]+ )
  | (?P<sign>   . )
"""
_FLAGS = re.VERBOSE | re.DOTALL
_TOKENS = {
    (backslash, mysql): re.compile(
        _PATTERN.format(*((r"\\", r"|\\.") if backslash else ("", "")), "" if mysql else "M?"),
        _FLAGS,
    )
    for backslash in (False, True)
    for mysql in (False, True)
}
"""By whether a backslash escapes, and whether the statement is of a MySQL, to which ``/*M!`` is a
comment like others."""
_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

ANSI_QUOTES, ORACLE, NO_BACKSLASH_ESCAPES, REAL_AS_FLOAT = 1 << 2, 1 << 9, 1 << 20, 1 << 0
"""Bits of sql_mode that change how a statement reads."""


@dataclass(frozen=True, slots=True)
class Token:
    """`value`: the text of a literal or name, without quotes. `raw`: as it was written."""

    kind: Kind
    value: str
    raw: str


def tokens(statement: str, sql_mode: int = 0) -> list[Token]:
    """Comments are left out. An open quote makes a sign of its own, which nothing accepts."""
    backslash = not sql_mode & NO_BACKSLASH_ESCAPES
    pattern = _TOKENS[backslash, bool(sql_mode & MYSQL)]
    found = []
    for match in pattern.finditer(statement):
        kind, raw = match.lastgroup, match[0]
        if kind == "space":
            continue
        if kind == "double":
            kind = "quoted" if sql_mode & ANSI_QUOTES else "text"
        value = raw
        if kind == "quoted":
            value = raw[1:-1].replace(raw[0] * 2, raw[0])
        elif kind == "text":
            inner = raw[raw.index(raw[-1]) + 1 : -1]
            value = unescaped(inner, raw[-1]) if backslash else inner.replace(raw[-1] * 2, raw[-1])
        found.append(Token(kind, value, raw))  # type: ignore[arg-type]
    return found


def unescaped(inner: str, quote: str = "'") -> str:
    """A literal's text from what stands between its quotes."""
    parts = re.split(r"(\\.)", inner, flags=re.DOTALL)
    return "".join(
        _escape(part) if number % 2 else part.replace(quote * 2, quote)
        for number, part in enumerate(parts)
    )


def _escape(pair: str) -> str:
    # Before % and _ the backslash stays, for LIKE.
    return pair if pair[1] in "%_" else _ESCAPED.get(pair[1], pair[1])


def plain(statement: str, sql_mode: int = 0, *, texts: bool = True) -> str:
    """The same without comments, names in backticks; without `texts` literals are emptied."""
    return " ".join(
        "`" + token.value.replace("`", "``") + "`"
        if token.kind == "quoted" or (token.kind == "word" and "$" in token.raw)
        else "''"
        if token.kind == "text" and not texts
        else token.raw
        for token in tokens(statement, sql_mode)
    )


class Cursor:
    """Walks over tokens. Errors: DecodeError where something else follows than is asked for."""

    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0

    @property
    def next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    @property
    def at(self) -> int:
        """How many tokens have been gone over."""
        return self._at

    def since(self, at: int) -> Sequence[Token]:
        """The tokens gone over since."""
        return self._tokens[at : self._at]

    def fail(self) -> NoReturn:
        # The token may be a literal; only the word before it is sure to be no value.
        raise DecodeError(f"it is not understood from its word {self._at + 1} on")

    def sees(self, *words: str) -> bool:
        """Whether these words or signs (in lower case) come next."""
        following = self._tokens[self._at : self._at + len(words)]
        return len(following) == len(words) and all(
            token.kind in ("word", "sign") and token.value.lower() == word
            for token, word in zip(following, words, strict=True)
        )

    def takes(self, *words: str) -> bool:
        """Go over these words or signs if they come next."""
        if not self.sees(*words):
            return False
        self._at += len(words)
        return True

    def any_of(self, *words: str) -> str | None:
        """The one of these words that comes next, gone over."""
        return next((word for word in words if self.takes(word)), None)

    def expect(self, *words: str) -> None:
        if not self.takes(*words):
            self.fail()

    def take(self, *kinds: Kind) -> str:
        """The value of the next token, which is of one of these kinds."""
        token = self.next
        if token is None or token.kind not in kinds:
            self.fail()
        self._at += 1
        return token.value

    def name(self) -> str:
        return self.take("word", "quoted")

    def number(self) -> int:
        value = self.take("number")
        if not value.isdigit():
            self.fail()
        return int(value)

    def group(self) -> None:
        """Go over what stands in parentheses."""
        self.expect("(")
        depth = 1
        while depth:
            if self.next is None:
                self.fail()
            depth += self.next.raw == "("
            depth -= self.next.raw == ")"
            self._at += 1

    def skip(self) -> None:
        """Go over one token, or a whole group."""
        if self.sees("("):
            self.group()
        elif self.next is None:
            self.fail()
        else:
            self._at += 1

    def skip_item(self) -> None:
        """Go over what is left before the next comma."""
        while self.next is not None and not self.sees(","):
            self.skip()
