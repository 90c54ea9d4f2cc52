"""Functions of regular expressions; `patterns` says which of them there are."""

from __future__ import annotations

import re

from transforms.expressions.arguments import Arguments, Build, Named, as_string, constant
from transforms.expressions.patternreader import POSTGRES, Flavour
from transforms.expressions.patterns import once, pattern
from transforms.expressions.sql import quoted
from transforms.expressions.typed import Refusal, Typed, derived, output, text
from transforms.types import BOOL, TEXT, Kind

_WHAT = "the regular expression"


def matched(value: Typed, written: Typed, *, fold: bool, flavour: Flavour = POSTGRES) -> Typed:
    """``x ~ 'pattern'``, ``~*``: whether it matches somewhere. char(n) keeps its padding."""
    found = pattern(constant(written, _WHAT), fold=fold, flavour=flavour)
    subject = output(value) if value.kind is Kind.BPCHAR else text(as_string(value))
    return derived(BOOL, f"regexp_matches({subject}, {quoted(found.re2)})", [value])


def like(arguments: Arguments, named: Named) -> Typed:
    """regexp_like(text, pattern [, 'i'])."""
    flags = _flags(arguments[2:], "i")
    return matched(as_string(arguments[0]), arguments[1], fold="i" in flags)


def replaced(arguments: Arguments, named: Named) -> Typed:
    """regexp_replace(text, pattern, replacement [, flags])."""
    flags = _flags(arguments[3:], "gi")
    return replacing(
        as_string(arguments[0]),
        constant(arguments[1], _WHAT),
        constant(arguments[2], "the replacement"),
        fold="i" in flags,
        everywhere="g" in flags,
        whole=r"\\&",
    )


def replacing(
    value: Typed,
    written: str,
    replacement: str,
    *,
    fold: bool,
    everywhere: bool,
    whole: str,
    flavour: Flavour = POSTGRES,
) -> Typed:
    """The first match, or each, replaced. `whole`: a regular expression of what stands for it."""
    found = pattern(written, fold=fold, extent=True, flavour=flavour)

    def escaped(match: re.Match[str]) -> str:
        piece = match[0]
        if re.fullmatch(whole, piece):
            return r"\0"
        if re.fullmatch(r"\\[1-9]", piece):
            number = int(piece[1])
            if number > found.groups or not once(written, number, flavour):
                raise Refusal(f"{piece} names no group that always takes part in the match")
            return piece
        if piece == r"\\":
            return piece
        raise Refusal(f"{piece} in a replacement means different things to databases")

    shown = re.sub(rf"{whole}|\\.|\\$", escaped, replacement, flags=re.DOTALL)
    options = ", 'g'" if everywhere else ""
    sql = f"regexp_replace({text(value)}, {quoted(found.re2)}, {quoted(shown)}{options})"
    chars = value.chars * max(1, len(replacement) if everywhere else 2)
    return derived(TEXT, sql, [value], chars=chars)


def extracted(of_group: bool) -> Build:
    """substring(x FROM pattern), which gives its first group, if it has one; regexp_substr()."""

    def build(arguments: Arguments, named: Named) -> Typed:
        value, written = as_string(arguments[0]), constant(arguments[1], _WHAT)
        return extracting(value, written, of_group=of_group)

    return build


def extracting(
    value: Typed, written: str, *, of_group: bool, flavour: Flavour = POSTGRES, fold: bool = False
) -> Typed:
    """What the pattern matches first; NULL where it does not."""
    found = pattern(written, extent=True, flavour=flavour, fold=fold)
    group = 1 if of_group and found.groups else 0
    if group and not once(written, 1, flavour):
        raise Refusal(
            "its first group does not take part in every match", fix="group with (?:…) instead"
        )
    subject, re2 = text(value), quoted(found.re2)
    sql = f"regexp_extract({subject}, {re2}, {group})"
    known = f"CASE WHEN regexp_matches({subject}, {re2}) THEN {sql} END"
    return derived(TEXT, known, [value], nullable=True)


def _flags(arguments: Arguments, known: str) -> str:
    if not arguments:
        return ""
    written = constant(arguments[0], "the flags of a regular expression")
    if not set(written) <= set(known):
        raise Refusal(f"of flags there are {' and '.join(known)}")
    return written
