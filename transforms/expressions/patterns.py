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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from transforms.expressions.typed import Excess

CHARS_MAX = 500
"""Of a pattern."""
REPEATS_MAX = 255
"""PostgreSQL's own limit."""
POSITIONS_MAX = 2_000
"""Characters of a pattern once its repetitions are written out."""
UNAMBIGUOUS_MAX = 300
"""The same where its ways must be compared."""

Ranges = tuple[tuple[int, int], ...]
_LAST = 0x10FFFF
_DIGITS: Ranges = ((48, 57),)
_ESCAPES = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_BECAUSE = {
    "s": "blanks depend on the locale; write [ \\t\\r\\n]",
    "S": "blanks depend on the locale; write [^ \\t\\r\\n]",
    "w": "letters depend on the locale; write [A-Za-z0-9_]",
    "W": "letters depend on the locale; write [^A-Za-z0-9_]",
    **dict.fromkeys("mMyYbB<>", "word boundaries depend on the locale"),
    **dict.fromkeys("123456789", "a back reference"),
}


@dataclass(frozen=True, slots=True)
class Node:
    """`op`: set, row, choice, repeat, group (capturing where `number` is not 0), begin, end."""

    op: str
    children: tuple[Node, ...] = ()
    ranges: Ranges = ()
    least: int = 0
    most: int | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Flavour:
    """What differs between the sources' engines: `dot` matches a newline; `$` is the very end; a
    backslash escapes within brackets, too."""

    name: str
    dot: bool = True
    dollar: bool = True
    escapes: bool = True


POSTGRES = Flavour("PostgreSQL")
PERL = Flavour("MariaDB", dot=False, dollar=False)
"""PCRE and ICU: `.` stops at line ends and `$` stands before a last one; each in its own way."""
ORACLE = Flavour("Oracle", dot=False, escapes=False)


@dataclass(frozen=True, slots=True)
class Pattern:
    """`re2` for DuckDB; `groups`: how many capture; `cased`: whether it names letters that have
    two cases; `empty`: whether it can match nothing."""

    re2: str
    groups: int
    cased: bool
    empty: bool


def _refuse(what: str, fix: str | None = None) -> Excess:
    return Excess(f"in the regular expression: {what}", fix=fix)


