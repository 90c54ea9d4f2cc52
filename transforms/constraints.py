"""What a contract may demand of a field's values."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from transforms.words import NULL, Flag, Strict


class Range(Strict):
    """Bounds that the values may reach, as texts of the field's type. One may be left out."""

    min: str | None = None
    max: str | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a range has a min, a max or both")
        return self

    def __str__(self) -> str:
        return _bounds(self.min, self.max)


class Length(Strict):
    """Characters of a text. One bound may be left out."""

    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a length has a min, a max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no text has from {self.min} to {self.max} characters")
        return self

    def __str__(self) -> str:
        return _bounds(self.min, self.max)


def _bounds(low: object, high: object) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _listed(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value == NULL:
            raise ValueError("NULL needs no listing: whether it may be is what `required` says")
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is listed twice")
    return values


class Constraints(Strict):
    """NULL breaks none of them but `required`.

    `one_of` values of the field's type; `pattern` a regular expression (RE2) that the whole value
    matches; `length` in characters; `check` a condition over the entity's fields, in the dialect
    `postgres`; `unique` at the target.
    """

    required: Flag = False
    one_of: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_listed)] | None = None
    range: Range | None = None
    pattern: Annotated[str, Field(min_length=1)] | None = None
    length: Length | None = None
    check: Annotated[str, Field(min_length=1)] | None = None
    unique: Flag = False

    @property
    def demanding(self) -> bool:
        """Whether it demands more than a value."""
        given = (self.one_of, self.range, self.pattern, self.length, self.check)
        return self.unique or any(each is not None for each in given)
