"""Examples beside a mapping: a source row, and what is to become of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from transforms.words import Strict

Row = dict[str, str]
Outcome = Literal["filtered", "deleted"]
Expected = Outcome | Row
"""The entity's row, as far as it is named; that nothing is written; or that it is deleted."""

OUTCOMES = ("filtered", "deleted")
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_EXPECTED = {"anyOf": [{"enum": list(OUTCOMES)}, _TEXTS]}
_SHAPE = (
    "write the entity's fields, filtered or deleted; with rows, that for each of them by its name"
)


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _expect(value: object) -> object:
    if value in OUTCOMES or _texts(value):
        return value
    if isinstance(value, dict) and all(one in OUTCOMES or _texts(one) for one in value.values()):
        return value
    raise ValueError(_SHAPE)


class Example(Strict):
    """A change of a source row, as its mapping is to take it.

    `given` is the row after the change and `before` the row before it: alone, `given` is inserted
    and `before` deleted; both are an update. A column that is not named is NULL, in an update of
    `given` as it was before. `expect` is what becomes of it: the entity's fields, as far as they
    are named, ``filtered`` or ``deleted``; with `rows` by the name of each. `fails`: by field (or
    ``where``) the reason why the mapping cannot take it. `lookups`: by lookup the rows that its
    table has.
    """

    name: str | None = None
    before: Annotated[Row, Field(min_length=1)] | None = None
    given: Annotated[Row, Field(min_length=1)] | None = None
    lookups: dict[str, tuple[Row, ...]] = Field(default_factory=dict)
    expect: Annotated[
        Any,
        PlainValidator(_expect),
        WithJsonSchema(
            {
                "anyOf": [
                    {"enum": list(OUTCOMES)},
                    {"type": "object", "additionalProperties": {"type": "string"}},
                    {"type": "object", "additionalProperties": _EXPECTED},
                ]
            }
        ),
    ] = None
    fails: Annotated[Row, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.given is None and self.before is None:
            raise ValueError("an example needs given, before, or both")
        if (self.expect is None) == (self.fails is None):
            raise ValueError("an example has either expect or fails")
        return self

    @property
    def after(self) -> Row | None:
        """The row after the change; what an update does not name is as it was."""
        return None if self.given is None else {**(self.before or {}), **self.given}