@dataclass(slots=True)
class _Reader:
    text: str
    flavour: Flavour
    at: int = 0
    groups: int = 0
    depth: int = 0
    cased: bool = field(default=False)

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self) -> str:
        found = self.next
        self.at += 1
        return found

    def choice(self) -> Node:
        branches = [self.row()]
        while self.next == "|":
            self.take()
            branches.append(self.row())
        return branches[0] if len(branches) == 1 else Node("choice", tuple(branches))

    def row(self) -> Node:
        members = []
        while self.next and self.next not in "|)":
            members.append(self.repeated())
        return Node("row", tuple(members))

    def repeated(self) -> Node:
        atom = self.atom()
        bounds = self.bounds()
        if bounds is None:
            return atom
        if atom.op in ("begin", "end"):
            raise _refuse("an anchor is not repeated")
        if self.next and self.next in "?*+{":
            raise _refuse("lazy or doubled repetition differs between databases")
        return Node("repeat", (atom,), least=bounds[0], most=bounds[1])

    def bounds(self) -> tuple[int, int | None] | None:
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self.next in simple:
            return simple[self.take()]
        if self.next != "{":
            return None
        end = self.text.find("}", self.at)
        low, comma, high = self.text[self.at + 1 : max(end, self.at + 1)].partition(",")
        numbers = [part for part in (low, high) if part]
        plain = all(part.isascii() and part.isdigit() and len(part) < 4 for part in numbers)
        if end < 0 or not low or not plain:
            raise _refuse("{ begins a repetition such as {2} or {2,4}", "the character: \\{")
        self.at = end + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > REPEATS_MAX or (most is not None and most < least):
            raise _refuse(f"repetitions are at most {REPEATS_MAX}, the smaller number first")
        return least, most

    def atom(self) -> Node:
        character = self.take()
        match character:
            case "(":
                return self.group()
            case "[":
                return Node("set", ranges=self.bracket())
            case ".":
                if not self.flavour.dot:
                    raise _refuse("what . leaves out differs between servers", "write [^\\n]")
                return Node("set", ranges=((0, _LAST),))
            case "^":
                return Node("begin")
            case "$":
                if not self.flavour.dollar:
                    raise _refuse("$ also stands before a last line end", "write \\z")
                return Node("end")
            case "\\":
                return self.escaped()
            case "*" | "+" | "?" | "{" | "}" | "]":
                raise _refuse(f"{character} stands where it repeats nothing", f"\\{character}")
        return self.character(ord(character))

    def character(self, code: int) -> Node:
        return Node("set", ranges=((code, code),))

    def group(self) -> Node:
        self.depth += 1
        if self.depth > 20:
            raise _refuse("groups are nested too deeply")
        number = 0
        if self.next == "?":
            if self.text[self.at : self.at + 2] != "?:":
                what = "looking ahead or behind" if self.text[self.at + 1 : self.at + 2] in (
                    "=", "!", "<",
                ) else "(?…)"  # fmt: skip
                raise _refuse(f"{what} is not supported")
            self.at += 2
        else:
            self.groups += 1
            number = self.groups
        inner = self.choice()
        if self.take() != ")":
            raise _refuse("a group is not closed")
        self.depth -= 1
        return Node("group", (inner,), number=number)

    def escaped(self) -> Node:
        character = self.take()
        if character == "d":
            return Node("set", ranges=_DIGITS)
        if character == "D":
            return Node("set", ranges=_outside(_DIGITS))
        if character == "z" and not self.flavour.dollar:
            return Node("end")
        return self.character(self.escape(character))

    def escape(self, character: str) -> int:
        """The one character that an escape stands for."""
        if character in _ESCAPES:
            return _ESCAPES[character]
        if not character:
            raise _refuse("it ends in a backslash")
        if character.isalnum():
            why = _BECAUSE.get(character, "its meaning differs between databases")
            raise _refuse(f"\\{character} is not supported: {why}")
        return ord(character)

    def bracket(self) -> Ranges:
        negated = self.next == "^"
        if negated:
            self.take()
        found: list[tuple[int, int]] = []
        while self.next != "]":
            if not self.next:
                raise _refuse("a bracket [ is not closed")
            found += self.member(first=not found)
        self.take()
        if not found:
            raise _refuse("a bracket [] holds nothing", "the character: [\\]]")
        ranges = _merged(found)
        return _outside(ranges) if negated else ranges

    def member(self, first: bool) -> Ranges:
        character = self.take()
        if character == "[":
            if self.next and self.next in ":.=":
                end = self.text.find(":]", self.at + 1)
                if self.text[self.at : end + 2] == ":digit:]":
                    self.at = end + 2
                    return _DIGITS
                raise _refuse("named classes depend on the locale", "write [A-Za-z], [0-9]")
            raise _refuse("[ within a bracket", "write \\[")
        if character == "-" and not (first or self.next == "]"):
            raise _refuse("a - within a bracket is written first, last or \\-")
        if character == "\\" and not self.flavour.escapes:
            raise _refuse("a backslash within a bracket is a character of its own here")
        if character == "\\" and self.next == "d":
            self.take()
            return _DIGITS
        low = self.escape(self.take()) if character == "\\" else ord(character)
        if self.next != "-" or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return ((low, low),)
        self.take()
        character = self.take()
        high = self.escape(self.take()) if character == "\\" else ord(character)
        if character == "[" or high < low:
            raise _refuse("a range goes from the smaller to the larger character")
        return ((low, high),)


