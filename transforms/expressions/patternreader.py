"""Regular expressions read into nodes: only what means the same to every engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
LAST = 0x10FFFF
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


def refuse(what: str, fix: str | None = None) -> Excess:
    return Excess(f"in the regular expression: {what}", fix=fix)


@dataclass(slots=True)
class Reader:
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
            raise refuse("an anchor is not repeated")
        if self.next and self.next in "?*+{":
            raise refuse("lazy or doubled repetition differs between databases")
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
            raise refuse("{ begins a repetition such as {2} or {2,4}", "the character: \\{")
        self.at = end + 1
        least = int(low)
        most = least if not comma else int(high) if high else None
        if max(least, most or 0) > REPEATS_MAX or (most is not None and most < least):
            raise refuse(f"repetitions are at most {REPEATS_MAX}, the smaller number first")
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
                    raise refuse("what . leaves out differs between servers", "write [^\\n]")
                return Node("set", ranges=((0, LAST),))
            case "^":
                return Node("begin")
            case "$":
                if not self.flavour.dollar:
                    raise refuse("$ also stands before a last line end", "write \\z")
                return Node("end")
            case "\\":
                return self.escaped()
            case "*" | "+" | "?" | "{" | "}" | "]":
                raise refuse(f"{character} stands where it repeats nothing", f"\\{character}")
        return self.character(ord(character))

    def character(self, code: int) -> Node:
        return Node("set", ranges=((code, code),))

    def group(self) -> Node:
        self.depth += 1
        if self.depth > 20:
            raise refuse("groups are nested too deeply")
        number = 0
        if self.next == "?":
            if self.text[self.at : self.at + 2] != "?:":
                what = (
                    "looking ahead or behind"
                    if self.text[self.at + 1 : self.at + 2]
                    in (
                        "=",
                        "!",
                        "<",
                    )
                    else "(?…)"
                )
                raise refuse(f"{what} is not supported")
            self.at += 2
        else:
            self.groups += 1
            number = self.groups
        inner = self.choice()
        if self.take() != ")":
            raise refuse("a group is not closed")
        self.depth -= 1
        return Node("group", (inner,), number=number)

    def escaped(self) -> Node:
        character = self.take()
        if character == "d":
            return Node("set", ranges=_DIGITS)
        if character == "D":
            return Node("set", ranges=outside(_DIGITS))
        if character == "z" and not self.flavour.dollar:
            return Node("end")
        return self.character(self.escape(character))

    def escape(self, character: str) -> int:
        """The one character that an escape stands for."""
        if character in _ESCAPES:
            return _ESCAPES[character]
        if not character:
            raise refuse("it ends in a backslash")
        if character.isalnum():
            why = _BECAUSE.get(character, "its meaning differs between databases")
            raise refuse(f"\\{character} is not supported: {why}")
        return ord(character)

    def bracket(self) -> Ranges:
        negated = self.next == "^"
        if negated:
            self.take()
        found: list[tuple[int, int]] = []
        while self.next != "]":
            if not self.next:
                raise refuse("a bracket [ is not closed")
            found += self.member(first=not found)
        self.take()
        if not found:
            raise refuse("a bracket [] holds nothing", "the character: [\\]]")
        ranges = merged(found)
        return outside(ranges) if negated else ranges

    def member(self, first: bool) -> Ranges:
        character = self.take()
        if character == "[":
            if self.next and self.next in ":.=":
                end = self.text.find(":]", self.at + 1)
                if self.text[self.at : end + 2] == ":digit:]":
                    self.at = end + 2
                    return _DIGITS
                raise refuse("named classes depend on the locale", "write [A-Za-z], [0-9]")
            raise refuse("[ within a bracket", "write \\[")
        if character == "-" and not (first or self.next == "]"):
            raise refuse("a - within a bracket is written first, last or \\-")
        if character == "\\" and not self.flavour.escapes:
            raise refuse("a backslash within a bracket is a character of its own here")
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
            raise refuse("a range goes from the smaller to the larger character")
        return ((low, high),)


def merged(ranges: Sequence[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def outside(ranges: Ranges) -> Ranges:
    found, at = [], 0
    for low, high in ranges:
        if at < low:
            found.append((at, low - 1))
        at = high + 1
    return (*found, (at, LAST)) if at <= LAST else tuple(found)
