"""Merge patches (RFC 7396) of JSON documents.

A member that is null in a patch removes it, so a patch cannot make a member null; and what it says
of a member it merges into what is there, so without the document before it cannot remove any.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


class Inexpressible(Exception):
    """No merge patch says it."""


def merge_patch(before: str | None, after: str, *, known: bool) -> str:
    """What makes `after` of `before` (JSON texts). Errors: Inexpressible."""
    try:
        document = _parsed(after)
        if not isinstance(document, dict):
            return after
        if not known:
            raise Inexpressible(
                "is an object of which the log does not say what it was, so a merge patch could"
                " not remove members"
            )
        return _text(_patch(_parsed(before) if before is not None else None, document))
    except (ValueError, RecursionError):
        raise Inexpressible(
            "is nested too deeply, or has a number too long, to be compared with what it was"
        ) from None


def _patch(before: Any, after: Any) -> Any:
    if not isinstance(after, dict):
        return after
    old = before if isinstance(before, dict) else {}
    if any(value is None for value in after.values()):
        raise Inexpressible("has a member that is null, which a merge patch would remove")
    patch = {name: None for name in old if name not in after}
    for name, value in after.items():
        if name not in old or not _same(old[name], value):
            patch[name] = _patch(old.get(name), value)
    return patch


def _same(one: Any, other: Any) -> bool:
    return _text(one, sort=True) == _text(other, sort=True)


@dataclass(frozen=True, slots=True)
class _Number:
    """One that is no integer, as it was written."""

    text: str


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=_Number)


def _text(value: Any, *, sort: bool = False) -> str:
    if isinstance(value, _Number):
        return value.text
    if isinstance(value, dict):
        members = sorted(value.items()) if sort else value.items()
        inside = ",".join(f"{_text(name)}:{_text(one, sort=sort)}" for name, one in members)
        return "{" + inside + "}"
    if isinstance(value, list):
        return "[" + ",".join(_text(one, sort=sort) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)
