"""Functions of text in Oracle."""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions import numbers, regexes, strings
from transforms.expressions.arguments import (
    Arguments,
    Build,
    Function,
    Named,
    as_integer,
    constant,
)
from transforms.expressions.casts import cast
from transforms.expressions.dialects.oracletext import emptied, string
from transforms.expressions.patternreader import ORACLE
from transforms.expressions.sql import checked
from transforms.expressions.typed import Refusal, Typed, derived, literal, text
from transforms.types import (
    INT4,
    STRINGS,
    TEXT,
    Kind,
    Type,
)


def _of_text(build: Build) -> Build:
    """A function whose first argument may be a whole number, too."""
    return lambda arguments, named: build([string(arguments[0]), *arguments[1:]], named)


def concatenated(left: Typed, right: Typed) -> Typed:
    """``||``: NULL adds nothing."""
    a, b = string(left), string(right)
    parts = None
    if all(v.parts is not None and (v.kind in STRINGS or not v.nullable) for v in (left, right)):
        parts = (a.parts or ()) + (b.parts or ())
    sql = f"(coalesce({text(a)}, '') || coalesce({text(b)}, ''))"
    if not (a.nullable and b.nullable):
        return derived(TEXT, sql, [a, b], nullable=False, parts=parts)
    return emptied(derived(TEXT, sql, [a, b], nullable=True, parts=parts))


def _concat(arguments: Arguments, named: Named) -> Typed:
    return concatenated(*arguments)


def like(arguments: Arguments, named: Named) -> Typed:
    """LIKE has no escape character but the one that is named."""
    plain = [*arguments[:2], *(arguments[2:] or [literal("")])]
    return strings.like(plain, fold=False)


def integer(value: Typed) -> Typed:
    """A position or count: digits after the point are cut off."""
    if value.kind is not Kind.NUMERIC:
        return as_integer(value)
    return cast(numbers.truncated([value], {}) if value.type.scale != 0 else value, INT4)


def _substr(arguments: Arguments, named: Named) -> Typed:
    """From a position (0 is 1, below 0 from the end); NULL where nothing is left."""
    value, start = string(arguments[0]), integer(arguments[1])
    inputs, p, sql = [value, start], start.value, text(value)
    first = f"CASE WHEN {p} < 0 THEN length({sql}) + {p} + 1 ELSE greatest({p}, 1) END"
    size = ""
    if len(arguments) > 2:
        count = integer(arguments[2])
        inputs.append(count)
        size = f", greatest({count.value}, 0)"
    known = " AND ".join(f"{item.value} IS NOT NULL" for item in inputs)
    inside = f"{known} AND {p} >= - length({sql})"
    found = f"CASE WHEN {inside} THEN substring({sql}, {first}{size}) END"
    return derived(TEXT, found, inputs, nullable=True)


def _instr(arguments: Arguments, named: Named) -> Typed:
    values = [string(value) for value in arguments]
    return strings.of_text("CAST(strpos({0}, {1}) AS INTEGER)", INT4)(values, named)


def _pad(function: str) -> Build:
    """NULL for a length below 1."""

    def build(arguments: Arguments, named: Named) -> Typed:
        return strings.pad(function)(
            [string(arguments[0]), integer(arguments[1]), *arguments[2:]], named
        )

    return build


def _trim(arguments: Arguments, named: Named) -> Typed:
    """TRIM([side c FROM] x): one character."""
    value, *rest = arguments
    side = {"leading": "ltrim", "trailing": "rtrim"}.get(rest[-1].constant or "", "trim")
    what = constant(rest[0], "what TRIM() takes off") if len(rest) > 1 else " "
    if len(what) != 1:
        raise Refusal("TRIM() takes off one character", fix="LTRIM(x, 'abc')")
    return strings.trim(side)([string(value), literal(what)], named)


def _side(function: str) -> Build:
    """LTRIM(), RTRIM(): of char(n) the blanks go, and with them the doubt about comparing it."""

    def build(arguments: Arguments, named: Named) -> Typed:
        found = strings.trim(function)([string(arguments[0]), *arguments[1:]], named)
        return replace(found, folds="") if function == "rtrim" and len(arguments) == 1 else found

    return build


