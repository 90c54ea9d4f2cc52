"""An entity as an Open Data Contract."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from transforms.entity import Entity, EntityField
from transforms.freshness import Freshness, in_units
from transforms.odcs import API_VERSION, CHECK_HEAD, CHECK_TAIL, CONSUMERS, MASK
from transforms.types import INTEGERS, MOMENTS, NUMBERS, FieldType, Kind

Value = Any
"""What YAML has: texts, numbers, truth, lists, mappings."""


def exported(entity: Entity, project: str) -> tuple[dict[str, Value], list[str]]:
    """The contract's document, and what it does not say of the entity, in words.

    Errors: ValueError where the entity has no version.
    """
    if entity.version is None:
        raise ValueError("a contract of the standard has a version, and the entity has none")
    losses: list[str] = []
    if entity.system_of_record is not None:
        losses.append("system_of_record")
    if entity.identity is not None:
        losses.append("identity")
    document: dict[str, Value] = {
        "apiVersion": API_VERSION,
        "kind": "DataContract",
        "id": f"{project}.{entity.entity}",
        "name": entity.entity,
        "version": entity.version,
        "status": "active",
    }
    if entity.steward is not None:
        document["team"] = {"name": entity.steward}
    table: dict[str, Value] = {
        "name": entity.entity,
        "logicalType": "object",
        "physicalType": "table",
        "properties": [
            _property(entity, name, field, losses) for name, field in entity.fields.items()
        ],
    }
    quality = [_duplicates(names) for names in entity.unique]
    quality += [_query(written, name) for name, written in entity.checks.items()]
    if quality:
        table["quality"] = quality
    document["schema"] = [table]
    if entity.freshness is not None:
        document["slaProperties"] = [_latency(entity.entity, entity.freshness)]
    if entity.consumers:
        consumers = [one.model_dump(exclude_none=True, mode="json") for one in entity.consumers]
        document["customProperties"] = [{"property": CONSUMERS, "value": consumers}]
    return document, losses


def _latency(entity: str, freshness: Freshness) -> dict[str, Value]:
    value, unit = in_units(freshness.within_s)
    return {
        "property": "latency",
        "value": value,
        "unit": unit,
        "element": f"{entity}.{freshness.field}",
    }


def _property(entity: Entity, name: str, field: EntityField, losses: list[str]) -> dict[str, Value]:
    found: dict[str, Value] = {
        "name": name,
        "logicalType": logical_type(field.type),
        "physicalType": field.type.postgres,
        "required": field.required,
        "classification": field.field_class,
    }
    if name in entity.key:
        found |= {"primaryKey": True, "primaryKeyPosition": entity.key.index(name) + 1}
    if field.unique:
        found["unique"] = True
    options = _options(name, field, losses)
    if options:
        found["logicalTypeOptions"] = options
    quality: list[Value] = []
    if field.one_of is not None:
        values = [_native(field, text) for text in field.one_of]
        _say_what_rounds(name, "one_of", field.one_of, values, losses)
        quality.append(
            {"metric": "invalidValues", "arguments": {"validValues": values}, "mustBe": 0}
        )
    if field.check is not None:
        quality.append(_query(field.check, name))
    if quality:
        found["quality"] = quality
    if field.mask != "first":
        found["customProperties"] = [{"property": MASK, "value": field.mask}]
    return found


def logical_type(field: FieldType) -> str:
    kind = field.type.kind
    if kind in INTEGERS:
        return "integer"
    if kind in NUMBERS:
        return "number"
    if kind in MOMENTS:
        return "date" if kind is Kind.DATE else "timestamp"
    if kind is Kind.BOOL:
        return "boolean"
    return {"time": "time", "json": "object"}.get(field.name, "string")


def _options(name: str, field: EntityField, losses: list[str]) -> dict[str, Value]:
    options: dict[str, Value] = {}
    if field.type.type.kind is Kind.TIMESTAMPTZ:
        options["timezone"] = True
    if field.length is not None:
        options |= {"minLength": field.length.min, "maxLength": field.length.max}
    if field.pattern is not None:  # theirs may match anywhere in the value
        options["pattern"] = f"^(?:{field.pattern})$"
    if field.range is not None:
        bounds = {"minimum": field.range.min, "maximum": field.range.max}
        for key, text in bounds.items():
            if text is not None:
                options[key] = _native(field, text)
                _say_what_rounds(name, "range", (text,), [options[key]], losses)
    return {key: value for key, value in options.items() if value is not None}


def _native(field: EntityField, text: str) -> Value:
    kind = field.type.type.kind
    if kind in NUMBERS:
        number = float(text)
        return int(text) if kind in INTEGERS else int(number) if number.is_integer() else number
    return text == "true" if kind is Kind.BOOL and text in ("true", "false") else text


def _say_what_rounds(
    name: str, demand: str, texts: tuple[str, ...], values: list[Value], losses: list[str]
) -> None:
    """YAML's readers have doubles."""
    for text, value in zip(texts, values, strict=True):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and Decimal(text) != Decimal(repr(value)):
            losses.append(f"field {name}: {text} of its {demand} became {value}")


def _duplicates(names: tuple[str, ...]) -> dict[str, Value]:
    return {"metric": "duplicateValues", "arguments": {"properties": list(names)}, "mustBe": 0}


def _query(written: str, name: str) -> dict[str, Value]:
    query = f"{CHECK_HEAD}{written}{CHECK_TAIL}"
    return {"name": name, "type": "sql", "query": query, "mustBe": 0}
