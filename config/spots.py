"""From a part of a value to the part of the file that it was written as.

An expression knows which of its characters are wrong. In the file they stand in quotes, with
escapes, folded over lines or indented as a block. YAML moves, adds and drops blanks, but keeps all
other characters in their order; so these are what the value and the file are lined up by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from config.places import Loc, Places, Scalar

Span = tuple[int, int]
"""First and last character, inclusive."""

CHARS_MAX = 10_000
"""Of a value; no expression has more, and what is no expression needs no underlining."""

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
"""What ends a line to YAML's parser."""

_NAMES = '0abt\tnvfre "/\\N_LP'
_MEANT = '\0\a\b\t\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029'
_ESCAPES = dict(zip(_NAMES, _MEANT, strict=True))
_DOUBLE = re.compile(r"\\(?:x(..)|u(.{4})|U(.{8})|(.))|.", re.DOTALL)
_SINGLE = re.compile(r"''|.", re.DOTALL)
_PLAIN = re.compile(r".", re.DOTALL)


def spot(places: Places, loc: Loc, value: str, span: Span | None) -> Span | None:
    """The characters of the file's text that `span` of `value` is written as; without a span all
    of it. None where they cannot be told."""
    scalar = places.scalars.get(loc) or places.scalars.get((*loc, "expr"))
    if scalar is None or len(value) > CHARS_MAX:
        return None
    meant = [at for at, char in enumerate(value) if not char.isspace()]
    written = list(_written(places.text, scalar))
    if [value[at] for at in meant] != [char for char, _, _ in written]:
        return None
    first, last = span or (0, len(value))
    inside = [place for at, place in zip(meant, written, strict=True) if first <= at <= last]
    return (inside[0][1], inside[-1][2]) if inside else None


def line_and_column(text: str, at: int) -> tuple[int, int]:
    """1-based, of the character `at`."""
    begins = [match.end() for match in _BREAK.finditer(text, 0, at)]
    return len(begins) + 1, at - (begins[-1] if begins else 0) + 1


def _written(text: str, scalar: Scalar) -> Iterator[tuple[str, int, int]]:
    """The value's characters that are no blanks, each with its first and last one in the file."""
    start, end = scalar.start, scalar.end
    if scalar.style in ("|", ">"):
        header = _BREAK.search(text, start, end)
        start = header.end() if header else end
    elif scalar.style:
        start, end = start + 1, end - 1
    pieces = {"'": _SINGLE, '"': _DOUBLE}.get(scalar.style, _PLAIN)
    for match in pieces.finditer(text, start, end):
        char = _meaning(match)
        if not char.isspace():
            yield char, match.start(), match.end() - 1


def _meaning(match: re.Match[str]) -> str:
    """The character that a piece stands for; a line break behind a backslash is a blank."""
    if match.re is not _DOUBLE or match.lastindex is None:
        return match[0][0]
    if match.lastindex < 4:
        return chr(int(match[match.lastindex], 16))
    return _ESCAPES.get(match[4], " ")
