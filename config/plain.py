"""pydantic's findings in plain words, at the file and line they are about."""

from __future__ import annotations

import typing
from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cdc.sizes import format_bytes
from config.places import Loc, Places
from config.problems import Problems, suggest
from config.project import SOURCES, TARGETS

FINDINGS_MAX = 200
"""Of one file; nobody reads more, and to look for what each may have meant takes its time."""

_CHOSEN_BY_TYPE: dict[str | int, Collection[str | int]] = {"sources": SOURCES, "targets": TARGETS}
"""Sections of whose entries pydantic puts the `type` into an error's path."""

_TAGS = ("union_tag_not_found", "union_tag_invalid")

_PLAIN: dict[str, tuple[str, str | None]] = {
    "model_type": ("{place} is not made of `key: value` entries", None),
    "dict_type": ("{place} is not made of `key: value` entries", None),
    "model_attributes_type": ("{place} is not made of `key: value` entries", None),
    "tuple_type": ("{place} is not a list", "write [a, b], or one `- item` a line"),
    "list_type": ("{place} is not a list", "write [a, b], or one `- item` a line"),
    "string_type": ("{place} is not text", None),
    "string_too_short": ("{place} is empty", None),
    "too_short": ("{place} holds nothing", None),
    "float_parsing": ("{place} is not a number", None),
    "float_type": ("{place} is not a number", None),
    "literal_error": ("{place} is not one of the values it may have", "write {expected}"),
    "missing": ("{place} is missing", None),
    "union_tag_not_found": ("{place} is missing", None),
    "union_tag_invalid": ("{place} is not one of the values it may have", "write {expected_tags}"),
    "greater_than_equal": ("{place} is too small", "at least {ge}"),
    "less_than_equal": ("{place} is too large", "at most {le}"),
}


def report(
    error: ValidationError,
    places: Places,
    model: type[BaseModel],
    problems: Problems,
    written: dict[Loc, str],
    untold: Collection[Loc] = (),
) -> None:
    """One problem for each of pydantic's findings.

    `written`: by path the values that hold references, as they are written: what they resolve to
    is in no message. `untold`: settings that were left out because their reference has no value.
    """
    findings = error.errors(include_url=False, include_input=False)[:FINDINGS_MAX]
    misspelt = _misspelt(findings, model)
    for found in findings:
        if found["type"] == "missing" and tuple(found["loc"]) in misspelt:
            continue
        loc = written_at(found)
        references = [text for at, text in written.items() if _related(at, loc)]
        if found["type"] == "missing" and loc in untold:
            what = f"{_place(loc)} cannot be checked while {', '.join(references)} has no value"
            fix: str | None = "set the variable, or give it a default: ${VAR:-default}"
        elif found["type"] == "value_error" and references:
            what, fix = f"{_place(loc)}: what {', '.join(references)} gives is not accepted", None
        else:
            what, fix = _plain(found, model)
        problems.add(what, places.where(loc), fix)


def _misspelt(findings: list[ErrorDetails], model: type[BaseModel]) -> set[Loc]:
    """Keys that stand there under a name so close that one error is enough."""
    unknown = [tuple(found["loc"]) for found in findings if found["type"] == "extra_forbidden"]
    return {
        (*loc[:-1], name)
        for loc in unknown
        for name in get_close_matches(str(loc[-1]), _known_keys(model, loc[:-1]), 1)
    }


def written_at(found: ErrorDetails) -> Loc:
    """The path in the file: pydantic's, without the type by which it chose a model."""
    loc: Loc = tuple(found["loc"])
    if len(loc) > 2 and loc[0] in _CHOSEN_BY_TYPE and loc[2] in _CHOSEN_BY_TYPE[loc[0]]:
        loc = (*loc[:2], *loc[3:])
    if len(loc) > 4 and loc[0] == "targets" and loc[2] == "auth":
        loc = (*loc[:3], *loc[4:])
    return (*loc, "type") if found["type"] in _TAGS else loc


def _plain(found: ErrorDetails, model: type[BaseModel]) -> tuple[str, str | None]:
    loc = written_at(found)
    place = _place(loc)
    kind = found["type"]
    if kind == "extra_forbidden":
        known = _known_keys(model, tuple(found["loc"])[:-1])
        return f"{place}: this key is not known", suggest(str(loc[-1]), known, "known are")
    if kind in _PLAIN:
        what, fix = _PLAIN[kind]
        values = {"place": place or "the file"}
        values |= {name: _readable(value) for name, value in found.get("ctx", {}).items()}
        return what.format(**values), None if fix is None else fix.format(**values)
    text = found["msg"].removeprefix("Value error, ")
    return f"{place}: {text}" if place else text, None


def _readable(value: object) -> str:
    """A bound of a size in its unit."""
    return format_bytes(value) if isinstance(value, int) and value >= 1 << 20 else str(value)


def _place(loc: Loc) -> str:
    return ".".join(str(part) for part in loc if part != "[key]")


def _related(one: Loc, two: Loc) -> bool:
    shorter = min(len(one), len(two))
    return one[:shorter] == two[:shorter]


def _known_keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys allowed at `loc`, following the models' annotations."""
    current: Any = model
    for part in loc:
        if isinstance(current, _Inside):
            current = _model_in(current.annotation)
        elif isinstance(current, _Either):
            current = current.models.get(part)
        elif _is_model(current):
            fields = current.model_fields.items()
            found = [field for name, field in fields if part in (name, field.alias)]
            current = _model_in(found[0].annotation) if found else None
        else:
            return []
    if not _is_model(current):
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


class _Inside:
    """What stands one path step deeper, below any key or index."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation


class _Either:
    """One of several models, by their `type`."""

    def __init__(self, models: list[type[BaseModel]]) -> None:
        self.models = {
            typing.get_args(model.model_fields["type"].annotation)[0]: model for model in models
        }


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _model_in(annotation: Any) -> Any:
    """The model inside ``X | None``, ``tuple[X, ...]`` or ``dict[K, X]``; one level a call."""
    if _is_model(annotation):
        return annotation
    arguments = [argument for argument in typing.get_args(annotation) if argument is not Ellipsis]
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _model_in(arguments[0])
    if origin is dict:
        return _Inside(arguments[1])
    if origin is tuple:
        return _Inside(arguments[0])
    models = [argument for argument in arguments if _is_model(argument)]
    if len(models) > 1:
        return _Either(models)
    return next((found for inner in arguments if (found := _model_in(inner)) is not None), None)
