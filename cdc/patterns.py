"""Which tables an operator means: ``sales.orders``, ``sales.*``, ``*.orders_20*``, ``!sales.tmp_*``

A pattern is ``schema.table``; ``*`` stands for any characters, ``?`` for one. One that begins with
``!`` takes tables out again, wherever it stands in the list. Names are compared exactly as the
catalog spells them (an unquoted name in SQL is lower case there). A part that holds a dot or a
star itself is written in double quotes: ``sales."a.b"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate

from cdc.schema import TableName

OWN_SCHEMA = "tailrace"
"""Where a target keeps our checkpoint, and a MariaDB our temporary tables; a catalog's reader takes
no pattern with a star for it."""

_PART = r'(?:"(?:[^"]|"")+"|[^".]+)'
_SHAPE = re.compile(rf"(!?)({_PART})\.({_PART})")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern. `exact` is the table it names where it holds neither ``*`` nor ``?``."""

    text: str
    excludes: bool
    exact: TableName | None
    _schema: re.Pattern[str]
    _name: re.Pattern[str]
    _parts: tuple[str, str]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Errors: ValueError, one sentence, when `text` is not of the shape ``schema.table``."""
        matched = _SHAPE.fullmatch(text.strip())
        if matched is None:
            raise ValueError(f"{text!r} is not a table pattern: expected schema.table or schema.*")
        bang, schema, name = matched.groups()
        wild = any(part[0] != '"' and set(part) & set("*?") for part in (schema, name))
        exact = None if wild else TableName(_unquoted(schema), _unquoted(name))
        return cls(text.strip(), bool(bang), exact, _regex(schema), _regex(name), (schema, name))

    def matches(self, table: TableName) -> bool:
        return bool(self._schema.match(table.schema) and self._name.match(table.name))

    @property
    def written(self) -> TableName:
        """Both parts as they are written, stars and all, without quotes."""
        return TableName(*map(_unquoted, self._parts))

    @property
    def schema(self) -> str | None:
        """The one schema it names, if it does."""
        part = self._parts[0]
        if part[0] == '"':
            return _unquoted(part)
        return None if set(part) & set("*?") else part

    def posix(self) -> tuple[str, str]:
        """Regular expressions, as PostgreSQL takes them, for a whole schema's and table's name."""
        schema, name = (
            "".join({"**": ".*", "??": "."}.get(token, re.escape(token)) for token in _tokens(part))
            for part in self._parts
        )
        return f"^{schema}$", f"^{name}$"

    def meets(self, other: Pattern) -> bool:
        """Whether there can be a table that both match."""
        return all(
            _meet(_tokens(one), _tokens(two))
            for one, two in zip(self._parts, other._parts, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Patterns:
    """A list of patterns: a table is in when one of them matches and none excludes it."""

    included: tuple[Pattern, ...]
    excluded: tuple[Pattern, ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Patterns:
        """Errors: ValueError."""
        parsed = [Pattern.parse(text) for text in texts]
        return cls(
            tuple(pattern for pattern in parsed if not pattern.excludes),
            tuple(pattern for pattern in parsed if pattern.excludes),
        )

    def matches(self, table: TableName) -> bool:
        return self.named_by(table) is not None

    def named_by(self, table: TableName) -> Pattern | None:
        """The pattern that brings `table` in; one that names it exactly comes first."""
        if any(pattern.matches(table) for pattern in self.excluded):
            return None
        found = [pattern for pattern in self.included if pattern.matches(table)]
        return min(found, key=lambda pattern: pattern.exact is None, default=None)

    def without_match(self, tables: Sequence[TableName]) -> list[Pattern]:
        """The including patterns that match none of `tables`."""
        return [
            pattern
            for pattern in self.included
            if not any(pattern.matches(table) for table in tables)
        ]


def some_included(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The same, for a setting. Errors: ValueError where a pattern is none, or all exclude."""
    if not Patterns.parse(texts).included:
        raise ValueError("every pattern excludes tables; name some to include")
    return texts


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part[0] == '"' else part


def _tokens(part: str) -> tuple[str, ...]:
    """One a character; a wildcard is two characters long, so that no character is taken for it."""
    if part[0] == '"':
        return tuple(_unquoted(part))
    return tuple({"*": "**", "?": "??"}.get(character, character) for character in part)


def _meet(one: tuple[str, ...], two: tuple[str, ...]) -> bool:
    """Whether some text matches both; by the ends of each that can still be reached together."""
    reached, seen = [(0, 0)], set()
    while reached:
        at = reached.pop()
        if at in seen:
            continue
        seen.add(at)
        i, j = at
        if i == len(one) and j == len(two):
            return True
        if i < len(one) and one[i] == "**":
            reached += [(i + 1, j), (i, j + 1)] if j < len(two) else [(i + 1, j)]
        elif j < len(two) and two[j] == "**":
            reached += [(i, j + 1), (i + 1, j)] if i < len(one) else [(i, j + 1)]
        elif i < len(one) and j < len(two) and (one[i] == two[j] or "??" in (one[i], two[j])):
            reached.append((i + 1, j + 1))
    return False


def _regex(part: str) -> re.Pattern[str]:
    if part[0] == '"':
        return re.compile(re.escape(_unquoted(part)) + r"\Z", re.DOTALL)
    return re.compile(translate(part.replace("[", "[[]")))
