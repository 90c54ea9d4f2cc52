"""Functions of text in MySQL and MariaDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transforms.expressions import (
    digests,
    regexes,
    strings,
)
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
    constant,
    whole,
)
from transforms.expressions.dialects.mysqltext import count as count_of
from transforms.expressions.dialects.mysqltext import string
from transforms.expressions.operators import compared_as_they_are
from transforms.expressions.patternreader import PERL
from transforms.expressions.patterns import pattern
from transforms.expressions.sql import quoted
from transforms.expressions.typed import Refusal, Typed, derived, literal, text
from transforms.types import (
    INT4,
    TEXT,
)


def _of_text(build: Build, *, texts: Sequence[int] = (0,)) -> Build:
    """A function whose arguments at `texts` may be numbers and dates, too."""

    def own(arguments: Arguments, named: Named) -> Typed:
        read = [string(a) if at in texts else a for at, a in enumerate(arguments)]
        return build(read, named)

    return own


def _concat(arguments: Arguments, named: Named) -> Typed:
    """NULL where one is."""
    values = [string(value) for value in arguments]
    parts = None
    if all(value.parts is not None for value in values):
        parts = tuple(part for value in values for part in value.parts or ())
    return derived(TEXT, "(" + " || ".join(map(text, values)) + ")", values, parts=parts)


def _concat_ws(arguments: Arguments, named: Named) -> Typed:
    return strings.concat_ws([string(value) for value in arguments], named)


def _left(arguments: Arguments, named: Named) -> Typed:
    value, count = string(arguments[0]), count_of(arguments[1])
    return derived(
        TEXT,
        f"left({text(value)}, greatest({count.value}, 0))"
        if count.constant
        else _known(count, f"left({text(value)}, greatest({count.value}, 0))"),
        [value, count],
    )


def _right(arguments: Arguments, named: Named) -> Typed:
    value, count = string(arguments[0]), count_of(arguments[1])
    sql = _known(count, f"right({text(value)}, greatest({count.value}, 0))")
    return derived(TEXT, sql, [value, count])


def _known(count: Typed, sql: str) -> str:
    """greatest() passes over a NULL."""
    return f"CASE WHEN {count.value} IS NOT NULL THEN {sql} END"


def _substring(arguments: Arguments, named: Named) -> Typed:
    """From a position, counted from the end where it is negative; 0 is nowhere."""
    value, start = string(arguments[0]), count_of(arguments[1])
    sql, p = text(value), start.value
    length = f"length({sql})"
    first = f"CASE WHEN {p} < 0 THEN {length} + {p} + 1 ELSE {p} END"
    inputs = [value, start]
    count = ""
    if len(arguments) > 2:
        size = count_of(arguments[2])
        inputs.append(size)
        count = f", greatest({size.value}, 0)"
    inside = f"{p} <> 0 AND {p} >= - {length}"
    result = f"CASE WHEN {inside} THEN substring({sql}, {first}{count}) ELSE '' END"
    known = " AND ".join(f"{item.value} IS NOT NULL" for item in inputs)
    return derived(TEXT, f"CASE WHEN {known} THEN {result} END", inputs)


def _substring_index(arguments: Arguments, named: Named) -> Typed:
    """What stands before the n-th delimiter, or behind it, counted from the end."""
    value = string(arguments[0])
    by = constant(arguments[1], "the delimiter of SUBSTRING_INDEX()")
    count = whole(arguments[2], "the count of SUBSTRING_INDEX()")
    overlaps = any(by.startswith(by[-n:]) for n in range(1, len(by)))
    if not by or count == 0 or (overlaps and count < 0):
        raise Refusal("SUBSTRING_INDEX() takes a delimiter that is not empty, and a count but 0")
    split = f"string_split({text(value)}, {quoted(by)})"
    piece = f"{split}[:{count}]" if count > 0 else f"{split}[{count}:]"
    if count < 0:
        piece = f"list_slice({split}, greatest(len({split}) + {count} + 1, 1), len({split}))"
    return derived(TEXT, f"array_to_string({piece}, {quoted(by)})", [value])


def _pad(function: str) -> Build:
    """A length below 0 gives NULL; an empty fill is refused."""

    def build(arguments: Arguments, named: Named) -> Typed:
        length = count_of(arguments[1])
        padded = strings.pad(function)([string(arguments[0]), length, arguments[2]], named)
        sql = f"CASE WHEN {length.value} >= 0 THEN {padded.value} END"
        return replace(padded, sql=sql, nullable=True)

    return build


def _trim(arguments: Arguments, named: Named) -> Typed:
    """TRIM([side what FROM] x): `what` is a whole text here, not a set of characters."""
    value, *rest = arguments
    side = rest[-1].constant or "both"
    what = constant(rest[0], "what TRIM() takes off") if len(rest) > 1 else " "
    if not what:
        raise Refusal("TRIM() takes off nothing")
    return _stripped(string(value), what, side)


def _stripped(value: Typed, what: str, side: str) -> Typed:
    sql = text(value)
    escaped = "".join(f"\\x{{{ord(c):X}}}" for c in what)
    if side in ("both", "leading"):
        leading = quoted(rf"\A(?:{escaped})+")
        sql = f"regexp_replace({sql}, {leading}, '')"
    if side in ("both", "trailing"):
        trailing = quoted(rf"(?:{escaped})+\z")
        sql = f"regexp_replace({sql}, {trailing}, '')"
    return derived(TEXT, sql, [value])


def _side(side: str) -> Build:
    return lambda arguments, named: _stripped(string(arguments[0]), " ", side)


def _locate(arguments: Arguments, named: Named) -> Typed:
    """LOCATE(part, text): by the collation of the text (MySQL) or of both (MariaDB), so the text
    needs a binary one."""
    part, value = string(arguments[0]), string(arguments[1])
    compared_as_they_are(value)
    return derived(INT4, f"CAST(strpos({text(value)}, {text(part)}) AS INTEGER)", [part, value])


def _instr(arguments: Arguments, named: Named) -> Typed:
    return _locate(arguments[::-1], named)


def matches(arguments: Arguments, named: Named) -> Typed:
    """x REGEXP 'pattern'."""
    _caseless(arguments[0], arguments[1])
    return regexes.matched(string(arguments[0]), arguments[1], fold=False, flavour=PERL)


def _caseless(value: Typed, written: Typed) -> None:
    """A collation that ignores case lets a pattern do so, too."""
    found = pattern(constant(written, "the regular expression"), flavour=PERL)
    if found.cased:
        compared_as_they_are(value)


def regexp_replace(arguments: Arguments, named: Named) -> Typed:
    """Every match. Groups are written in different ways in MariaDB and MySQL."""
    _caseless(arguments[0], arguments[1])
    replacement = constant(arguments[2], "the replacement")
    if "\\" in replacement or "$" in replacement:
        raise Refusal("\\1 and $1 in a replacement mean different things to MariaDB and MySQL")
    written = constant(arguments[1], "the regular expression")
    return regexes.replacing(
        string(arguments[0]),
        written,
        replacement,
        fold=False,
        everywhere=True,
        whole=r"(?!)",
        flavour=PERL,
    )


def _sha2(arguments: Arguments, named: Named) -> Typed:
    if whole(arguments[1], "the bits of SHA2()") not in (0, 256):
        raise Refusal("SHA2() is supported with 256 bits")
    value = string(arguments[0])
    return derived(TEXT, f"sha256({text(value)})", [value], chars=64)


def _repeat(arguments: Arguments, named: Named) -> Typed:
    return strings.repeat([string(arguments[0]), arguments[1]], named)


def _space(arguments: Arguments, named: Named) -> Typed:
    return strings.repeat([literal(" "), arguments[0]], named)


_CHARACTERS = _of_text(strings.of_text("CAST(length({0}) AS INTEGER)", INT4))

_BYTES = _of_text(strings.of_text("CAST(strlen({0}) AS INTEGER)", INT4))


def _replace(arguments: Arguments, named: Named) -> Typed:
    """REPLACE(text, from, to)."""
    value, old, new = map(string, arguments)
    if new.nullable and not old.constant:
        raise Refusal(
            "an empty text replaced by NULL is left as it is by MariaDB, and NULL to MySQL",
            fix="IFNULL(x, '')",
        )
    return strings.replaced([value, old, new], named)


TEXTS = {
    "char_length": Function("CHAR_LENGTH(text)", _CHARACTERS, 1, 1),
    "concat": Function("CONCAT(value, …)", _concat, 1, None),
    "concat_ws": Function("CONCAT_WS(separator, value, …)", _concat_ws, 2, None),
    "hex": Function("HEX(text)", strings.of_text("hex(encode({0}))"), 1, 1),
    "instr": Function("INSTR(text, part)", _instr, 2, 2),
    "left": Function("LEFT(text, count)", _left, 2, 2),
    "length": Function("LENGTH(text)", _BYTES, 1, 1),
    "locate": Function("LOCATE(part, text)", _locate, 2, 2),
    "lower": Function("LOWER(text)", _of_text(strings.of_text("lower({0})")), 1, 1),
    "lpad": Function("LPAD(text, length, fill)", _pad("lpad"), 3, 3),
    "ltrim": Function("LTRIM(text)", _side("leading"), 1, 1),
    "md5": Function("MD5(text)", _of_text(digests.md5), 1, 1),
    "repeat": Function("REPEAT(text, count)", _repeat, 2, 2),
    "replace": Function("REPLACE(text, from, to)", _replace, 3, 3),
    "reverse": Function("REVERSE(text)", _of_text(strings.reverse), 1, 1),
    "right": Function("RIGHT(text, count)", _right, 2, 2),
    "rpad": Function("RPAD(text, length, fill)", _pad("rpad"), 3, 3),
    "rtrim": Function("RTRIM(text)", _side("trailing"), 1, 1),
    "sha2": Function("SHA2(text, 256)", _sha2, 2, 2),
    "space": Function("SPACE(count)", _space, 1, 1),
    "substring": Function("SUBSTRING(text, start [, count])", _substring, 2, 3),
    "substring_index": Function("SUBSTRING_INDEX(text, delimiter, count)", _substring_index, 3, 3),
    "trim": Function("TRIM([side what FROM] text)", _trim, 1, 3),
    "upper": Function("UPPER(text)", _of_text(strings.upper), 1, 1),
}
