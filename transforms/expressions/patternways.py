"""How a regular expression walks through a text: which of its positions may follow which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from transforms.expressions.patternreader import UNAMBIGUOUS_MAX, Node, Ranges, refuse


def size(node: Node) -> int:
    inner = sum(map(size, node.children))
    if node.op == "repeat":
        return max(1, inner * max(node.least, node.most or 0, 1))
    return inner + (node.op == "set")


def anchored(node: Node) -> tuple[bool, bool]:
    """Whether it begins with ^ and ends with $. Errors: Refusal for anchors elsewhere."""
    members = node.children if node.op == "row" else ()
    first = bool(members) and members[0].op == "begin"
    last = len(members) > first and members[-1].op == "end"
    inner = members[first : len(members) - last] if members else (node,)
    if any(found.op in ("begin", "end") for member in inner for found in walk(member)):
        raise refuse("^ and $ stand only at the very begin and end", "write (^…|…) as two tests")
    return first, last


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def nullable(node: Node) -> bool:
    match node.op:
        case "set":
            return False
        case "choice":
            return any(map(nullable, node.children))
        case "repeat":
            return node.least == 0 or nullable(node.children[0])
    return all(map(nullable, node.children))


def flat(node: Node) -> bool:
    """A row of sets, each perhaps repeated; groups in it only bracket."""
    if node.op in ("row", "group"):
        return all(map(flat, node.children))
    if node.op == "repeat":
        return node.children[0].op == "set"
    return node.op in ("set", "begin", "end")


@dataclass(slots=True)
class Ways:
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


def unambiguous(node: Node) -> bool:
    if size(node) > UNAMBIGUOUS_MAX:
        return False
    inner = tuple(child for child in node.children if child.op not in ("begin", "end"))
    ways = Ways()
    _, first, _ = ways.add(replace(node, children=inner) if node.op == "row" else node)
    return ways.one_way(first)
