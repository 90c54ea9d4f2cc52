"""Everything wrong with a project, gathered, so that an operator sees all of it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from config.places import Loc, Places
from config.spots import line_and_column, spot
from tailrace.errors import ConfigError
from transforms.errors import ExpressionError, underlined

SHOWN_MAX = 20


class ConfigErrors(ConfigError):
    """Several at once. `errors` holds each."""

    def __init__(self, errors: list[ConfigError]) -> None:
        self.errors = errors
        super().__init__(f"{len(errors)} errors", where=errors[0].where)

    def __str__(self) -> str:
        lines = [str(error) for error in self.errors[:SHOWN_MAX]]
        if len(self.errors) > SHOWN_MAX:
            lines.append(f"… and {len(self.errors) - SHOWN_MAX} more")
        return "\n".join(lines)


class Problems:
    """Gathers errors, in the order of files and lines."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []
        self._said: set[str] = set()

    def add(self, what: str, where: dict[str, object], fix: str | None = None) -> None:
        self.append(ConfigError(what, where=where, fix=fix))

    def append(self, error: ConfigError) -> None:
        if str(error) not in self._said:
            self._said.add(str(error))
            self.found.append(error)

    def place(self, errors: Iterable[ConfigError], places: Places) -> None:
        """Errors of transforms, whose `loc` is a path in the document of `places`."""
        for error in errors:
            loc: Loc = getattr(error, "loc", ())
            error.where.update(places.where(loc))
            if isinstance(error, ExpressionError):
                _point(error, places, loc)
            self.append(error)

    def raise_if_any(self) -> None:
        """Errors: ConfigError: the only one, or one whose text lists all."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise ConfigErrors(sorted(self.found, key=_order))


def _point(error: ExpressionError, places: Places, loc: Loc) -> None:
    """Name the line and column of the very part, and show the file's line instead of the
    expression's."""
    found = spot(places, loc, error.expression, error.span)
    if found is None:
        return
    line, column = line_and_column(places.text, found[0])
    error.where.update(line=line, column=column)
    error.underline(underlined(places.text, found))


def each(error: ConfigError) -> list[ConfigError]:
    """The errors that one raised by `load_project` stands for."""
    return error.errors if isinstance(error, ConfigErrors) else [error]


def suggest(name: str, known: Iterable[str], kind: str) -> str:
    """What may have been meant, or what there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"{kind}: {', '.join(names)}" if names else f"{kind}: none"


def _order(error: ConfigError) -> tuple[bool, str, int]:
    """tailrace.yml first."""
    file, line = str(error.where.get("file", "")), error.where.get("line")
    return "/" in file, file, line if isinstance(line, int) else 0
