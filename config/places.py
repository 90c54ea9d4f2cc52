"""Where the values of a file stand, so that an error found later can name file and line."""

from __future__ import annotations

from dataclasses import dataclass, field

Loc = tuple[str | int, ...]
"""Path in a document, as pydantic spells it: ``("pipelines", "line", "mappings", 0)``."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """Where a value stands in its file's text: from the character `start` up to `end`.

    `style` is YAML's: one of ``' " | >``, or empty for a plain one.
    """

    start: int
    end: int
    style: str


@dataclass(frozen=True, slots=True)
class Places:
    """By path the 1-based (line, column); of an entry of a mapping that of its key.

    `file` is how errors name it: relative to the project's directory. `text` is what it holds, and
    `scalars` where in it each value stands. `tables`: by path those parts that stand in files of
    their own, under the last of its names.
    """

    file: str
    found: dict[Loc, tuple[int, int]] = field(default_factory=dict, repr=False)
    text: str = field(default="", repr=False)
    scalars: dict[Loc, Scalar] = field(default_factory=dict, repr=False)
    tables: dict[Loc, Places] = field(default_factory=dict, repr=False)

    def where(self, loc: Loc = ()) -> dict[str, object]:
        """File, line and column of `loc`, or of the nearest thing around it that was written."""
        for at in range(1, len(loc)):
            if loc[:at] in self.tables:
                return self.tables[loc[:at]].where(loc[at - 1 :])
        while loc and loc not in self.found:
            loc = loc[:-1]
        line, column = self.found.get(loc, (1, 1))
        return {"file": self.file, "line": line, "column": column}

    def named(self, loc: Loc = ()) -> str:
        """``tailrace.yml:12``"""
        return f"{self.file}:{self.where(loc)['line']}"
