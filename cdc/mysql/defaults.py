"""What a column has where a row leaves it out, as text like that of its values in the log. Pure.

With a partial row image servers log every value that they compute (an expression's, the present
time, a number of AUTO_INCREMENT) or that a trigger sets; they leave out those that are the same
each time: a literal, NULL, or what stands for nothing where a column without default may not be
NULL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cdc.mysql import tablemap as tm
from cdc.mysql.collations import BINARY
from cdc.mysql.sqltext import Token
from cdc.mysql.tablemap import Default, MapColumn

UNKNOWN: Default = ()
NULL: Default = (None,)

_TEXTS = frozenset({tm.STRING, tm.VARCHAR, tm.BLOB, *tm.UNPACKED})
_NUMBER = re.compile(r"(-?)0*(\d+)(?:\.(\d*))?")
_FRACTIONAL = {
    tm.DATETIME2: (
        re.compile(r"(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?)?"),
        "00:00:00",
    ),
    tm.TIME2: (
        re.compile(r"()((?!-00:00:00(?:\.0*)?\Z)-?(?:\d\d|[1-9]\d\d):\d\d:\d\d)(?:\.(\d{1,6}))?"),
        "",
    ),
}
_ZEROS = {
    tm.DATE: "0000-00-00",
    tm.DATETIME2: "0000-00-00 00:00:00",
    tm.TIME2: "00:00:00",
    tm.YEAR: "0",
}


def written(column: MapColumn, tokens: Sequence[Token]) -> Default:
    """Of what stands behind DEFAULT; UNKNOWN for an expression, and where we are not sure."""
    words = list(tokens)
    minus = ""
    if words and words[0].raw in ("-", "+"):
        minus = words.pop(0).raw.strip("+")
    elif words and words[0].raw.lower() in ("_utf8mb4", "_utf8mb3", "_utf8"):
        words.pop(0)
    if len(words) != 1:
        return UNKNOWN
    (token,) = words
    if token.kind == "text":
        # A BIT has the bytes of a text, not the number that it says.
        return literal(column, token.value) if not minus and column.type != tm.BIT else UNKNOWN
    if token.kind == "number":
        return _of_number(column, minus + token.value)
    if token.kind == "bytes" and column.type == tm.BIT:
        return _bits(column, token.raw.lower())
    word = token.raw.lower()
    if word == "null":
        return NULL
    return _of_number(column, _TRUTHS[word]) if word in _TRUTHS else UNKNOWN


_AS_WRITTEN = re.compile(r"(?!-[0.]+\Z)-?(?:0|[1-9]\d*)(?:\.\d+)?")
_TRUTHS = {"true": "1", "false": "0"}


def _of_number(column: MapColumn, number: str) -> Default:
    """A text has it as a server writes it, and a label may be meant by its place."""
    if column.type in (tm.ENUM, tm.SET):
        return UNKNOWN
    if column.type in _TEXTS and not _AS_WRITTEN.fullmatch(number):
        return UNKNOWN
    return literal(column, number)


def literal(column: MapColumn, text: str) -> Default:
    """Of a literal's text."""
    type_ = column.type
    if type_ in tm.INTEGERS or type_ in (tm.NEWDECIMAL, tm.FLOAT, tm.DOUBLE):
        return _number(column, text)
    if type_ in (tm.ENUM, tm.SET):
        return _labels(column, text)
    if type_ in _TEXTS:
        return _characters(column, text)
    if type_ == tm.DATE:
        return (text,) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else UNKNOWN
    if type_ in _FRACTIONAL:
        return _moment(column, text)
    if type_ == tm.YEAR:
        return (text,) if re.fullmatch(r"19[0-9]{2}|20[0-9]{2}", text) else UNKNOWN
    if type_ == tm.BIT:
        return (f"{int(text):0{column.size}b}",) if re.fullmatch(r"\d{1,18}", text) else UNKNOWN
    return UNKNOWN


def absent(column: MapColumn) -> Default:
    """Of a column that says nothing of a default."""
    if column.nullable:
        return NULL
    type_ = column.type
    if type_ in (tm.TIMESTAMP2, tm.JSON, tm.GEOMETRY, *tm.LOOKALIKES):
        return UNKNOWN
    if type_ == tm.ENUM:
        return (column.labels[0].decode(),) if not column.more & tm.UNSHOWN_LABELS else UNKNOWN
    if type_ in _ZEROS:
        zero = _ZEROS[type_]
        return (zero + "." + "0" * column.size if type_ in _FRACTIONAL and column.size else zero,)
    if type_ in _TEXTS or type_ == tm.SET:
        return _characters(column, "")
    return literal(column, "0")


def _number(column: MapColumn, text: str) -> Default:
    matched = _NUMBER.fullmatch(text)
    if matched is None:
        return UNKNOWN
    sign, whole, fraction = matched[1], matched[2], (matched[3] or "").rstrip("0")
    sign = sign if whole != "0" or fraction else ""
    if column.type in tm.INTEGERS:
        return UNKNOWN if fraction else (sign + whole,)
    if column.type == tm.NEWDECIMAL:
        if len(fraction) > column.more or len(whole.lstrip("0")) > column.size - column.more:
            return UNKNOWN
        digits = fraction.ljust(column.more, "0")
        return (f"{sign}{whole}.{digits}" if digits else sign + whole,)
    if fraction or len(whole) > 7:  # digits of the declaration may round it
        return UNKNOWN
    return (sign + whole,)


def _labels(column: MapColumn, text: str) -> Default:
    """To the letter, though a server also takes what its collation takes for the same."""
    labels = [label.decode() for label in column.labels]
    if column.more & tm.UNSHOWN_LABELS:
        return UNKNOWN
    if column.type == tm.ENUM:
        return (text,) if text in labels else UNKNOWN
    members = text.split(",") if text else []
    chosen = [label for label in labels if label in members]
    return (text,) if chosen == members else UNKNOWN


def _characters(column: MapColumn, text: str) -> Default:
    if column.charset == BINARY:
        padding = column.size if column.type == tm.STRING else 0
        return (
            UNKNOWN
            if not text.isascii()
            else ("\\x" + text.encode().hex().ljust(2 * padding, "0"),)
        )
    return (text.rstrip(" ") if column.type == tm.STRING else text,)


def _moment(column: MapColumn, text: str) -> Default:
    pattern, midnight = _FRACTIONAL[column.type]
    matched = pattern.fullmatch(text)
    if matched is None:
        return UNKNOWN
    day, clock, fraction = matched[1], matched[2] or midnight, (matched[3] or "").rstrip("0")
    if len(fraction) > column.size:
        return UNKNOWN
    digits = fraction.ljust(column.size, "0")
    return (" ".join(filter(None, (day, clock))) + (f".{digits}" if digits else ""),)


def _bits(column: MapColumn, raw: str) -> Default:
    """`raw`: b'101', 0b101, x'05' or 0x05."""
    base = 16 if "x" in raw[:2] else 2
    digits = raw[2:].strip("'") or "0"
    return (f"{int(digits, base):0{column.size}b}",)
