"""Entities from an Open Data Contract, and what of it they cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from transforms.odcs import CHECK_HEAD, CHECK_TAIL, CONSUMERS, MASK
from transforms.types import FIELD_TYPES, field_type

Node = Any
"""Of a document whose scalars are all texts."""

_SILENT = {"apiVersion", "kind", "id", "status", "name"}
_BY_POSTGRES = {field.postgres: name for name, field in FIELD_TYPES.items()}
_PHYSICAL = {
    "int": "integer", "int4": "integer", "integer": "integer", "int8": "integer",
    "long": "integer", "int2": "smallint", "double": "double", "float": "double",
    "float8": "double", "bool": "boolean", "varchar": "text", "char": "text", "string": "text",
    "nvarchar": "text", "datetime": "timestamp", "timestamptz": "timestamptz", "jsonb": "json",
    "json": "json", "binary": "bytes", "varbinary": "bytes", "blob": "bytes", "uuid": "uuid",
    "timestamp": "timestamp", "time": "time", "date": "date", "decimal": "decimal",
    "numeric": "decimal", "number": "decimal", "clob": "text",
}  # fmt: skip
_LOGICAL = {
    "string": "text", "date": "date", "timestamp": "timestamp", "time": "time",
    "number": "decimal", "integer": "integer", "object": "json", "array": "json",
    "boolean": "boolean",
}  # fmt: skip
_SIZED = re.compile(r"(\w[\w ]*?)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
_WHOLE = re.compile(r"\^\(\?:(.*)\)\$", re.DOTALL)
_ANCHORED = re.compile(r"\^([^|]*[^|\\])\$", re.DOTALL)
_CLASSES = ("public", "internal", "personal", "secret")


class Losses:
    """Names what of the contract was left out."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def rest(self, node: Node, place: str, known: set[str]) -> None:
        """Every key that nobody looked at."""
        self.found += [f"{place}{key} is left out" for key in node if key not in known]

    def say(self, what: str) -> None:
        self.found.append(what)


def imported(document: Node) -> tuple[list[dict[str, Node]], list[str]]:
    """Documents of entities, one for each object of the contract, and its losses.

    Errors: ValueError where it is no contract that we read.
    """
    if not isinstance(document, dict) or document.get("kind") != "DataContract":
        raise ValueError("it is no data contract: kind is not DataContract")
    if not str(document.get("apiVersion", "")).startswith("v3."):
        raise ValueError(f"apiVersion {document.get('apiVersion')} is not read, only v3")
    losses = Losses()
    team = document.get("team")
    steward = team.get("name") if isinstance(team, dict) else None
    consumers = _custom(document, CONSUMERS, "", losses)
    known = _SILENT | {"version", "schema", "customProperties", "slaProperties"}
    losses.rest(document, "", known if steward is None else known | {"team"})
    if steward is not None:
        losses.rest(team, "team.", {"name"})
    objects = document.get("schema") or []
    if not objects:
        raise ValueError("its schema holds no objects")
    promised = _latencies(document.get("slaProperties") or [], objects, losses)
    found = []
    for at, table in enumerate(objects):
        entity: dict[str, Node] = {"entity": table.get("name")}
        if "version" in document:
            entity["version"] = document["version"]
        if steward is not None:
            entity["steward"] = steward
        entity |= _entity(table, f"schema[{at}].", losses)
        if table.get("name") in promised:
            entity["freshness"] = promised[table.get("name")]
        if consumers:
            entity["consumers"] = consumers
        found.append(entity)
    return found, losses.found


_SPANS = {
    "s": "s", "sec": "s", "second": "s", "seconds": "s", "min": "min", "minute": "min",
    "minutes": "min", "h": "h", "hr": "h", "hour": "h", "hours": "h", "d": "d", "day": "d",
    "days": "d",
}  # fmt: skip


def _latencies(promises: Node, objects: Node, losses: Losses) -> dict[str, Node]:
    """By table its freshness: of latencies those that name a column of one."""
    columns = {
        f"{table.get('name')}.{one.get('name')}"
        for table in objects
        for one in table.get("properties") or []
    }
    found: dict[str, Node] = {}
    for at, one in enumerate(promises):
        table, _, field = str(one.get("element", "")).partition(".")
        unit = _SPANS.get(str(one.get("unit", "")))
        value = str(one.get("value", ""))
        known = one.get("property") in ("latency", "ly") and f"{table}.{field}" in columns
        if known and unit and value.isdigit() and table not in found:
            found[table] = {"field": field, "within": value + unit}
            losses.rest(one, f"slaProperties[{at}].", {"property", "value", "unit", "element"})
        else:
            losses.say(f"slaProperties[{at}] is left out")
    return found


def _custom(node: Node, wanted: str, place: str, losses: Losses) -> Node:
    found = None
    for each in node.get("customProperties") or []:
        if each.get("property") == wanted:
            found = each.get("value")
        else:
            losses.say(f"{place}customProperties: {each.get('property')} is left out")
    return found


def _entity(table: Node, place: str, losses: Losses) -> dict[str, Node]:
    properties = table.get("properties") or []
    known = {"name", "logicalType", "physicalType", "properties", "quality"}
    losses.rest(table, place, known)
    keys = [one for one in properties if one.get("primaryKey") == "true"]
    keys.sort(key=lambda one: int(one.get("primaryKeyPosition", 0)))
    if not keys:
        raise ValueError(f"{place}properties has no primaryKey, and an entity needs a key")
    entity: dict[str, Node] = {
        "key": [one["name"] for one in keys],
        "fields": {
            one["name"]: _field(one, f"{place}properties[{at}].", losses)
            for at, one in enumerate(properties)
        },
    }
    unique, checks = [], {}
    for at, rule in enumerate(table.get("quality") or []):
        arguments = rule.get("arguments") or {}
        if _is_none(rule) and rule.get("metric") == "duplicateValues" and "properties" in arguments:
            unique.append(arguments["properties"])
        elif (check := _check(rule)) is not None:
            checks[rule.get("name", f"check_{at + 1}")] = check
        else:
            losses.say(f"{place}quality[{at}] is left out")
    if unique:
        entity["unique"] = unique
    if checks:
        entity["checks"] = checks
    return entity


