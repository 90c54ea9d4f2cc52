"""Code tables: value maps in files of their own, ``values: codes/status.csv``.

They are read while the mapping's document is, and stand in it from then on as if they had been
written there; what is wrong with one of their entries is named by the table's own file and line.

A table is a CSV file (RFC 4180) whose first line is ``code,value``, or ``;`` or a tab instead of
the comma; or a YAML file of ``code: value`` lines. In both the text ``null`` is NULL and ``""`` the
empty text, as in a value map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from config.files import contents, decoded
from config.places import Loc, Places
from config.problems import Problems, suggest
from config.yaml import Document, read
from tailrace.errors import ConfigError

VALUES = "values"
_HEADER = re.compile(r"(\"?)code\1([,;\t])(\"?)value\3")
_LINE = re.compile(r"\r\n|\n|\r")
_CELL = r'("(?:[^"]|"")*"|[^"\r\n{}]*)'
_END = r"(?:\r\n|\n|\r|\Z)"
_QUOTE = "put it in double quotes if it is meant so"


@dataclass(frozen=True, slots=True)
class CodeTables:
    """The tables of a project `directory`, each read once."""

    directory: Path
    found: dict[str, Document]

    def fill_in(self, document: Document, problems: Problems) -> None:
        """Put the tables that a mapping's document names in the place of their names."""
        for loc, rule in _rules(document.value):
            name = rule.get(VALUES)
            if not isinstance(name, str):
                continue
            loc = (*loc, VALUES)
            rule[VALUES] = {}
            try:
                path = self._path(name, document.places.where(loc))
                if name not in self.found:
                    self.found[name] = _read(path, name)
            except ConfigError as error:
                problems.append(error)
            else:
                rule[VALUES] = self.found[name].value
                document.places.tables[loc] = self.found[name].places

    def _path(self, name: str, where: dict[str, object]) -> Path:
        """Errors: ConfigError where it is no table inside of the project."""
        relative = PurePosixPath(name)
        path = self.directory / relative
        inside = not relative.is_absolute() and ".." not in relative.parts and "\0" not in name
        if not inside or not path.resolve().is_relative_to(self.directory.resolve()):
            raise ConfigError(
                f"the code table {name!r} leads out of the project",
                where=where,
                fix="name a file by its path from the project's directory: codes/status.csv",
            )
        if relative.suffix not in (".csv", ".yml", ".yaml"):
            raise ConfigError(
                f"{name!r} is neither a value map nor a code table",
                where=where,
                fix="write values: {code: value, …}, or name a .csv, .yml or .yaml file",
            )
        if not path.is_file():
            there = (file.relative_to(self.directory) for file in path.parent.glob("*.*"))
            raise ConfigError(
                f"there is no file {name!r}", where=where, fix=suggest(name, map(str, there), "has")
            )
        return path


def _rules(mapping: dict[str, Any]) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The rules of a mapping's fields, as far as the document has the shape of one."""
    parts: list[tuple[Loc, Any]] = [((), mapping)]
    if isinstance(mapping.get("rows"), list):
        parts += [(("rows", at), rows) for at, rows in enumerate(mapping["rows"])]
    for loc, part in parts:
        fields = part.get("fields") if isinstance(part, dict) else None
        for name, rule in fields.items() if isinstance(fields, dict) else ():
            if isinstance(rule, dict):
                yield (*loc, "fields", name), rule


def _read(path: Path, shown: str) -> Document:
    """The table's entries, and where they stand. Errors: ConfigError."""
    if path.suffix == ".csv":
        document = _csv(decoded(contents(path, shown), shown), shown)
    else:
        document = read(path, shown, (VALUES,))
        for code, value in document.value.items():
            if not isinstance(value, str):
                where = document.places.where((VALUES, code))
                raise ConfigError(f"the code {code!r} has no single value", where=where)
    if not document.value:
        raise ConfigError("holds no codes", where=document.places.where())
    return document


def _csv(text: str, shown: str) -> Document:
    places = Places(shown, text=text)
    header = _LINE.split(text, 1)[0]
    separator = _HEADER.fullmatch(header)
    if separator is None:
        raise ConfigError(
            "does not begin with the names of its columns",
            where=places.where(),
            fix="let the first line be: code,value",
        )
    document = Document(places)
    for line, code, value in _lines(text, len(header), separator[2], places):
        if code in document.value:
            raise ConfigError(
                f"has the code {code!r} twice: also in line {places.found[(VALUES, code)][0]}",
                where={"file": shown, "line": line, "column": 1},
                fix="remove one of them",
            )
        document.value[code] = value
        places.found[(VALUES, code)] = (line, 1)
    return document


def _lines(
    text: str, header: int, separator: str, places: Places
) -> Iterator[tuple[int, str, str]]:
    """Number, code and value of each line below the header. Blank lines are passed over."""
    cell = _CELL.format(separator)
    shape = re.compile(cell + separator + cell + _END)
    first = _LINE.match(text, header)
    at, number = first.end() if first else len(text), 2
    while at < len(text):
        if blank := _LINE.match(text, at):
            at, number = blank.end(), number + 1
            continue
        where: dict[str, object] = {"file": places.file, "line": number, "column": 1}
        match = shape.match(text, at)
        if match is None:
            raise ConfigError(
                f"is not a code and a value with {separator!r} between them",
                where=where,
                fix="a cell that holds the separator or a quote stands in double quotes, and a"
                " quote inside of them is doubled",
            )
        yield number, _cell(match[1], "code", where), _cell(match[2], "value", where)
        at, number = match.end(), number + len(_LINE.findall(match[0]))


def _cell(written: str, name: str, where: dict[str, object]) -> str:
    if "\0" in written:
        raise ConfigError(f"has a {name} with the character NUL", where=where, fix="remove it")
    if written.startswith('"'):
        return written[1:-1].replace('""', '"')
    if not written:
        fix = 'write "" for the empty text, null for NULL'
        raise ConfigError(f"has no {name}", where=where, fix=fix)
    if written != written.strip():
        what = f"has a {name} that begins or ends with a blank"
        raise ConfigError(what, where=where, fix=_QUOTE)
    return written
