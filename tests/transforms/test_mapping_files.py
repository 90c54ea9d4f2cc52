"""Models of the files, stubs of them, and previews of what they do."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.transforms.batches import Change, batch, table
from transforms.compile import compile_mapping
from transforms.entity import Entity
from transforms.errors import MappingError
from transforms.model import Mapping, Replicate
from transforms.preview import preview
from transforms.stub import entity_name, entity_stub, mapping_stub

ENTITY = {"entity": "e", "key": ["a"], "fields": {"a": {"type": "text"}}}
MAPPING = {"mapping": "m", "entity": "e", "table": "s.t", "key": {"a": "b"}}


def _field(**demands: Any) -> dict[str, Any]:
    return {"fields": {"a": {"type": "text", **demands}}}


LOOKUP = {"table": "s.t", "on": "zb.nr = b"}
REFUSED: list[tuple[type[Any], dict[str, Any], tuple[Any, ...], str]] = [
    (Entity, {"fields": {"a": {"type": "varchar"}}}, ("fields", "a", "type"), "no field type"),
    (Entity, {"fields": {"a": {"type": "decimal(40,2)"}}}, ("fields", "a", "type"), "p <= 38"),
    (
        Entity,
        {"fields": {"a": {"type": "text", "required": "yes"}}},
        ("fields", "a", "required"),
        "true or",
    ),
    (Entity, {"fields": {"a": {"type": "text", "klass": "x"}}}, ("fields", "a", "klass"), "Extra"),
    (Entity, _field(one_of=[]), ("fields", "a", "one_of"), "at least 1"),
    (Entity, _field(one_of=["x", "y", "x"]), ("fields", "a", "one_of"), "listed twice"),
    (Entity, _field(one_of=["x", "null"]), ("fields", "a", "one_of"), "required"),
    (Entity, _field(range={}), ("fields", "a", "range"), "a min, a max or both"),
    (Entity, _field(length={"min": "3", "max": "2"}), ("fields", "a", "length"), "from 3 to 2"),
    (Entity, _field(length={"min": "-1"}), ("fields", "a", "length", "min"), "greater than"),
    (Entity, _field(length={"min": "1.5"}), ("fields", "a", "length", "min"), "integer"),
    (Entity, _field(pattern=""), ("fields", "a", "pattern"), "at least 1"),
    (Entity, _field(unique="yes"), ("fields", "a", "unique"), "true or"),
    (Entity, {"unique": [["b"]]}, (), "not a field"),
    (Entity, {"unique": [["a", "a"]]}, (), "twice"),
    (Entity, {"unique": [[]]}, (), "empty list"),
    (Entity, {"checks": {"x y": "a = 'b'"}}, ("checks", "x y"), "letters"),
    (Entity, {"system_of_record": {"default": "erp"}}, ("system_of_record", "rows"), "required"),
    (Entity, {"key": ["b"]}, (), "not a field"),
    (Entity, {"key": []}, ("key",), "at least 1"),
    (Entity, {"key": ["a", "a"]}, (), "twice"),
    (Entity, {"fields": {"a" * 64: {"type": "text"}}, "key": ["a" * 64]}, ("key", 0), "63 bytes"),
    (Entity, {"entity": "a b"}, ("entity",), "letters"),
    (Mapping, {"table": "kunden"}, ("table",), "schema.table"),
    (Mapping, {"dialect": "db2"}, ("dialect",), "postgres"),
    (Mapping, {"origin": "keep"}, ("origin",), "Extra"),
    (Mapping, {"lookups": {"ZB": LOOKUP}}, ("lookups",), "small letters"),
    (
        Mapping,
        {"lookups": {"zb": {**LOOKUP, "missing": "stop"}}},
        ("lookups", "zb", "missing"),
        "missing:",
    ),
    (Mapping, {"lookups": {"zb": {"table": "s.t"}}}, ("lookups", "zb", "on"), "required"),
    (Mapping, {"lookups": {"zb": {**LOOKUP, "limit": "5"}}}, ("lookups", "zb", "limit"), "Extra"),
    (Mapping, {"on_delete": "clear"}, ("on_delete",), "on_delete"),
    (Mapping, {"on_delete": {"soft": "x", "y": "z"}}, ("on_delete",), "on_delete"),
    (Mapping, {"on_delete": {"action": "delete"}}, ("on_delete",), "on_delete"),
    (Mapping, {"existing": "drop"}, ("existing",), "refuse"),
    (Mapping, {"into": "x" * 70}, ("into",), "63 bytes"),
    (Mapping, {"key": {}}, ("key",), "at least 1"),
    (Mapping, {"fields": {"x": {"ref": "order"}}}, ("fields", "x"), "belong together"),
    (Mapping, {"fields": {"x": {"ref": "order", "value": "b"}}}, ("fields", "x"), "write"),
    (Mapping, {"fields": {"x": {"source": "b", "values": {}}}}, ("fields", "x", "source"), "Extra"),
    (Mapping, {"fields": {"x": {"from": "b"}}}, ("fields", "x"), "belong together"),
    (Mapping, {"fields": {"x": {"value": "b", "expr": "c"}}}, ("fields", "x"), "write"),
    (Mapping, {"fields": {"x": {"expr": "c", "otherwise": "null"}}}, ("fields", "x"), "otherwise"),
    (Mapping, {"fields": {"x": {"value": "c", "default": "d"}}}, ("fields", "x"), "default"),
    (
        Mapping,
        {"fields": {"x": {"from": "c", "values": {"a": "b"}, "otherwise": "stop"}}},
        ("fields", "x", "otherwise"),
        "otherwise:",
    ),
    (Mapping, {"rows": []}, (), "inside of them"),
    (Replicate, {"tables": ["kunden"]}, ("tables",), "schema.table"),
    (Replicate, {"tables": []}, ("tables",), "at least 1"),
    (Replicate, {"tables": ["a.b"], "into": "{x}.{table}"}, ("into",), "{schema}"),
    (Replicate, {"tables": ["a.b"], "columns": "x"}, ("columns",), "Extra"),
]


@pytest.mark.parametrize(("model", "changes", "loc", "what"), REFUSED)
def test_refused_files(
    model: type[Any], changes: dict[str, Any], loc: tuple[Any, ...], what: str
) -> None:
    whole = {Entity: ENTITY, Mapping: MAPPING, Replicate: {}}[model] | changes
    with pytest.raises(ValidationError) as raised:
        model.model_validate(whole)
    found = [(error["loc"], error["msg"]) for error in raised.value.errors()]
    assert any(place[: len(loc)] == loc and what in text for place, text in found), found


def test_scalars_are_read_as_the_text_they_are() -> None:
    found = Entity.model_validate(
        {"entity": "e", "key": ["no"], "fields": {"no": {"type": "text", "required": "true"}}}
    )
    assert found.fields["no"].required
    rule = Mapping.model_validate(
        MAPPING | {"fields": {"x": {"from": "c", "values": {"no": "010", "null": "", "": "null"}}}}
    ).fields
    assert rule is not None
    assert rule["x"].codes == {"no": "010", None: "", "": None}


def test_rows_stand_alone_or_in_the_mapping() -> None:
    rows = [{"name": "a", "entity": "e", "key": {"a": "b"}}]
    found = Mapping.model_validate({"mapping": "m", "table": "s.t", "rows": rows})
    assert [loc for loc, _ in found.parts] == [("rows", 0)]
    with pytest.raises(ValidationError, match="needs entity and key"):
        Mapping.model_validate({"mapping": "m", "table": "s.t"})
    with pytest.raises(ValidationError, match="one name"):
        Mapping.model_validate({"mapping": "m", "table": "s.t", "rows": rows * 2})
    with pytest.raises(ValidationError, match="rows holds nothing"):
        Mapping.model_validate({"mapping": "m", "table": "s.t", "rows": []})


def test_targets() -> None:
    ((_, rows),) = Mapping.model_validate(MAPPING).parts
    assert str(rows.target) == "public.e"
    ((_, rows),) = Mapping.model_validate(MAPPING | {"into": "hub.x"}).parts
    assert str(rows.target) == "hub.x"


def test_a_schema_for_editors_can_be_made() -> None:
    for model in (Entity, Mapping, Replicate):
        schema = model.model_json_schema()
        assert schema["additionalProperties"] is False


UGLY = table(
    "sales.Kunden Alt",
    {
        "id": "integer",
        "Name 1": "text",
        "no": "boolean",
        "user": "text",
        "order": "character(3)",
        "lim": "numeric(10,2)",
        "loose": "numeric",
        "tiny": "numeric(2,2)",
        "at": "timestamp with time zone",
        "t": "time without time zone",
        "doc": "jsonb",
        "raw": "bytea",
        "state": "text|shop.state",
        "ip": "inet",
        "tags": "text[]",
        "r": "real",
        "guid": "uuid",
        "zähler": "smallint",
    },
    ["id", "order"],
)


def as_text(text: str) -> Any:
    return yaml.load(text, yaml.BaseLoader)


def test_stubs_pass_the_checks_as_they_are() -> None:
    entity = Entity.model_validate(as_text(entity_stub(UGLY)))
    mapping = Mapping.model_validate(as_text(mapping_stub(UGLY, "erp_kunden")))
    assert entity_name(UGLY) == entity.entity == "Kunden_Alt"
    programs, errors = compile_mapping(mapping, {entity.entity: entity}, UGLY)
    assert errors == []
    assert len(programs) == 1
    assert "ip" not in entity.fields
    assert "# ip" in entity_stub(UGLY)
    assert {name: field.type.name for name, field in entity.fields.items()} == {
        "id": "integer",
        "Name 1": "text",
        "no": "boolean",
        "user": "text",
        "order": "text",
        "lim": "decimal(10,2)",
        "loose": "decimal",
        "tiny": "decimal",
        "at": "timestamptz",
        "t": "time",
        "doc": "json",
        "raw": "bytes",
        "state": "text",
        "tags": "text",
        "r": "double",
        "guid": "uuid",
        "zähler": "smallint",
    }


def test_stubs_of_a_table_with_nothing_but_its_key() -> None:
    bare = table("s.t", {"id": "integer"}, ["id"])
    mapping = Mapping.model_validate(as_text(mapping_stub(bare, "m")))
    assert mapping.fields == {}


CUSTOMER = Entity.model_validate(
    {
        "entity": "customer",
        "key": ["no"],
        "fields": {
            "no": {"type": "text"},
            "name": {"type": "text", "required": "true"},
            "status": {"type": "text"},
            "amount": {"type": "integer"},
        },
    }
)
SOURCE = table(
    "s.t", {"id": "integer", "name": "text", "kz": "text", "n": "text", "m": "integer"}, ["id"]
)
PREVIEWED = Mapping.model_validate(
    {
        "mapping": "m",
        "entity": "customer",
        "table": "s.t",
        "key": {"no": "'E-' || id"},
        "fields": {
            "name": "trim(name)",
            "status": {"from": "kz", "values": {"A": "active"}},
            "amount": "n::integer",
        },
        "where": "m = 1",
    }
)


def test_a_preview_shows_rows_side_by_side_and_counts_what_would_fail() -> None:
    def row(number: int, **changes: str | None) -> Change:
        values: dict[str, str | None] = {"name": "Anna", "kz": "A", "n": "5", "m": "1"}
        return Change("r", {"id": str(number), **values, **changes})

    sample = [
        row(1),
        row(2, kz="X"),
        row(3, n="five", kz="X"),
        row(4, m="2", kz="Y"),
        row(5, name=None, kz=None),
        row(6, n="7"),
    ]
    (found,) = preview(PREVIEWED, {"customer": CUSTOMER}, batch(SOURCE, sample))
    assert [row.outcome for row in found.rows] == [
        "mapped", "failed", "failed", "filtered", "failed", "mapped"
    ]  # fmt: skip
    assert found.rows[0].source == {"id": "1", "name": "Anna", "kz": "A", "n": "5", "m": "1"}
    assert found.rows[5].mapped == {"no": "E-6", "name": "Anna", "status": "active", "amount": "7"}
    assert found.rows[2].mapped is None
    assert {field for field, _ in found.rows[2].failures} == {"status", "amount"}
    assert sum(found.failures.values()) == 5
    assert {field: dict(codes) for field, codes in found.unlisted.items()} == {
        "status": {"X": 2, None: 1}
    }
    assert (found.count("mapped"), found.count("filtered"), found.count("failed")) == (2, 1, 3)
    assert found.target == "public.customer"


def test_a_preview_of_a_mapping_that_does_not_fit_is_an_error() -> None:
    other = table("s.t", {"id": "integer"}, ["id"])
    with pytest.raises(MappingError, match="no column"):
        preview(PREVIEWED, {"customer": CUSTOMER}, batch(other, [Change("r", {"id": "1"})]))
