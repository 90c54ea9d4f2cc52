"""What an operator declares of an entity: its fields and what identifies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from transforms.classes import FieldClass, MaskStyle
from transforms.types import FIELD_TYPES, FieldType, field_type
from transforms.words import Flag, Identifier, PlainName, Strict


def _from_text(parse: Callable[[str], FieldType]) -> PlainValidator:
    def validate(value: object) -> FieldType:
        return value if isinstance(value, FieldType) else parse(str(value))

    return PlainValidator(validate)


class EntityField(Strict):
    """`type` is one of the canonical types of `transforms.types`."""

    type: Annotated[
        FieldType,
        _from_text(field_type),
        WithJsonSchema(
            {
                "type": "string",
                "anyOf": [{"enum": sorted(FIELD_TYPES)}, {"pattern": r"^decimal\(\d+,\s*\d+\)$"}],
            }
        ),
    ]
    required: Flag = False
    field_class: FieldClass = Field(default="internal", alias="class")
    mask: MaskStyle = "first"

    @model_validator(mode="after")
    def _style_is_of_texts(self) -> Self:
        if self.mask != "first" and self.type.name != "text":
            raise ValueError(f"mask: {self.mask} is for fields of type text")
        return self


class Entity(Strict):
    """A business object: its fields, and which of them identify it."""

    entity: PlainName
    steward: str | None = None
    key: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    fields: Annotated[dict[Identifier, EntityField], Field(min_length=1)]

    @model_validator(mode="after")
    def _key_names_fields(self) -> Self:
        for name in self.key:
            if name not in self.fields:
                raise ValueError(f"the key names {name!r}, which is not a field")
        if len(set(self.key)) != len(self.key):
            raise ValueError("the key names a field twice")
        return self