def _field(one: Node, place: str, losses: Losses) -> dict[str, Node]:
    field: dict[str, Node] = {"type": _type(one, place, losses)}
    for key in ("required", "unique"):
        if one.get(key) == "true":
            field[key] = "true"
    classification = one.get("classification")
    if classification in _CLASSES:
        field["class"] = classification
    elif classification is not None:
        losses.say(f"{place}classification {classification} is left out: classes are"
                   f" {', '.join(_CLASSES)}")  # fmt: skip
    field |= dict(_options(one.get("logicalTypeOptions") or {}, field, place, losses))
    for at, rule in enumerate(one.get("quality") or []):
        demand = _quality(rule)
        if demand is None or demand[0] in field:
            losses.say(f"{place}quality[{at}] is left out")
        else:
            field[demand[0]] = demand[1]
    mask = _custom(one, MASK, place, losses)
    if mask is not None:
        field["mask"] = mask
    losses.rest(one, place, _PROPERTY)
    return field


_PROPERTY = {
    "name", "logicalType", "physicalType", "required", "unique", "classification", "primaryKey",
    "primaryKeyPosition", "logicalTypeOptions", "quality", "customProperties",
}  # fmt: skip


def _type(one: Node, place: str, losses: Losses) -> str:
    written = str(one.get("physicalType") or "")
    sized = _SIZED.fullmatch(written)
    base = (sized[1] if sized else written).lower()
    if (exact := _BY_POSTGRES.get(written.lower())) is not None:
        return exact
    if sized and _PHYSICAL.get(base) == "decimal":
        try:
            return field_type(f"decimal({sized[2]},{sized[3] or 0})").name
        except ValueError:
            losses.say(f"{place}physicalType {written} became decimal")
            return "decimal"
    logical = _LOGICAL.get(str(one.get("logicalType")))
    options = one.get("logicalTypeOptions") or {}
    if logical == "timestamp" and options.get("timezone") == "true":
        logical = "timestamptz"
    found = _PHYSICAL.get(base) or logical
    if found is None:
        losses.say(f"{place}logicalType {one.get('logicalType')} became text")
        return "text"
    if sized or (written and base not in _PHYSICAL):
        losses.say(f"{place}physicalType {written} became {found}")
    return found


def _options(
    options: Node, field: dict[str, Node], place: str, losses: Losses
) -> Iterator[tuple[str, Node]]:
    place = f"{place}logicalTypeOptions."
    text = field["type"] == "text"
    ordered = field["type"] not in ("text", "decimal", "time", "json", "bytes", "uuid", "boolean")
    known = {"timezone"} if field["type"] in ("timestamp", "timestamptz") else set()
    if text:
        known |= {"minLength", "maxLength", "pattern"}
        yield from _pair("length", options, "minLength", "maxLength")
        if "pattern" in options:
            yield "pattern", _whole(options["pattern"])
    if ordered:
        known |= {"minimum", "maximum"}
        yield from _pair("range", options, "minimum", "maximum")
    losses.rest(options, place, known)


def _pair(key: str, options: Node, low: str, high: str) -> Iterator[tuple[str, Node]]:
    found = {name: options[at] for name, at in (("min", low), ("max", high)) if at in options}
    if found:
        yield key, found


def _whole(pattern: str) -> str:
    """A pattern of theirs may match anywhere in the value; one of ours matches the whole of it."""
    match = _WHOLE.fullmatch(pattern)
    if match and _balanced(match[1]):
        return match[1]
    match = _ANCHORED.fullmatch(pattern)
    return match[1] if match else f"(?s:.*)(?:{pattern})(?s:.*)"


def _balanced(pattern: str) -> bool:
    """Whether no group ends that has not begun in it."""
    depth, at, inside = 0, 0, False
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
        elif inside:
            inside = char != "]"
        elif char == "[":
            inside = True
            at += pattern[at + 1 : at + 2] == "^"
            at += pattern[at + 1 : at + 2] == "]"
        else:
            depth += (char == "(") - (char == ")")
            if depth < 0:
                return False
        at += 1
    return depth == 0


def _is_none(rule: Node) -> bool:
    """Whether it asks that nothing be counted."""
    return bool(rule.get("mustBe") == "0" and rule.get("unit", "rows") == "rows")


def _quality(rule: Node) -> tuple[str, Node] | None:
    """The demand of a field that a rule makes."""
    arguments = rule.get("arguments") or {}
    if (check := _check(rule)) is not None:
        return "check", check
    if not _is_none(rule):
        return None
    match rule.get("metric"):
        case "invalidValues" if set(arguments) == {"validValues"}:
            return "one_of", arguments["validValues"]
        case "invalidValues" if set(arguments) == {"pattern"}:
            return "pattern", _whole(arguments["pattern"])
        case "nullValues":
            return "required", "true"
        case "duplicateValues" if not arguments:
            return "unique", "true"
    return None


def _check(rule: Node) -> str | None:
    query = str(rule.get("query", "")).strip()
    ours = query.startswith(CHECK_HEAD) and query.endswith(CHECK_TAIL)
    if rule.get("type") != "sql" or not ours or not _is_none(rule):
        return None
    return query[len(CHECK_HEAD) : -len(CHECK_TAIL)]
