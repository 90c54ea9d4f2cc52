"""Rules at work on tables and row changes; masks, hashes, and what people are shown."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.schema import TableName
from tests.transforms.batches import Change, batch, shown, table
from transforms.classes import MaskStyle
from transforms.composite import composite
from transforms.entity import Entity
from transforms.model import Mapping as MappingModel
from transforms.preview import preview
from transforms.protect.hashes import hashed
from transforms.protect.keys import Key, key_id
from transforms.protect.masks import masked
from transforms.protect.model import Protect
from transforms.protect.protection import Protection
from transforms.protect.tokens import Tokeniser
from transforms.router import Router
from transforms.types import FIELD_TYPES

TOKEN_KEY, HASH_KEY = secrets.token_bytes(64), secrets.token_bytes(32)
KEYS = {"t": Key(current=TOKEN_KEY.hex()), "h": Key(current=HASH_KEY.hex())}
SOURCE = table(
    "s.kunden",
    {"id": "integer", "name": "text", "mail": "text", "note": "text", "born": "date"},
    ["id"],
    full=True,
)
CONTRACT: dict[str, Any] = {
    "entity": "customer",
    "key": ["no"],
    "fields": {
        "no": {"type": "text", "class": "personal"},
        "name": {"type": "text", "class": "internal"},
        "mail": {"type": "text", "class": "public", "mask": "last4"},
        "note": {"type": "text", "class": "secret"},
        "born": {"type": "date", "class": "internal"},
    },
}
ENTITY = Entity.model_validate(CONTRACT)
FIELDS: dict[str, Any] = {
    "name": "name || ''",
    "mail": "mail",
    "note": {"from": "note", "values": {"x": "y"}, "otherwise": {"value": "z"}},
    "born": "born",
}
DOCUMENT: dict[str, Any] = {
    "mapping": "m",
    "entity": "customer",
    "table": "s.kunden",
    "key": {"no": "'K-' || id"},
    "fields": FIELDS,
}
MAPPING = MappingModel.model_validate(DOCUMENT)
ALL = {"personal": {"tokenise": "t"}, "internal": "mask", "public": {"hash": "h"}, "secret": "drop"}


def values(items: Sequence[str | None]) -> pa.Array:
    return pa.array(items, pa.string())


def token(text: str) -> str:
    return str(Tokeniser(TOKEN_KEY).tokens(values([text]))[0])


def digest(text: str) -> str:
    return hmac.new(HASH_KEY, text.encode(), hashlib.sha256).hexdigest()


def routed(changes: Sequence[Change], rules: Mapping[str, Any]) -> list[str]:
    protection = Protection(Protect.model_validate(rules), KEYS)
    with Router((), (MAPPING,), {"customer": ENTITY}, protection) as router:
        rows = router.route(batch(SOURCE, changes), 0)
        tables = {rows.table for rows in rows}
        assert tables <= set(router.target_tables(SOURCE))
    return [line for each in rows for line in shown(each)]


def row(number: int, **more: str | None) -> dict[str, str | None]:
    found: dict[str, str | None] = {"id": str(number), "name": "Annabel", "mail": "a@b"}
    return found | {"note": "x", "born": "1980-05-06"} | more


def test_each_class_has_its_rule() -> None:
    assert routed(
        [Change("c", row(1)), Change("c", row(2, name=None, mail=None, born=None))], ALL
    ) == [
        f"u@0 no={token('K-1')} name=A*** mail={digest('a@b')} born=1980-01-01",
        f"u@1 no={token('K-2')} name=NULL mail=NULL born=NULL",
    ]


def test_deletes_and_moved_keys_find_their_tokens() -> None:
    changes = [
        Change("d", None, row(1), whole=True),
        Change("u", row(3), row(2), whole=True),
        Change("t"),
    ]
    assert routed(changes, ALL) == [
        f"d@0 no={token('K-1')}",
        f"u@1 no={token('K-3')} name=A*** mail={digest('a@b')} born=1980-01-01"
        f" (was {token('K-2')})",
        "t@2",
    ]


def test_what_was_not_sent_stays_so_whatever_is_dropped_before_it() -> None:
    rules = {**ALL, "public": "drop"}
    changes = [Change("u", row(1), unsent=("born", "mail")), Change("u", row(2))]
    assert routed(changes, rules) == [
        f"u@0 no={token('K-1')} name=A***",
        f"u@1 no={token('K-2')} name=A*** born=1980-01-01",
    ]


def test_without_protection_fields_pass() -> None:
    with Router((), (MAPPING,), {"customer": ENTITY}) as router:
        (rows,) = router.route(batch(SOURCE, [Change("c", row(1))]), 0)
        assert shown(rows) == ["u@0 no=K-1 name=Annabel mail=a@b note=y born=1980-05-06"]


def test_what_has_no_rule_and_needs_one_is_not_written_even_if_nobody_checked() -> None:
    assert routed([Change("c", row(1))], {"personal": "pass"}) == [
        "u@0 no=K-1 name=Annabel mail=a@b born=1980-05-06"
    ]


def test_the_tables_columns_say_how_they_are_protected() -> None:
    protection = Protection(Protect.model_validate(ALL), KEYS)
    with Router((), (MAPPING,), {"customer": ENTITY}, protection) as router:
        (target,) = router.target_tables(SOURCE)
    assert [
        (column.name, column.type, column.protected.split()[0]) for column in target.columns
    ] == [
        ("no", "text", "tokenise"),
        ("name", "text", "mask"),
        ("mail", "text", "hash"),
        ("born", "date", "mask"),
    ]
    assert target.key == ("no",)


# Masks and hashes


@pytest.mark.parametrize(
    ("type_", "style", "before", "after"),
    [
        ("text", "first", "Annabel", "A***"),
        ("text", "first", "Änne", "Ä***"),
        ("text", "first", "Ann", "***"),
        ("text", "first", "", "***"),
        ("text", "last4", "DE12345678", "***5678"),
        ("text", "last4", "1234567", "***"),
        ("text", "all", "Annabel", "***"),
        ("date", "first", "1980-05-06", "1980-01-01"),
        ("date", "first", "0044-03-15 BC", "0044-01-01 BC"),
        ("date", "first", "12024-03-15", "12024-01-01"),
        ("date", "first", "-infinity", "-infinity"),
        ("date", "first", "no date", "***"),
        ("timestamp without time zone", "first", "1980-05-06 07:08:09.5", "1980-01-01 00:00:00"),
        (
            "timestamp with time zone",
            "first",
            "1980-05-06 07:08:09+00",
            "1980-01-01 00:00:00+00",
        ),
        ("numeric(12,2)", "first", "-12.50", "0"),
        ("boolean", "first", "t", "f"),
        ("uuid", "first", "0b3f…", "00000000-0000-0000-0000-000000000000"),
        ("jsonb", "first", '{"a": 1}', "{}"),
        ("bytea", "first", "\\x0102", "\\x"),
    ],
)
def test_masks(type_: str, style: MaskStyle, before: str, after: str) -> None:
    assert masked(values([before, None]), type_, style).to_pylist() == [after, None]


def test_each_type_of_a_field_has_a_mask() -> None:
    for field in FIELD_TYPES.values():
        assert masked(values([None]), field.postgres).to_pylist() == [None]
    assert masked(pa.array([7, None], pa.int64()), "bigint").to_pylist() == ["0", None]


@given(st.lists(st.none() | st.text(max_size=20)), st.sampled_from(["first", "last4", "all"]))
def test_a_mask_shows_at_most_four_characters(texts: list[str | None], style: MaskStyle) -> None:
    most = {"first": 1, "last4": 4, "all": 0}[style]
    for before, after in zip(texts, masked(values(texts), "text", style).to_pylist(), strict=True):
        assert (before is None) == (after is None)
        if before is not None:
            rest = after.replace("***", "", 1)
            assert len(rest) <= most
            assert not rest or 2 * len(rest) <= len(before)


@pytest.mark.parametrize(
    ("key", "text", "digest"),
    [
        (
            b"\x0b" * 20,
            "Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            b"\xaa" * 131,
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ],
)
def test_hashes_are_those_of_rfc_4231(key: bytes, text: str, digest: str) -> None:
    assert hashed(values([text, None]), key).to_pylist() == [digest, None]


@given(st.lists(st.none() | st.sampled_from(["a", "b", "ä"]), max_size=3000))
def test_values_that_repeat_give_what_each_gives(texts: list[str | None]) -> None:
    rules = Protect.model_validate({"public": {"hash": "h"}})
    protection = Protection(rules, KEYS)
    change, _ = protection._change(rules.rule("public"), None)  # type: ignore[arg-type]
    assert change(values(texts)).to_pylist() == [text and digest(text) for text in texts]


@pytest.mark.parametrize("source", ["erp", "crm"])
def test_the_tables_of_other_sources_are_said_to_be_protected_too(source: str) -> None:
    """Of all that is protected each pipeline says the same, whichever of them makes it."""
    record = {"rows": "erp", "default": "erp", "mail": "crm"}
    entity = Entity.model_validate(CONTRACT | {"system_of_record": record})
    delivered = {"erp": ["name", "note", "born"], "crm": ["mail"]}
    plan = composite(entity, TableName("public", "customer"), delivered, dropped=["note"])
    protection = Protection(Protect.model_validate(ALL), KEYS)
    fields = {name: FIELDS[name] for name in delivered[source]}
    mapping = MappingModel.model_validate(DOCUMENT | {"fields": fields})
    with Router(
        (),
        (mapping,),
        {"customer": entity},
        protection,
        source=source,
        composites={plan.table: plan},
    ) as router:
        tables = router.target_tables(SOURCE)
    assert {table for one in tables if one.composite for table in one.composite.tables} <= {*tables}
    said = {table.table.name: [column.protected for column in table.columns] for table in tables}
    no, mail = f"tokenise {key_id(TOKEN_KEY)}", f"hash {key_id(HASH_KEY)}"
    assert said == {
        "customer": [no, "mask first", mail, "mask first"],
        "customer__crm": [no, mail, "", ""],
        "customer__erp": [no, "mask first", "mask first", "", ""],
    }


# What people are shown


def previewed(*, reveal: bool) -> Any:
    fields = {**FIELDS, "note": {"from": "note", "values": {"x": "y"}}}
    strict = MappingModel.model_validate(DOCUMENT | {"fields": fields})
    sample = [Change("r", row(1)), Change("r", row(2, note="geheim", name=None))]
    (found,) = preview(strict, {"customer": ENTITY}, batch(SOURCE, sample), reveal=reveal)
    return found


def test_a_preview_masks_classed_fields_and_the_columns_they_come_from() -> None:
    found = previewed(reveal=False)
    assert found.rows[0].source == {
        "id": "***", "name": "Annabel", "mail": "a@b", "note": "***", "born": "1980-05-06"
    }  # fmt: skip
    assert found.rows[0].mapped == {
        "no": "***", "name": "Annabel", "mail": "a@b", "note": "***", "born": "1980-05-06"
    }  # fmt: skip
    assert found.unlisted == {"note": {"***": 1}}
    assert "geheim" not in repr(found)


def test_a_preview_reveals_what_it_is_asked_to() -> None:
    found = previewed(reveal=True)
    assert found.rows[0].mapped["no"] == "K-1"
    assert found.rows[1].source["note"] == "geheim"
    assert found.unlisted == {"note": {"geheim": 1}}
