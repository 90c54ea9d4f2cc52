"""Everything wrong with a project, gathered, and validation errors in plain words."""

from __future__ import annotations

import difflib
import typing
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.yaml import Document, Loc
from tailrace.errors import ConfigError

SHOWN_MAX = 20


class Problems:
    """Gathers errors, so that an operator sees all of them at once."""

    def __init__(self) -> None:
        self._found: list[ConfigError] = []

    def add(self, what: str, where: dict[str, object], fix: str | None = None) -> None:
        self._found.append(ConfigError(what, where=where, fix=fix))

    def append(self, error: ConfigError) -> None:
        self._found.append(error)

    def raise_if_any(self) -> None:
        """Errors: ConfigError: the only one, or one whose text lists all."""
        if not self._found:
            return
        if len(self._found) == 1:
            raise self._found[0]
        raise ConfigErrors(self._found)


class ConfigErrors(ConfigError):
    """Several at once. `errors` holds each."""

    def __init__(self, errors: list[ConfigError]) -> None:
        self.errors = errors
        super().__init__(f"{len(errors)} errors")

    def __str__(self) -> str:
        lines = [str(error) for error in self.errors[:SHOWN_MAX]]
        if len(self.errors) > SHOWN_MAX:
            lines.append(f"… and {len(self.errors) - SHOWN_MAX} more")
        return "\n".join(lines)


def from_validation(
    error: ValidationError, document: Document, model: type[BaseModel], problems: Problems
) -> None:
    """A pydantic error, one problem for each of its findings."""
    for found in error.errors(include_url=False, include_input=False):
        what, fix = _plain(found, model)
        problems.add(what, document.where(tuple(found["loc"])), fix)


def _plain(found: ErrorDetails, model: type[BaseModel]) -> tuple[str, str | None]:
    loc: Loc = tuple(found["loc"])
    place = ".".join(str(part) for part in loc if part != "[key]")
    kind = found["type"]
    if kind == "extra_forbidden":
        known = _known_keys(model, loc[:-1])
        close = difflib.get_close_matches(str(loc[-1]), known, 1)
        fix = f"did you mean {close[0]!r}?" if close else None
        if fix is None and known:
            fix = f"known are: {', '.join(known)}"
        return f"{place}: this key is not known", fix
    if kind == "missing":
        return f"{place} is missing", None
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return f"{place or 'the file'}: expected keys with values", None
    if kind in ("tuple_type", "list_type"):
        return f"{place}: expected a list", "write [a, b], or one `- item` a line"
    if kind == "string_type":
        return f"{place}: expected text", None
    text = found["msg"].removeprefix("Value error, ")
    return f"{place}: {text[0].lower()}{text[1:]}" if place else text, None


def _known_keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys allowed at `loc`, following the models' annotations."""
    current: Any = model
    for part in loc:
        current = _step(current, part)
        if current is None:
            return []
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [field.alias or name for name, field in current.model_fields.items()]
    return []


class _Inside:
    """What stands one path step deeper, below any key or index."""

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation


def _step(current: Any, part: str | int) -> Any:
    if isinstance(current, _Inside):
        return _model_in(current.annotation)
    if isinstance(current, type) and issubclass(current, BaseModel):
        for name, field in current.model_fields.items():
            if part in (name, field.alias):
                return _model_in(field.annotation)
    return None


def _model_in(annotation: Any) -> Any:
    """The model inside ``X | None``, ``tuple[X, ...]`` or ``dict[K, X]``; one level a call."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = [argument for argument in typing.get_args(annotation) if argument is not Ellipsis]
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _model_in(arguments[0])
    if origin in (dict,):
        return _Inside(arguments[1])
    if origin in (tuple, list):
        return _Inside(arguments[0])
    for argument in arguments:
        found = _model_in(argument)
        if found is not None:
            return found
    return None
