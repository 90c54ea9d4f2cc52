"""The editors' schemas accept what Tailrace accepts, however an editor types YAML's scalars."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.jsonschema import MODELS, schema_comment, schema_of, write_schemas
from tests.config.projects import GOOD

Schema = dict[str, Any]

_TYPES: dict[str, Any] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}


def fits(value: Any, schema: Schema, root: Schema) -> bool:
    """The part of JSON Schema that ours use; an unknown word is an error."""
    return all(_KEYWORDS[word](value, wanted, schema, root) for word, wanted in schema.items())


def _type(value: Any, wanted: str | list[str], schema: Schema, root: Schema) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    return any(
        isinstance(value, _TYPES[name]) and (name != "number" or not isinstance(value, bool))
        for name in names
    )


def _properties(value: Any, wanted: Schema, schema: Schema, root: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(fits(value[name], inner, root) for name, inner in wanted.items() if name in value)


def _patterns(value: Any, wanted: Schema, schema: Schema, root: Schema) -> bool:
    return all(
        fits(inner, wanted[pattern], root)
        for name, inner in value.items()
        for pattern in wanted
        if re.search(pattern, name)
    )


def _additional(value: Any, wanted: Any, schema: Schema, root: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    known = set(schema.get("properties", {}))
    patterns = schema.get("patternProperties", {})
    others = [
        name
        for name in value
        if name not in known and not any(re.search(pattern, str(name)) for pattern in patterns)
    ]
    if wanted is False:
        return not others
    return all(fits(value[name], wanted, root) for name in others)


_KEYWORDS: dict[str, Any] = {
    "$schema": lambda *_: True,
    "$defs": lambda *_: True,
    "title": lambda *_: True,
    "description": lambda *_: True,
    "$ref": lambda v, ref, s, root: fits(v, root["$defs"][ref.removeprefix("#/$defs/")], root),
    "type": _type,
    "enum": lambda v, allowed, s, root: any(v == x and type(v) is type(x) for x in allowed),
    "pattern": lambda v, p, s, root: not isinstance(v, str) or bool(re.search(p, v)),
    "minLength": lambda v, n, s, root: not isinstance(v, str) or len(v) >= n,
    "minItems": lambda v, n, s, root: not isinstance(v, list) or len(v) >= n,
    "minProperties": lambda v, n, s, root: not isinstance(v, dict) or len(v) >= n,
    "items": lambda v, inner, s, root: (
        not isinstance(v, list) or all(fits(x, inner, root) for x in v)
    ),
    "required": lambda v, names, s, root: not isinstance(v, dict) or all(n in v for n in names),
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "anyOf": lambda v, branches, s, root: any(fits(v, b, root) for b in branches),
    "oneOf": lambda v, branches, s, root: sum(fits(v, b, root) for b in branches) == 1,
}


HUB = "url: postgresql://tailrace:pw@hub.example/hub\n"


def accepts(kind: str, text: str) -> bool:
    """Typed as YAML 1.1 does it, which is worse than what editors do."""
    schema = schema_of(kind)
    return fits(json.loads(json.dumps(yaml.safe_load(text), default=str)), schema, schema)


EXAMPLES = {
    "tailrace": GOOD["tailrace.yml"],
    "entity": GOOD["entities/customer.yml"],
    "mapping": GOOD["mappings/erp_customer.yml"],
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_good_file_is_accepted(kind: str) -> None:
    assert accepts(kind, EXAMPLES[kind])


def test_the_template_is_accepted() -> None:
    path = Path("tailrace/service/template/tailrace.yml")
    assert accepts("tailrace", (Path(__file__).parents[2] / path).read_text())


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("tailrace", "version: 1", 'version: "1"'),
        (
            "tailrace",
            "tables: [sales.*]\ntargets",
            "tables: [sales.*]\n    heartbeat_s: ${H}\ntargets",
        ),
        (
            "tailrace",
            "tables: [sales.*]\ntargets",
            "tables: [sales.*]\n    retain_max: 20GB\ntargets",
        ),
        (
            "tailrace",
            "tables: [sales.*]\ntargets",
            "tables: [sales.*]\n    heartbeat_s: 5\ntargets",
        ),
        ("entity", "status: {type: text}", 'status: {type: "decimal(12, 2)", required: false}'),
        ("entity", "status: {type: text}", "status: {type: text, class: secret, mask: last4}"),
        ("tailrace", HUB, f"{HUB}    protect: {{personal: mask, secret: {{hash: k}}}}\n"),
        ("mapping", "otherwise: null", "otherwise: {value: 1}"),
        ("mapping", "otherwise: null", "otherwise: exception"),
        ("mapping", 'name: "trim(name1)"', "name: {value: null}"),
        ("mapping", 'name: "trim(name1)"', "name: {value: no}"),
        ("mapping", 'name: "trim(name1)"', "name: {expr: a, default: 1}"),
        ("mapping", 'name: "trim(name1)"', "name: 0"),
        ("mapping", "on_delete: delete", "on_delete: {soft: gone}"),
    ],
)
def test_scalars_of_any_type_are_accepted(kind: str, old: str, new: str) -> None:
    assert old in EXAMPLES[kind]
    assert accepts(kind, EXAMPLES[kind].replace(old, new))


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("tailrace", "version: 1", "version: 2"),
        ("tailrace", "  erp:\n", "  Erp:\n"),
        ("tailrace", "source: erp", "sauce: erp"),
        (
            "tailrace",
            "type: postgres\n    url: postgresql://tailrace:pw@erp",
            "type: oracle\n    url: x",
        ),
        ("tailrace", "tables: [sales.*]\ntargets", "tables: sales.*\ntargets"),
        ("entity", "status: {type: text}", "status: {type: varchar}"),
        ("entity", "status: {type: text}", "status: text"),
        ("entity", "required: true}\n  name", "required: perhaps}\n  name"),
        ("mapping", "entity: customer\n", ""),
        ("mapping", "otherwise: null", "otherwise: ignore"),
        ("mapping", 'name: "trim(name1)"', "name: {value: x, expr: y}"),
        ("mapping", "on_delete: delete", "on_delete: {hard: gone}"),
        ("mapping", "dialect: postgres", "dialect: db2"),
        ("entity", "status: {type: text}", "status: {type: text, class: shared}"),
        ("tailrace", HUB, f"{HUB}    protect: {{personal: encrypt}}\n"),
        ("tailrace", HUB, f"{HUB}    protect: {{personal: {{mask: k}}}}\n"),
        ("tailrace", HUB, f"{HUB}    protect: {{private: mask}}\n"),
    ],
)
def test_what_tailrace_refuses_is_refused(kind: str, old: str, new: str) -> None:
    assert old in EXAMPLES[kind]
    assert not accepts(kind, EXAMPLES[kind].replace(old, new))


def test_schemas_are_written_where_the_comment_says(tmp_path: Path) -> None:
    for path in write_schemas(tmp_path):
        assert json.loads(path.read_text())["title"] == path.stem
    (tmp_path / "entities").mkdir()
    for kind in MODELS:
        address = schema_comment(kind, depth=1).strip().partition("$schema=")[2]
        assert (tmp_path / "entities" / address).is_file()
