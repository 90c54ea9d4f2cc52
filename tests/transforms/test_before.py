"""What the log says of rows before, in the words of the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from cdc.changes import REPLACED
from tests.transforms.batches import Change, batch, table
from transforms.entity import Entity
from transforms.model import Mapping
from transforms.router import Router
from transforms.rows import UPSERT, RowChanges

PHONE = Entity.model_validate(
    {
        "entity": "phone",
        "key": ["no"],
        "fields": {
            "no": {"type": "text", "required": "true"},
            "number": {"type": "text"},
            "gone": {"type": "boolean"},
        },
    }
)
PERSON = table("sales.person", {"id": "integer", "home": "text", "work": "text"}, ["id"], full=True)
BOTH = Mapping.model_validate(
    {
        "mapping": "phones",
        "table": "sales.person",
        "rows": [
            {
                "name": kind,
                "entity": "phone",
                "key": {"no": f"'{kind}-' || id"},
                "fields": {"number": kind},
            }
            for kind in ("home", "work")
        ],
    }
)


def known(rows: RowChanges) -> Iterator[tuple[Any, ...]]:
    """(key, value, value before or None where it is not known)."""
    for at in range(rows.rows):
        was = None
        if rows.before is not None and rows.before.known[at].as_py():
            was = rows.before.values[1][at].as_py()
        yield rows.values[0][at].as_py(), rows.values[1][at].as_py(), was


def test_each_row_of_a_change_has_its_own_before() -> None:
    change = Change(
        "u",
        {"id": "1", "home": "b", "work": "a"},
        {"id": "1", "home": "a", "work": "b"},
        whole=True,
    )
    with Router((), (BOTH,), {"phone": PHONE}, tells_before=True) as router:
        made = router.route(batch(PERSON, [change]), 0)
    found = [row for rows in made for row in known(rows)]
    assert found == [("home-1", "b", "a"), ("work-1", "a", "b")]


ACTIVE = table("sales.person", {"id": "integer", "home": "text", "kind": "text"}, ["id"], full=True)


def updated(id: str, was: str, now: str, now_id: str | None = None) -> Change:
    """Of a row whose kind was and is now."""
    new = {"id": now_id or id, "home": "b", "kind": now}
    return Change("u", new, {"id": id, "home": "a", "kind": was}, whole=True)


CHANGES = [
    Change("c", {"id": "1", "home": "a", "kind": "A"}),
    Change("c", {"id": "2", "home": "a", "kind": "B"}),
    *(
        Change(
            "u", {"id": id, "home": "b", "kind": now}, {"id": id, "home": "a", "kind": was}, True
        )
        for id, was, now in (("3", "B", "A"), ("4", "A", "A"), ("5", "A", "B"), ("6", "B", "B"))
    ),
    Change("u", {"id": "7", "home": "b", "kind": "A"}),
    Change("u", {"id": "9", "home": "b", "kind": "A"}, {"id": "8", "home": "a", "kind": "B"}, True),
]


def mapping(name: str = "phones", **more: Any) -> Mapping:
    """Of the homes of persons of kind A."""
    made = {
        "mapping": name,
        "table": "sales.person",
        "entity": "phone",
        "key": {"no": "'H-' || id"},
        "fields": {"number": "home"},
        "where": "kind = 'A'",
    }
    return Mapping.model_validate(made | more)


def routed(*mappings: Mapping, changes: Sequence[Change] = CHANGES) -> dict[str, list[str]]:
    """Keys of rows that are put somewhere, by what is known of them."""
    found: dict[str, list[str]] = {"created": [], "entered": [], "before": []}
    with Router((), mappings, {"phone": PHONE}, tells_before=True) as router:
        made = router.route(batch(ACTIVE, changes), 100)
    for rows in made:
        assert rows.created is not None
        assert rows.entered is not None
        before = rows.before.known if rows.before else [None] * rows.rows
        flags = {"created": rows.created, "entered": rows.entered, "before": before}
        for name, some in flags.items():
            for at, flag in enumerate(some):
                if flag and flag.as_py() and rows.op[at].as_py() == UPSERT:
                    found[name].append(rows.values[0][at].as_py())
    return found


def test_a_row_that_is_admitted_only_now() -> None:
    """Where the log has the row before: 7 may have been there or not."""
    assert routed(mapping()) == {"created": ["H-1"], "entered": ["H-3", "H-9"], "before": ["H-4"]}


def test_what_is_not_removed_when_it_is_admitted_no_more_may_be_there() -> None:
    for on_delete in ("ignore", {"soft": "gone"}, "set_null"):
        assert routed(mapping(on_delete=on_delete))["entered"] == []


def test_what_another_mapping_puts_there_may_be_there() -> None:
    others = mapping("others", where="kind = 'B'")
    assert routed(mapping(), others)["entered"] == []
    elsewhere = mapping("elsewhere", table="sales.supplier", where=None)
    assert routed(mapping(), elsewhere)["entered"] == []


def test_a_row_before_that_cannot_be_mapped_leaves_the_others_known() -> None:
    bad = Change("u", {"id": "6", "home": "b", "kind": "A"}, {"id": "6", "kind": "A"}, whole=True)
    strict = mapping(fields={"number": {"from": "home", "values": {"a": "x", "b": "y"}}})
    found = routed(strict, changes=[*CHANGES[2:4], bad])
    assert found == {"created": [], "entered": ["H-3"], "before": ["H-4"]}


def test_what_is_admitted_changes_with_key_where_and_on_delete() -> None:
    def admits(*mappings: Mapping) -> str:
        with Router((), mappings, {"phone": PHONE}) as router:
            return router.target_tables(ACTIVE)[0].admits

    one = admits(mapping())
    assert one
    assert one == admits(mapping(fields={"number": "kind"}))
    others = [mapping(where="kind = 'C'"), mapping(key={"no": "'X-' || id"}), mapping(where=None)]
    assert len({one, *map(admits, others)}) == 4
    assert admits(mapping(on_delete="ignore")) == ""
    assert admits(mapping(), mapping("other", where="kind = 'B'")) == ""


def test_what_was_replaced_tells_the_row_before() -> None:
    changes = [Change("u", {"id": "1", "home": "a", "work": "b"})] * 2
    changed = replace(batch(PERSON, changes), replaced=pa.array([[(1, "h")], None], REPLACED))
    with Router((), (BOTH,), {"phone": PHONE}, tells_before=True) as router:
        made = router.route(changed, 0)
    assert sorted(row for rows in made for row in known(rows) if row[2]) == [
        ("home-1", "a", "h"),
        ("work-1", "b", "b"),
    ]


def test_nothing_is_said_of_a_field_whose_value_before_was_not_sent() -> None:
    changed = replace(
        batch(PERSON, [Change("u", {"id": "1", "home": "a", "work": "b"})]),
        replaced=pa.array([[(~1, None), (2, "w")]], REPLACED),
    )
    with Router((), (BOTH,), {"phone": PHONE}, tells_before=True) as router:
        home, work = router.route(changed, 0)
    assert home.before is not None
    assert 1 not in home.before.values
    assert list(known(work)) == [("work-1", "b", "w")]
