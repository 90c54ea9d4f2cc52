"""What an operator declares of an entity: its fields and what identifies it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Self

from pydantic import Field, PlainValidator, WithJsonSchema, model_validator

from transforms.classes import FieldClass, MaskStyle
from transforms.constraints import Constraints
from transforms.freshness import Freshness
from transforms.identity import Identity
from transforms.ownership import SystemOfRecord
from transforms.rows import TargetColumn
from transforms.types import FIELD_TYPES, FieldType, field_type
from transforms.versions import Consumer, VersionText
from transforms.words import Identifier, PlainName, Strict


def _from_text(parse: Callable[[str], FieldType]) -> PlainValidator:
    def validate(value: object) -> FieldType:
        return value if isinstance(value, FieldType) else parse(str(value))

    return PlainValidator(validate)


class EntityField(Constraints):
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
    field_class: FieldClass = Field(default="internal", alias="class")
    mask: MaskStyle = "first"

    @model_validator(mode="after")
    def _style_is_of_texts(self) -> Self:
        if self.mask != "first" and self.type.name != "text":
            raise ValueError(f"mask: {self.mask} is for fields of type text")
        return self


class Entity(Strict):
    """A business object: its fields, and which of them identify it.

    `unique`: lists of fields whose values together no two entities share. `checks`: conditions over
    several fields, by name. `version` of the contract; `consumers`: who has said to read it.
    `freshness`: how old the newest value of a field may be.
    """

    entity: PlainName
    steward: str | None = None
    key: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    fields: Annotated[dict[Identifier, EntityField], Field(min_length=1)]
    version: VersionText | None = None
    unique: tuple[tuple[Identifier, ...], ...] = ()
    checks: dict[PlainName, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    system_of_record: SystemOfRecord | None = None
    identity: Identity | None = None
    freshness: Freshness | None = None
    consumers: tuple[Consumer, ...] = ()

    @model_validator(mode="after")
    def _key_names_fields(self) -> Self:
        for name in self.key:
            if name not in self.fields:
                raise ValueError(f"the key names {name!r}, which is not a field")
        if len(set(self.key)) != len(self.key):
            raise ValueError("the key names a field twice")
        for consumer in self.consumers:
            for name in consumer.fields or ():
                if name not in self.fields:
                    raise ValueError(f"consumer {consumer.name} names {name!r}, which is no field")
        if len({consumer.name for consumer in self.consumers}) != len(self.consumers):
            raise ValueError("two of the consumers have one name")
        for together in self.unique:
            if not together:
                raise ValueError("unique holds an empty list")
            for name in together:
                if name not in self.fields:
                    raise ValueError(f"unique names {name!r}, which is not a field")
            if len(set(together)) != len(together):
                raise ValueError("unique names a field twice in one list")
        return self

    @property
    def demanding(self) -> bool:
        """Whether its contract says more than types."""
        asks = self.checks or self.unique or self.freshness
        return bool(asks or any(field.demanding for field in self.fields.values()))

    @property
    def unique_together(self) -> tuple[tuple[str, ...], ...]:
        """The lists of `unique`, and fields that are so alone; not what the key says anyway."""
        alone = tuple((name,) for name, field in self.fields.items() if field.unique)
        found = {frozenset(names): names for names in (*self.unique, *alone)}
        return tuple(names for key, names in found.items() if key != frozenset(self.key))


def entity_columns(entity: Entity, fields: Collection[str]) -> tuple[TargetColumn, ...]:
    """Of the entity's table, as far as `fields` go. Only its key is NOT NULL, since whichever
    source comes first makes the row."""
    return tuple(
        TargetColumn(
            name,
            field.type.postgres,
            nullable=name not in entity.key,
            field_class=field.field_class,
            mask=field.mask,
        )
        for name, field in entity.fields.items()
        if name in fields
    )
