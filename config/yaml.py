"""YAML as this project reads it: every scalar is the text that was written.

No implicit types (``no``, ``010``, ``12:30`` and dates stay what they were), no aliases, anchors,
tags, merge keys or second documents, no value left out, and a bound on size and depth. Beside the
plain values comes where each of them stands.
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
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from config.files import BYTES_MAX, contents, decoded
from config.places import Loc, Places, Scalar
from config.yaml_advice import COMMA, QUOTE, syntax_error
from tailrace.errors import ConfigError

__all__ = ["BYTES_MAX", "Document", "parse", "read"]

DEPTH_MAX = 32
VALUES_MAX = 25_000
"""Of a file: a code table has up to 10,000 codes; what holds more takes seconds to check."""
KEY_CHARS_MAX = 1000

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ENDS = (MappingEndEvent, SequenceEndEvent)


@dataclass(slots=True)
class Document:
    """A file's values as plain dict, list and str; the outermost is a dict."""

    places: Places
    value: dict[str, Any] = field(default_factory=dict, repr=False)


def read(path: Path, shown: str, root: Loc = ()) -> Document:
    """Read a file. `shown` is how errors name it. Errors: ConfigError."""
    return parse(contents(path, shown), shown, root)


def parse(data: bytes, shown: str, root: Loc = ()) -> Document:
    """`root`: the path of the whole, for a file that is a part of another. Errors: ConfigError
    with file, line and column."""
    text = decoded(data, shown)
    places = Places(shown, text=text)
    try:
        return Document(places, _Builder(places, root).build(yaml.parse(text, Loader=_LOADER)))
    except yaml.YAMLError as error:
        raise syntax_error(error, text, shown) from None


class _Builder:
    """Turns events into values; refuses the parts of YAML that configuration does not need."""

    def __init__(self, places: Places, root: Loc) -> None:
        self._places = places
        self._root = root

    def build(self, parsed: Iterator[Event]) -> dict[str, Any]:
        events = self._checked(parsed)
        first = next(events, None)
        if first is None or _is_missing(first):
            raise ConfigError("is empty", where=self._places.where())
        if not isinstance(first, MappingStartEvent):
            raise self._error(first, "does not hold `key: value` lines")
        value: dict[str, Any] = self._value(first, events, self._root)
        for extra in events:
            raise self._error(extra, "holds a second document", "keep one per file")
        return value

    def _checked(self, parsed: Iterator[Event]) -> Iterator[Event]:
        """The events that carry values."""
        for event in parsed:
            if isinstance(event, DocumentStartEvent) and (event.tags or event.version):
                raise self._error(event, "uses a YAML directive", "remove it")
            if isinstance(event, NodeEvent):
                self._check_plain(event)
                yield event
            elif isinstance(event, _ENDS):
                yield event

    def _check_plain(self, event: NodeEvent) -> None:
        if isinstance(event, AliasEvent):
            raise self._error(event, "uses an alias (*)", f"write the value out, or {QUOTE}")
        if event.anchor is not None:
            raise self._error(event, "uses an anchor (&)", f"remove it, or {QUOTE}")
        if getattr(event, "tag", None) is not None:
            raise self._error(event, "uses a tag (!)", f"remove it, or {QUOTE}")

    def _value(self, event: Event, events: Iterator[Event], loc: Loc) -> Any:
        if len(loc) > DEPTH_MAX:
            raise self._error(event, f"is nested more than {DEPTH_MAX} deep")
        if len(self._places.found) > VALUES_MAX:
            raise self._error(event, f"holds more than {VALUES_MAX} values", "split it")
        self._places.found.setdefault(loc, _place(event))
        if isinstance(event, MappingStartEvent):
            return self._mapping(event, events, loc)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(events, loc)
        if _is_missing(event):
            where = self._places.where(loc)
            raise ConfigError(_without_value(loc), where=where, fix=_VALUE_OR_NONE)
        assert isinstance(event, ScalarEvent)
        if event.start_mark and event.end_mark:
            extent = Scalar(event.start_mark.index, event.end_mark.index, event.style or "")
            self._places.scalars[loc] = extent
        return event.value

    def _sequence(self, events: Iterator[Event], loc: Loc) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._value(event, events, (*loc, len(items))))
        return items

    def _mapping(
        self, start: MappingStartEvent, events: Iterator[Event], loc: Loc
    ) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key in events:
            if isinstance(key, MappingEndEvent):
                break
            name = self._key(key, entries, loc)
            value = next(events)
            if entries and start.flow_style and _is_missing(value):
                raise self._error(key, "has a comma inside {…} that ends a value early", COMMA)
            inner = (*loc, name)
            self._places.found[inner] = _place(key)
            entries[name] = self._value(value, events, inner)
        return entries

    def _key(self, event: Event, entries: dict[str, Any], loc: Loc) -> str:
        if not isinstance(event, ScalarEvent):
            raise self._error(event, "has a key that is not text")
        name: str = event.value
        if len(name) > KEY_CHARS_MAX:
            raise self._error(event, f"has a key of more than {KEY_CHARS_MAX} characters")
        if name == "<<" and not event.style:
            raise self._error(event, "uses a merge key (<<)", "write the entries out")
        if not name and not (event.style and loc and loc[-1] == "values"):  # "" is a code there
            raise self._error(event, "has a key without a name")
        if name in entries:
            raise self._error(event, f"has the key {name!r} twice", "remove one of them")
        return name

    def _error(self, event: Event, what: str, fix: str | None = None) -> ConfigError:
        line, column = _place(event)
        where = {"file": self._places.file, "line": line, "column": column}
        return ConfigError(what, where=where, fix=fix)


_VALUE_OR_NONE = 'write its value, or remove it; "" is the empty text'


def _without_value(loc: Loc) -> str:
    return f"{loc[-1]} has no value" if isinstance(loc[-1], str) else "a list item has no value"


def _is_missing(event: Event) -> bool:
    return isinstance(event, ScalarEvent) and not event.value and not event.style


def _place(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
