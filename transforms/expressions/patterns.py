"""Regular expressions that mean the same to PostgreSQL and to RE2, which DuckDB runs.

Patterns are constants. They are parsed here, and what RE2 is given is written anew from the parsed
form: characters, sets, groups, alternatives and greedy repetition. Everything else is refused by
name: back references and looking around (RE2 has none), classes that depend on the locale, lazy
repetition (whose meaning differs), anchors in the middle.

Where only the answer yes or no counts, that is enough. Where the matched text counts, too, there is
one more difference: PostgreSQL takes the longest match, RE2 the first that a backtracking search
would find. They agree

- where each next character leaves only one way through the pattern (the positions that may follow
  one another are disjoint: a one-unambiguous expression), since then greed is all that is left;
- in a plain row of characters and sets, each perhaps repeated: of two ways through it, the one that
  gives an earlier member more is never behind the other.

RE2 needs time linear in the text, so no pattern is catastrophic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from transforms.expressions.patternreader import (
    CHARS_MAX,
    LAST,
    POSITIONS_MAX,
    POSTGRES,
    Flavour,
    Node,
    Ranges,
    Reader,
    merged,
    outside,
    refuse,
)
from transforms.expressions.patternways import anchored, flat, nullable, size, unambiguous, walk

_WIDE = 2_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """`re2` for DuckDB; `groups`: how many capture; `cased`: whether it names letters that have
    two cases; `empty`: whether it can match nothing."""

    re2: str
    groups: int
    cased: bool
    empty: bool


def any_case(node: Node) -> Node:
    """The same with ASCII letters of either case. Of a negated set the complement is widened."""
    if node.op != "set":
        return replace(node, children=tuple(map(any_case, node.children)))
    listed = _listed(node.ranges)
    negated = listed != node.ranges
    wider = list(listed)
    for low, high in listed:
        if high > 127 and _names_letters(max(low, 128), high):
            raise refuse("ignoring case is only the same everywhere for ASCII letters")
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            a, b = max(low, first), min(high, last)
            if a <= b:
                wider.append((a + shift, b + shift))
    ranges = merged(wider)
    return replace(node, ranges=outside(ranges) if negated else ranges)


def _listed(ranges: Ranges) -> Ranges:
    """The characters that a set names, where it is negated those that it leaves out."""
    return outside(ranges) if ranges and ranges[-1][1] == LAST else ranges


def _names_letters(low: int, high: int) -> bool:
    """Whether a character of the range has two cases; of a wide one it is taken for granted."""
    return high - low > _WIDE or any(has_case(code) for code in range(low, high + 1))


def has_case(code: int) -> bool:
    return chr(code).lower() != chr(code) or chr(code).upper() != chr(code)


def spelled(node: Node) -> str:
    """RE2's spelling."""
    match node.op:
        case "set":
            inner = "".join(span(low, high) for low, high in node.ranges)
            return f"[{inner}]"
        case "begin":
            return r"\A"
        case "end":
            return r"\z"
        case "choice":
            return "|".join(map(spelled, node.children))
        case "row":
            return "".join(map(spelled, node.children))
        case "group":
            return f"({'' if node.number else '?:'}{spelled(node.children[0])})"
    bounds = f"{{{node.least},{'' if node.most is None else node.most}}}"
    simple = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    return spelled(node.children[0]) + simple.get((node.least, node.most), bounds)


def span(low: int, high: int) -> str:
    shown = [
        chr(code) if code < 127 and chr(code).isalnum() else f"\\x{{{code:X}}}"
        for code in (low, high)
    ]
    return shown[0] if low == high else "-".join(shown)


def pattern(
    written: str, *, fold: bool = False, extent: bool = False, flavour: Flavour = POSTGRES
) -> Pattern:
    """A pattern checked and rewritten. `fold` ignores case; `extent`: what it matches counts.

    Errors: Refusal, naming the construct.
    """
    if len(written) > CHARS_MAX:
        raise refuse(f"it has more than {CHARS_MAX} characters")
    if written.startswith("***") or not written:
        raise refuse("*** and an empty pattern are not supported")
    reader = Reader(written, flavour)
    node = reader.choice()
    if reader.next:
        raise refuse("a bracket ) closes nothing", "the character: \\)")
    if size(node) > POSITIONS_MAX:
        raise refuse("its repetitions multiply to too many characters")
    cased = any(
        _names_letters(low, high)
        for found in walk(node)
        if found.op == "set"
        for low, high in _listed(found.ranges)
    )
    first, last = anchored(node)
    if fold:
        node = any_case(node)
    empty = nullable(node)
    if extent:
        if not (flat(node) or unambiguous(node)):
            raise refuse(
                "how much it matches differs between databases",
                "let alternatives and what follows a repetition begin with different characters",
            )
        if empty and not (first and last):
            raise refuse("it can match nothing, and databases differ in where", "use + for *")
    return Pattern(f"(?s){spelled(node)}", reader.groups, cased, empty)


def once(written: str, number: int, flavour: Flavour = POSTGRES) -> bool:
    """Whether the numbered group takes part in every match, exactly once."""
    node = Reader(written, flavour).choice()
    while True:
        if node.op == "group" and node.number == number:
            return True
        inside = [
            child
            for child in node.children
            if any(found.number == number for found in walk(child) if found.op == "group")
        ]
        if not inside or node.op in ("choice", "repeat"):
            return False
        node = inside[0]
