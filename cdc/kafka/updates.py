"""What a message says of a document's columns: all, or those that an update changed. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from cdc.kafka.extended import shown, written

DOCUMENT = "document"
"""The column that is the whole document; others are fields, by their names or dotted paths."""


class Unsaid(Enum):
    """In place of a column's JSON: the update did not touch it, or does not say what it is now."""

    UNTOUCHED = "untouched"
    UNKNOWN = "unknown"


Columns = dict[str, str | Unsaid | None]
"""By name their JSON; None, which is NULL, where the document has no such field."""


def said_columns(said: Mapping[str, Any], names: Sequence[str]) -> Columns | None:
    """`said`: after, updateDescription, op. None where there is no row. Errors: ValueError."""
    if said["after"] is not None:
        document = _document(said["after"])
        return {name: _of_document(document, name) for name in names}
    changed = said["updateDescription"]
    if changed is None or said["op"] != "u":
        return None
    updated = _document(changed["updatedFields"] or "{}")
    removed = frozenset(changed["removedFields"] or ())
    cut = frozenset(one["field"] for one in changed["truncatedArrays"] or ())
    return {name: _after_update(name, updated, removed, cut) for name in names}


def _document(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("a document is none")
    return found


def _of_document(document: Mapping[str, Any], name: str) -> str | None:
    if name == DOCUMENT:
        return shown(document)
    return _json(_at(document, name.split(".")))


def _after_update(
    name: str, updated: Mapping[str, Any], removed: frozenset[str], cut: frozenset[str]
) -> str | Unsaid | None:
    """`cut`: arrays that became shorter."""
    touched = {*updated, *removed, *cut}
    if name == DOCUMENT:
        return Unsaid.UNKNOWN if touched else Unsaid.UNTOUCHED
    path = name.split(".")
    for length in range(1, len(path) + 1):
        at = ".".join(path[:length])
        if at in updated:
            return _json(_at(updated[at], path[length:]))
        if at in removed:
            return None
        if at in cut and length < len(path):
            return Unsaid.UNKNOWN
    within = f"{name}."
    is_part = name in cut or any(one.startswith(within) for one in touched)
    return Unsaid.UNKNOWN if is_part else Unsaid.UNTOUCHED


def _at(value: Any, path: Sequence[str]) -> Any:
    """What stands there; None where nothing does. Of an array a number is a place, as in what
    updates say."""
    for name in path:
        if isinstance(value, list):
            value = dict(zip(map(str, range(len(value))), value, strict=True))
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _json(value: Any) -> str | None:
    return None if value is None else written(value)