def _merged(ranges: Sequence[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _outside(ranges: Ranges) -> Ranges:
    found, at = [], 0
    for low, high in ranges:
        if at < low:
            found.append((at, low - 1))
        at = high + 1
    return (*found, (at, _LAST)) if at <= _LAST else tuple(found)


def _any_case(node: Node) -> Node:
    """The same with ASCII letters of either case. Of a negated set the complement is widened."""
    if node.op != "set":
        return replace(node, children=tuple(map(_any_case, node.children)))
    negated = bool(node.ranges) and node.ranges[-1][1] == _LAST
    listed = _outside(node.ranges) if negated else node.ranges
    wider = list(listed)
    for low, high in listed:
        if high > 127 and any(_cased(code) for code in range(max(low, 128), min(high, low + 999))):
            raise _refuse("ignoring case is only the same everywhere for ASCII letters")
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            a, b = max(low, first), min(high, last)
            if a <= b:
                wider.append((a + shift, b + shift))
    ranges = _merged(wider)
    return replace(node, ranges=_outside(ranges) if negated else ranges)


def _cased(code: int) -> bool:
    return chr(code).lower() != chr(code) or chr(code).upper() != chr(code)


def _size(node: Node) -> int:
    inner = sum(map(_size, node.children))
    if node.op == "repeat":
        return max(1, inner * max(node.least, node.most or 0, 1))
    return inner + (node.op == "set")


def _anchored(node: Node) -> tuple[bool, bool]:
    """Whether it begins with ^ and ends with $. Errors: Refusal for anchors elsewhere."""
    members = node.children if node.op == "row" else ()
    first = bool(members) and members[0].op == "begin"
    last = len(members) > first and members[-1].op == "end"
    inner = members[first : len(members) - last] if members else (node,)
    if any(found.op in ("begin", "end") for member in inner for found in _walk(member)):
        raise _refuse("^ and $ stand only at the very begin and end", "write (^…|…) as two tests")
    return first, last


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _nullable(node: Node) -> bool:
    match node.op:
        case "set":
            return False
        case "choice":
            return any(map(_nullable, node.children))
        case "repeat":
            return node.least == 0 or _nullable(node.children[0])
    return all(map(_nullable, node.children))


def _flat(node: Node) -> bool:
    """A row of sets, each perhaps repeated; groups in it only bracket."""
    if node.op in ("row", "group"):
        return all(map(_flat, node.children))
    if node.op == "repeat":
        return node.children[0].op == "set"
    return node.op in ("set", "begin", "end")


@dataclass(slots=True)
class _Ways:
    """Which positions of a pattern may follow which (Glushkov's automaton)."""

    sets: list[Ranges] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)

    def add(self, node: Node) -> tuple[bool, set[int], set[int]]:
        """(can be empty, first positions, last positions)"""
        if node.op == "set":
            self.sets.append(node.ranges)
            self.follow.append(set())
            at = {len(self.sets) - 1}
            return False, at, at
        if node.op == "choice":
            parts = [self.add(child) for child in node.children]
            return (
                any(part[0] for part in parts),
                set().union(*(part[1] for part in parts)),
                set().union(*(part[2] for part in parts)),
            )
        if node.op == "repeat":
            return self._repeated(node)
        return self._row([self.add(child) for child in node.children])

    def _row(
        self, parts: Sequence[tuple[bool, set[int], set[int]]]
    ) -> tuple[bool, set[int], set[int]]:
        empty, first, last = True, set[int](), set[int]()
        for nullable, begins, ends in parts:
            for at in last:
                self.follow[at] |= begins
            first = first | begins if empty else first
            last = last | ends if nullable else set(ends)
            empty = empty and nullable
        return empty, first, last

    def _repeated(self, node: Node) -> tuple[bool, set[int], set[int]]:
        (child,) = node.children
        copies = max(node.least, node.most or 0, 1)
        parts = []
        for copy in range(copies):
            nullable, begins, ends = self.add(child)
            if node.most is None and copy == copies - 1:
                for at in ends:
                    self.follow[at] |= begins
            parts.append((nullable or copy >= node.least, begins, ends))
        return self._row(parts)

    def one_way(self, first: set[int]) -> bool:
        return all(self._disjoint(positions) for positions in (first, *self.follow))

    def _disjoint(self, positions: set[int]) -> bool:
        ends = sorted(span for at in positions for span in self.sets[at])
        return all(left[1] < right[0] for left, right in pairwise(ends))


def _unambiguous(node: Node) -> bool:
    if _size(node) > UNAMBIGUOUS_MAX:
        return False
    inner = tuple(child for child in node.children if child.op not in ("begin", "end"))
    ways = _Ways()
    _, first, _ = ways.add(replace(node, children=inner) if node.op == "row" else node)
    return ways.one_way(first)


def _written(node: Node) -> str:
    """RE2's spelling."""
    match node.op:
        case "set":
            inner = "".join(_span(low, high) for low, high in node.ranges)
            return f"[{inner}]"
        case "begin":
            return r"\A"
        case "end":
            return r"\z"
        case "choice":
            return "|".join(map(_written, node.children))
        case "row":
            return "".join(map(_written, node.children))
        case "group":
            return f"({'' if node.number else '?:'}{_written(node.children[0])})"
    bounds = f"{{{node.least},{'' if node.most is None else node.most}}}"
    simple = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    return _written(node.children[0]) + simple.get((node.least, node.most), bounds)


def _span(low: int, high: int) -> str:
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
        raise _refuse(f"it has more than {CHARS_MAX} characters")
    if written.startswith("***") or not written:
        raise _refuse("*** and an empty pattern are not supported")
    reader = _Reader(written, flavour)
    node = reader.choice()
    if reader.next:
        raise _refuse("a bracket ) closes nothing", "the character: \\)")
    if _size(node) > POSITIONS_MAX:
        raise _refuse("its repetitions multiply to too many characters")
    cased = any(
        _cased(code)
        for found in _walk(node)
        if found.op == "set"
        for low, high in (
            _outside(found.ranges) if found.ranges and found.ranges[-1][1] == _LAST
            else found.ranges
        )
        for code in range(low, min(high, low + 2_000) + 1)
    )  # fmt: skip
    first, last = _anchored(node)
    if fold:
        node = _any_case(node)
    empty = _nullable(node)
    if extent:
        if not (_flat(node) or _unambiguous(node)):
            raise _refuse(
                "how much it matches differs between databases",
                "let alternatives and what follows a repetition begin with different characters",
            )
        if empty and not (first and last):
            raise _refuse("it can match nothing, and databases differ in where", "use + for *")
    return Pattern(f"(?s){_written(node)}", reader.groups, cased, empty)


def once(written: str, number: int, flavour: Flavour = POSTGRES) -> bool:
    """Whether the numbered group takes part in every match, exactly once."""
    node = _Reader(written, flavour).choice()
    while True:
        if node.op == "group" and node.number == number:
            return True
        inside = [
            child for child in node.children
            if any(found.number == number for found in _walk(child) if found.op == "group")
        ]  # fmt: skip
        if not inside or node.op in ("choice", "repeat"):
            return False
        node = inside[0]