def _replace(arguments: Arguments, named: Named) -> Typed:
    """Without a replacement, or with NULL, what is found is taken out."""
    value, old = string(arguments[0]), string(arguments[1])
    new = string(arguments[2]) if len(arguments) > 2 else string(literal(None))
    if old.constant is None and old.nullable:
        raise Refusal("what REPLACE() looks for cannot be NULL", fix="a constant")
    shown = "''" if new.constant is None and not new.reads else f"coalesce({text(new)}, '')"
    sql = f"replace({text(value)}, {text(old)}, {shown})"
    chars = value.chars * max(1, -(-new.chars // max(1, len(old.constant or "x"))))
    return derived(TEXT, sql, [value, old], nullable=True, chars=chars)


def _regexp_like(arguments: Arguments, named: Named) -> Typed:
    return regexes.matched(string(arguments[0]), arguments[1], fold=False, flavour=ORACLE)


def _regexp_replace(arguments: Arguments, named: Named) -> Typed:
    """Every match."""
    replacement = arguments[2].constant or "" if len(arguments) > 2 else ""
    written = constant(arguments[1], "the regular expression")
    return regexes.replacing(
        string(arguments[0]),
        written,
        replacement,
        fold=False,
        everywhere=True,
        whole=r"(?!)",
        flavour=ORACLE,
    )


def _regexp_substr(arguments: Arguments, named: Named) -> Typed:
    written = constant(arguments[1], "the regular expression")
    return regexes.extracting(string(arguments[0]), written, of_group=False, flavour=ORACLE)


def _standard_hash(arguments: Arguments, named: Named) -> Typed:
    """Of NULL it is an error: the manual does not say what it is."""
    name = constant(arguments[1], "the method of STANDARD_HASH()").upper()
    if name not in ("MD5", "SHA256"):
        raise Refusal("STANDARD_HASH() knows 'MD5' and 'SHA256'")
    value = string(arguments[0])
    sql = text(value)
    known = checked(f"{sql} IS NULL", "malformed", f"upper({name.lower()}({sql}))")
    return derived(HASH, known, [value], chars=64, nullable=False, fails=True)


HASH = Type(Kind.OTHER, name="raw")


def _rawtohex(arguments: Arguments, named: Named) -> Typed:
    if arguments[0].type != HASH:
        raise Refusal("RAWTOHEX() takes STANDARD_HASH()")
    return replace(arguments[0], type=TEXT)


_SIZE = strings.of_text("CAST(length({0}) AS INTEGER)", INT4)

TEXTS = {
    "chr": Function("CHR(code)", strings.character, 1, 1),
    "concat": Function("CONCAT(text, text)", _concat, 2, 2),
    "initcap": Function("INITCAP(text)", _of_text(strings.initcap), 1, 1),
    "instr": Function("INSTR(text, part)", _instr, 2, 2),
    "length": Function("LENGTH(text)", _of_text(_SIZE), 1, 1),
    "lower": Function("LOWER(text)", _of_text(strings.of_text("lower({0})")), 1, 1),
    "lpad": Function("LPAD(text, length [, fill])", _pad("lpad"), 2, 3),
    "ltrim": Function("LTRIM(text [, characters])", _side("ltrim"), 1, 2),
    "rawtohex": Function("RAWTOHEX(STANDARD_HASH(…))", _rawtohex, 1, 1),
    "regexp_like": Function("REGEXP_LIKE(text, pattern)", _regexp_like, 2, 2),
    "regexp_replace": Function(
        "REGEXP_REPLACE(text, pattern [, replacement])", _regexp_replace, 2, 3
    ),
    "regexp_substr": Function("REGEXP_SUBSTR(text, pattern)", _regexp_substr, 2, 2),
    "replace": Function("REPLACE(text, from [, to])", _replace, 2, 3),
    "rpad": Function("RPAD(text, length [, fill])", _pad("rpad"), 2, 3),
    "rtrim": Function("RTRIM(text [, characters])", _side("rtrim"), 1, 2),
    "standard_hash": Function("STANDARD_HASH(text, method)", _standard_hash, 2, 2),
    "substr": Function("SUBSTR(text, start [, count])", _substr, 2, 3),
    "translate": Function("TRANSLATE(text, from, to)", _of_text(strings.translated), 3, 3),
    "trim": Function("TRIM([side character FROM] text)", _trim, 1, 3),
    "upper": Function("UPPER(text)", _of_text(strings.upper), 1, 1),
}
