"""Templates of URLs, headers and bodies: ``/customers/{customer_no}``.

A name in braces stands for a field of the row; ``{{`` and ``}}`` for a brace. A body is JSON in
which a text that is nothing but a name becomes the field's own JSON value. What a row does not
carry (*not sent*, or unchanged) is no value: its member is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

ROW, FOUND, KEY = "row", "found", "idempotency_key"
"""What a name may stand for besides a field: the row's fields as a JSON object, the API's own id
of the record that a search found, and this change's idempotency key."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class Unfit(Exception):
    """A value of the row cannot stand where it is put; `field` is its name."""

    def __init__(self, field: str, why: str) -> None:
        self.field = field
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Given:
    """What a row has for a template. `texts`: field → text, None for NULL, nothing where it is not
    sent; `values`: the same as JSON."""

    texts: Mapping[str, str | None]
    values: Mapping[str, str]


class Text:
    """A URL or a header's value. Errors: ValueError for braces that do not pair."""

    def __init__(self, text: str) -> None:
        self.source = text
        self._pieces = tuple(_pieces(text))

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self._pieces if name)

    def filled(self, given: Given, encode: Callable[[str, str], str]) -> str:
        """Errors: Unfit."""
        found = []
        for name, literal in self._pieces:
            if not name:
                found.append(literal)
                continue
            value = given.texts.get(name)
            if value is None:
                raise Unfit(name, "has no value")
            found.append(encode(name, value))
        return "".join(found)


class Address:
    """A URL's path and query. `finds`: the query says which record is meant."""

    def __init__(self, text: str, *, finds: bool = False) -> None:
        path, mark, query = text.partition("?")
        self._path, self._mark, self._query = Text(path), mark, Text(query)
        self._in_query = _in_search if finds else _in_query

    @property
    def names(self) -> frozenset[str]:
        return self._path.names | self._query.names

    def filled(self, given: Given) -> str:
        """Errors: Unfit."""
        path = self._path.filled(given, in_path)
        return path + self._mark + self._query.filled(given, self._in_query)


def in_path(name: str, text: str) -> str:
    """One segment of a path. Errors: Unfit where it would be another."""
    if text in ("", ".", ".."):
        raise Unfit(name, "is empty or made of dots, which no path can hold")
    return quote(text, safe="")


def _in_query(name: str, text: str) -> str:
    return quote(text, safe="")


def _in_search(name: str, text: str) -> str:
    """Errors: Unfit for what many APIs read as no condition: the first record of all would be
    taken for the one that is meant."""
    if not text:
        raise Unfit(name, "is empty, and a search for nothing may find any record")
    return quote(text, safe="")


def in_header(name: str, text: str) -> str:
    """Errors: Unfit."""
    if not text.isascii() or not text.isprintable():
        raise Unfit(name, "has characters that no header can hold")
    return text


class Body:
    """A JSON document with names in it. Errors: ValueError where it is none."""

    def __init__(self, text: str) -> None:
        self.source = text
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ValueError(f"a body is JSON, and this is not: {error}") from None
        self._names: set[str] = set()
        self._render = self._compiled(document)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    def filled(self, given: Given) -> str:
        """JSON text. Errors: Unfit."""
        return self._render(given) or "{}"

    def _compiled(self, node: Any) -> Callable[[Given], str | None]:
        if isinstance(node, dict):
            members = [(json.dumps(name), self._compiled(inner)) for name, inner in node.items()]
            return lambda given: _object(members, given)
        if isinstance(node, list):
            items = [self._compiled(inner) for inner in node]
            return lambda given: _array(items, given)
        if isinstance(node, str):
            return self._text(node)
        constant = json.dumps(node)
        return lambda given: constant

    def _text(self, text: str) -> Callable[[Given], str | None]:
        template = Text(text)
        self._names |= template.names
        whole = re.fullmatch(r"\{([^{}]+)\}", text)
        if whole is not None:
            name = whole[1]
            return lambda given: given.values.get(name)
        if not template.names:
            constant = json.dumps(template.filled(Given({}, {}), in_path), ensure_ascii=False)
            return lambda given: constant

        def mixed(given: Given) -> str | None:
            if not template.names <= given.texts.keys():
                return None
            return json.dumps(template.filled(given, lambda _, value: value), ensure_ascii=False)

        return mixed


def _object(members: Sequence[tuple[str, Callable[[Given], str | None]]], given: Given) -> str:
    made = [(name, inner(given)) for name, inner in members]
    return "{" + ",".join(f"{name}:{text}" for name, text in made if text is not None) + "}"


def _array(items: Sequence[Callable[[Given], str | None]], given: Given) -> str:
    made = [inner(given) for inner in items]
    return "[" + ",".join(text for text in made if text is not None) + "]"


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """(name, "") or ("", literal)."""
    at = 0
    for matched in _PIECE.finditer(text):
        if matched.start() > at:
            yield "", text[at : matched.start()]
        at = matched.end()
        if matched[1]:
            yield matched[1], ""
        elif len(matched[0]) == 2:
            yield "", matched[0][0]
        else:
            raise ValueError("a brace has no other: write {field}, or {{ and }} for braces")
    if at < len(text):
        yield "", text[at:]
