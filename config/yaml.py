"""YAML as this project reads it: every scalar is the text that was written.

No implicit types (``no``, ``010``, ``12:30`` and dates stay what they were), no aliases, anchors,
tags, merge keys or second documents, and a bound on size and depth. Beside the plain values comes
where each of them stands, so that a later error can name file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from tailrace.errors import ConfigError

BYTES_MAX = 1 << 20
DEPTH_MAX = 32

Loc = tuple[str | int, ...]
"""Path in a document: ``("pipelines", "line", "mappings", 0)``."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """A file's plain values (dict, list, str) and, by path, the 1-based (line, column) of each.

    The place of a mapping's entry is that of its key.
    """

    file: str
    value: Any = None
    places: dict[Loc, tuple[int, int]] = field(default_factory=dict)

    def where(self, loc: Loc) -> dict[str, object]:
        """File and line of `loc`, or of the nearest thing around it that stands in the file."""
        while loc and loc not in self.places:
            loc = loc[:-1]
        line, column = self.places.get(loc, (1, 1))
        return {"file": self.file, "line": line, "column": column}


def read(path: Path, shown: str) -> Document:
    """Read a file. `shown` is how errors name it. Errors: ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where={"file": shown}, fix="see that it exists"
        ) from error
    return parse(data, shown)


def parse(data: bytes, shown: str) -> Document:
    """Errors: ConfigError with file, line and column."""
    document = Document(shown)
    if len(data) > BYTES_MAX:
        raise ConfigError(f"is larger than {BYTES_MAX} bytes", where={"file": shown, "line": 1})
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            "is not UTF-8", where={"file": shown, "line": line}, fix="save the file as UTF-8"
        ) from None
    try:
        events = _checked(yaml.parse(text, Loader=_LOADER), document)
        for event in events:
            if document.value is not None:
                raise _error(document, event, "holds a second document", "keep one per file")
            document.value = _value(event, events, document, ())
    except yaml.YAMLError as error:
        raise _syntax_error(document, error, text) from None
    except ValueError as error:  # a character that YAML does not allow
        raise ConfigError(str(error), where={"file": shown}) from None
    if document.value is None:
        raise ConfigError("is empty", where={"file": shown, "line": 1})
    return document


def _checked(events: Iterator[Event], document: Document) -> Iterator[Event]:
    """Events that carry values; refuses the parts of YAML that configuration does not need."""
    for event in events:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
            raise _error(document, event, "uses an anchor or alias", "write the value out")
        if getattr(event, "tag", None) is not None and event.tag != "!":
            raise _error(document, event, f"uses the tag {event.tag}", "write plain values")
        if isinstance(event, DocumentStartEvent) and (event.tags or event.version):
            raise _error(document, event, "uses a YAML directive", "remove it")
        if isinstance(
            event,
            ScalarEvent
            | MappingStartEvent
            | MappingEndEvent
            | SequenceStartEvent
            | SequenceEndEvent,
        ):
            yield event


def _value(event: Event, events: Iterator[Event], document: Document, loc: Loc) -> Any:
    if len(loc) > DEPTH_MAX:
        raise _error(document, event, f"is nested more than {DEPTH_MAX} deep")
    document.places.setdefault(loc, _place(event))
    if isinstance(event, ScalarEvent):
        return event.value
    if isinstance(event, SequenceStartEvent):
        items: list[Any] = []
        for inner in events:
            if isinstance(inner, SequenceEndEvent):
                break
            items.append(_value(inner, events, document, (*loc, len(items))))
        return items
    entries: dict[str, Any] = {}
    for key in events:
        if isinstance(key, MappingEndEvent):
            break
        if not isinstance(key, ScalarEvent):
            raise _error(document, key, "has a key that is not text")
        if key.value == "<<" and not key.style:
            raise _error(document, key, "uses a merge key", "write the entries out")
        if key.value in entries:
            raise _error(
                document, key, f"has the key {key.value!r} twice", "remove one of them", loc
            )
        inner_loc = (*loc, key.value)
        document.places[inner_loc] = _place(key)
        value = next(events)
        if _is_missing(value) and _after_comma(event, entries):
            raise _comma_error(document, key)
        entries[key.value] = _value(value, events, document, inner_loc)
    return entries


def _is_missing(event: Event) -> bool:
    return isinstance(event, ScalarEvent) and event.value == "" and event.style in (None, "")


def _after_comma(mapping: Event, entries: dict[str, Any]) -> bool:
    """Inside ``{a: f(x, y)}`` the part after the comma looks like a key without a value."""
    return bool(entries) and bool(getattr(mapping, "flow_style", False))


def _comma_error(document: Document, event: Event) -> ConfigError:
    return _error(
        document,
        event,
        "has a comma inside {…} that ends a value early",
        "put the expression in double quotes, or write it in block style on a line of its own",
    )


def _syntax_error(document: Document, error: yaml.YAMLError, text: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    where: dict[str, object] = {"file": document.file}
    fix = "see the line and the one before it"
    if mark is not None:
        where |= {"line": mark.line + 1, "column": mark.column + 1}
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in line[: mark.column + 1]:
            fix = "indent with blanks, not with tabs"
        elif "{" in line and "," in line:
            fix = (
                "inside {…} a comma ends a value: put the expression in double quotes, or write"
                " it in block style on a line of its own"
            )
    problem = getattr(error, "problem", None) or "is not YAML"
    return ConfigError(f"is not valid YAML: {problem}", where=where, fix=fix)


def _place(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _error(
    document: Document, event: Event, what: str, fix: str | None = None, loc: Loc = ()
) -> ConfigError:
    line, column = _place(event)
    return ConfigError(what, where={"file": document.file, "line": line, "column": column}, fix=fix)
