"""JSON Schemas of the three sorts of files, for editors that complete and check YAML.

They are made from the models that also read the files. An editor types YAML's scalars (`1`,
`true`, `null`) before it looks at a schema, and Tailrace reads all of them as text; so wherever a
text is expected the schemas allow any scalar.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from config.project import ProjectFile
from transforms.entity import Entity
from transforms.model import Mapping

Schema = dict[str, Any]

MODELS: dict[str, type[BaseModel]] = {
    "tailrace": ProjectFile,
    "entity": Entity,
    "mapping": Mapping,
}
FOLDER = Path(".tailrace", "schema")
"""Below the project's directory."""

_SCALAR = ["string", "number", "boolean", "null"]
_KEPT = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "description",
        "enum",
        "items",
        "minItems",
        "minLength",
        "minProperties",
        "pattern",
        "patternProperties",
        "properties",
        "required",
        "type",
    }
)
_YAML = {"null": None, "true": True, "false": False}


def schema_of(kind: str) -> Schema:
    """`kind` is one of MODELS."""
    schema = _loosened(MODELS[kind].model_json_schema())
    if "FieldRule" in (definitions := schema.get("$defs", {})):
        rule = definitions["FieldRule"]
        rule["oneOf"] = [{"required": [form]} for form in ("expr", "from", "value", "ref")]
        definitions["FieldRule"] = {"anyOf": [{"type": _SCALAR}, rule]}
    if kind == "mapping":
        schema["oneOf"] = [{"required": ["entity", "key"]}, {"required": ["rows"]}]
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": kind, **schema}


def write_schemas(directory: Path) -> list[Path]:
    """Write them into a project's directory; they may be there already."""
    folder = directory / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in MODELS:
        path = folder / f"{kind}.json"
        path.write_text(json.dumps(schema_of(kind), indent=2) + "\n")
        written.append(path)
    return written


def schema_comment(kind: str, depth: int = 0) -> str:
    """The first line of a file that tells an editor its schema. `depth`: folders below the
    project's directory."""
    folder = "../" * depth + FOLDER.as_posix()
    return f"# yaml-language-server: $schema={folder}/{kind}.json\n"


def _loosened(schema: Schema) -> Schema:
    if "oneOf" in schema:  # models chosen by their `type`, of which only one can fit
        schema = {**schema, "anyOf": schema["oneOf"]}
    found = {key: _inside(key, value) for key, value in schema.items() if key in _KEPT}
    if "anyOf" in found:
        branches = [branch for branch in found["anyOf"] if branch.get("type") != "null"]
        if len(branches) == 1:
            del found["anyOf"]
            found |= branches[0]
        else:
            found["anyOf"] = branches
            found.pop("type", None)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found:
        found["enum"] = _as_yaml_types(found["enum"])
        found.pop("type", None)
    elif found.get("type") == "string" or set(found) == {"pattern"}:
        found["type"] = _SCALAR
    elif found.get("type") in ("number", "integer"):
        found["type"] = ["number", "string"]
    if "patternProperties" in found:
        found["additionalProperties"] = False
    return found


def _inside(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "patternProperties"):
        return {name: _loosened(inner) for name, inner in value.items()}
    if key == "anyOf":
        return [_loosened(inner) for inner in value]
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return _loosened(value)
    return value


def _as_yaml_types(values: list[Any]) -> list[Any]:
    """The texts, and what an editor reads where they stand without quotes."""
    typed = [_YAML.get(value, int(value) if value.isdigit() else value) for value in values]
    return values + [value for value in typed if value not in values]
