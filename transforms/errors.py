"""Errors of mappings: what an operator wrote, and rows that a mapping cannot turn.

    ConfigError
    ├── EntityError           a contract that contradicts itself; `loc` as below
    └── MappingError          a mapping that cannot work; `loc` is where in its document
        └── ExpressionError   an expression of it, shown with the offending part underlined
    TransformError
    └── RowError              rows in flight; a RowFault for each that a mapping cannot turn

Values of rows are never in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tailrace.errors import ConfigError, TransformError

Loc = tuple[str | int, ...]
"""Path into a document, as pydantic spells it: ``("rows", 0, "fields", "name")``."""

_SHOWN_CHARS_MAX = 100


class EntityError(ConfigError):
    """`loc` is the path in the entity's document; config adds file and line."""

    code = "TR-104"

    def __init__(self, what: str, *, entity: str, loc: Loc = (), fix: str | None = None) -> None:
        self.entity = entity
        self.loc = loc
        place = f"entity {entity}" + (f", {_place(loc)}" if loc else "")
        super().__init__(f"{place}: {what}", fix=fix)


class MappingError(ConfigError):
    """`loc` is the path in the mapping's document; config adds file and line.

    An expression may also stand in an entity: then that is the `kind` of what is named `mapping`.
    """

    code = "TR-102"

    def __init__(
        self,
        what: str,
        *,
        mapping: str,
        loc: Loc = (),
        fix: str | None = None,
        kind: str = "mapping",
    ) -> None:
        self.mapping = mapping
        self.loc = loc
        place = f"{kind} {mapping}" + (f", {_place(loc)}" if loc else "")
        super().__init__(f"{place}: {what}", fix=fix)


class ExpressionError(MappingError):
    """`span` are the first and last character (inclusive) of the part that is wrong."""

    def __init__(
        self,
        what: str,
        *,
        mapping: str,
        loc: Loc,
        expression: str,
        span: tuple[int, int] | None = None,
        fix: str | None = None,
        kind: str = "mapping",
    ) -> None:
        self.expression = expression
        self.span = span
        super().__init__(what, mapping=mapping, loc=loc, fix=fix, kind=kind)
        self._said = self.what
        self.underline(underlined(expression, span))

    def underline(self, excerpt: str) -> None:
        """Show `excerpt`, lines with carets under the part that is wrong, below what is said."""
        self.what = f"{self._said}\n{excerpt}" if excerpt else self._said


@dataclass(frozen=True, slots=True)
class RowFault:
    """Why one mapping cannot turn one row. Holds no values of the row.

    seq      of the source row in its change set
    mapping  the program's name: the mapping's, with `rows` followed by theirs
    field    of the entity, or ``where``
    reason   a short stable word to group by, such as ``required``, ``unlisted``, ``overflow``
    problem  the same in words
    fix      what to do about it
    """

    seq: int
    mapping: str
    field: str
    reason: str
    problem: str
    fix: str


class RowError(TransformError):
    """Rows that mappings cannot turn into their entities. Holds no values of them.

    The message is of the row `seq`, the first. `faults` are those of *all* rows of the change set
    that some mapping cannot take, by seq: all others can be routed without them. It is empty where
    the error is not of single rows: a TRUNCATE that cannot be applied, a log without keys.
    """

    code = "TR-401"

    def __init__(
        self,
        what: str,
        *,
        where: dict[str, object],
        fix: str,
        seq: int,
        faults: tuple[RowFault, ...] = (),
    ) -> None:
        self.seq = seq
        self.faults = faults
        super().__init__(what, where=where, fix=fix)


def underlined(expression: str, span: tuple[int, int] | None) -> str:
    """The line of `expression` that holds `span`, with carets under it.

    >>> print(underlined("trim(naem)", (5, 8)))
        trim(naem)
             ^^^^
    """
    start, end = span or (0, 0)
    if not expression or start >= len(expression):
        return ""
    first = expression.rfind("\n", 0, start) + 1
    last = expression.find("\n", first)
    line = expression[first : last if last >= 0 else len(expression)]
    begin, stop = start - first, min(max(end - first, start - first), len(line) - 1)
    if len(line) > _SHOWN_CHARS_MAX:
        cut = max(0, min(begin - _SHOWN_CHARS_MAX // 3, len(line) - _SHOWN_CHARS_MAX))
        line, begin, stop = line[cut : cut + _SHOWN_CHARS_MAX], begin - cut, stop - cut
        stop = min(stop, len(line) - 1)
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", line).rstrip()
    if span is None:
        return f"    {line}"
    return f"    {line}\n    {' ' * begin}{'^' * (stop - begin + 1)}"


_COUNTED = {"rows": "rows", "examples": "example"}


def _place(loc: Loc) -> str:
    """`loc` in words: ``("rows", 1, "fields", "name", "from")`` is `rows 2, field name, from`."""
    words: list[str] = []
    parts = list(loc)
    while parts:
        part = parts.pop(0)
        if part in ("fields", "key") and parts:
            words.append(f"{'field' if part == 'fields' else 'key'} {parts.pop(0)}")
        elif part in ("rows", "examples") and parts and isinstance(parts[0], int):
            words.append(f"{_COUNTED[part]} {int(parts.pop(0)) + 1}")
        else:
            words.append(str(part))
    return ", ".join(words)
