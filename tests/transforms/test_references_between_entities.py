"""References in mappings: what is refused, and whose key a field is given."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.transforms.batches import Change, batch, table
from transforms.compile import compile_mapping
from transforms.entity import Entity
from transforms.model import Mapping
from transforms.protect.model import Protect
from transforms.protect.protection import Protection
from transforms.router import Router
from transforms.trial import try_examples

ORDERS = table("s.orders", {"region": "text", "nr": "integer"}, ["region", "nr"])
ITEMS = table(
    "s.items", {"id": "integer", "order_id": "integer", "region": "text", "big": "numeric"}, ["id"]
)


def entity(name: str, key: dict[str, Any], **fields: Any) -> Entity:
    return Entity.model_validate({"entity": name, "key": list(key), "fields": {**key, **fields}})


ENTITIES = {
    "item": entity("item", {"id": {"type": "text"}}, o={"type": "text"}, n={"type": "integer"}),
    "order": entity("order", {"no": {"type": "text"}}),
    "line": entity("line", {"a": {"type": "text"}, "b": {"type": "text"}}),
    "secret": entity("secret", {"no": {"type": "text", "class": "personal"}}),
    "open": entity("open", {"no": {"type": "text", "class": "public"}}),
    "amount": entity("amount", {"no": {"type": "decimal(5,2)"}}),
}


def made(name: str, **key: str) -> Mapping:
    return Mapping.model_validate(
        {"mapping": f"m_{name}", "entity": name, "table": f"s.{name}s", "key": key}
    )


PARENTS = [
    made("order", no="region || '/' || nr"),
    made("line", a="id::text", b="'x'"),
    made("secret", no="id::text"),
    made("open", no="id::text"),
]


def items(field: str, **rule: Any) -> Mapping:
    return Mapping.model_validate(
        {
            "mapping": "items",
            "entity": "item",
            "table": "s.items",
            "key": {"id": "id::text"},
            "fields": {field: rule},
        }
    )


BOTH = {"region": "upper(region)", "nr": "order_id"}
REFUSED = [
    (items("o", ref="orders", by="order_id"), "there is no entity orders"),
    (items("o", ref="amount", by="order_id"), "no mapping of the pipeline makes amount"),
    (items("o", ref="line", by="order_id"), "has several fields"),
    (items("n", ref="order", by=BOTH), "the key of order is of type text, not integer"),
    (items("o", ref="secret", by="order_id"), "is protected"),
    (items("o", ref="open", by="order_id"), "the key of open is public, and this internal"),
    (items("o", ref="order", by="order_id"), "the key of order is made of region, nr"),
    (items("o", ref="order", by={"nr": "order_id"}), "the key is made of region, nr"),
    (items("o", ref="order", by={**BOTH, "nr": "orderid"}), "the table has no column orderid"),
    (items("o", ref="order", by={**BOTH, "nr": "big"}), "s.orders.nr is integer, and this numeric"),
]


@pytest.mark.parametrize(("declared", "what"), REFUSED)
def test_refused_references(declared: Mapping, what: str) -> None:
    known = {ORDERS.table: ORDERS}
    _, errors = compile_mapping(declared, ENTITIES, ITEMS, known, PARENTS)
    assert errors
    assert what in errors[0].what


def test_an_entity_of_several_mappings_is_not_referred_to() -> None:
    two = [*PARENTS, made("order", no="'K-' || id").model_copy(update={"mapping": "m_other"})]
    _, errors = compile_mapping(items("o", ref="order", by=BOTH), ENTITIES, ITEMS, others=two)
    assert "several mappings make order (m_order and m_other)" in errors[0].what


def test_types_that_would_never_meet_are_refused_where_they_are_known() -> None:
    columns = {"region": "text primary key", "nr": "varchar(9) primary key"}
    parent = Mapping.model_validate({**PARENTS[0].model_dump(by_alias=True, exclude_none=True),
                                     "columns": columns})  # fmt: skip
    _, errors = compile_mapping(items("o", ref="order", by=BOTH), ENTITIES, ITEMS, others=[parent])
    assert "s.orders.nr is character varying(9), and this integer" in errors[0].what


def test_the_field_is_given_the_key_that_the_parents_mapping_makes() -> None:
    mappings = [items("o", ref="order", by=BOTH), *PARENTS]
    with closing(Router((), mappings, ENTITIES)) as router:
        rows = [("n", "7"), (None, "7"), ("s", None)]
        changes = [
            Change("c", {"id": str(at), "region": region, "order_id": nr})
            for at, (region, nr) in enumerate(rows)
        ]
        (found,) = router.route(batch(ITEMS, changes), 0)
        assert found.values[1].to_pylist() == ["N/7", None, None]
        ((at, reference),) = found.table.refs
        assert (at, reference.entity, str(reference.table)) == (1, "order", "public.order")
        names = [str(one.table) for one in router.target_tables(ITEMS)]
        assert names.index("public.order") < names.index("public.item")


def test_examples_show_the_key() -> None:
    whole = items("o", ref="order", by=BOTH).model_dump(by_alias=True, exclude_none=True)
    declared = Mapping.model_validate(
        {
            **whole,
            "columns": {"id": "integer primary key", "region": "text", "order_id": "integer"},
            "examples": [
                {"given": {"id": "1", "region": "n", "order_id": "7"}, "expect": {"o": "N/7"}},
                {"given": {"id": "1", "region": "n", "order_id": "7"}, "expect": {"o": "n/7"}},
            ],
        }
    )
    trials = try_examples(declared, ENTITIES, PARENTS)
    assert [bool(trial.differences) for trial in trials] == [False, True]


def test_a_field_that_is_dropped_before_it_moves_no_reference() -> None:
    columns = {"id": {"type": "text"}, "a": {"type": "text", "class": "personal"}}
    whole = entity("item", {"id": columns["id"]}, a=columns["a"], o={"type": "text"})
    declared = Mapping.model_validate(
        {
            "mapping": "items",
            "entity": "item",
            "table": "s.items",
            "key": {"id": "id::text"},
            "fields": {"a": "region", "o": {"ref": "order", "by": BOTH}},
        }
    )
    protect = Protect.model_validate({"personal": "drop"})
    entities = {**ENTITIES, "item": whole}
    mappings = [declared, *PARENTS]
    with closing(Router((), mappings, entities, Protection(protect, {}))) as router:
        change = Change("c", {"id": "1", "region": "n", "order_id": "7"})
        (found,) = router.route(batch(ITEMS, [change]), 0)
        ((at, reference),) = found.table.refs
        assert found.table.columns[at].name == reference.field == "o"
        assert found.values[at].to_pylist() == ["N/7"]
