"""Names of types, from their object identifiers: as declared, and as mappings compute on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cdc.postgres.session import Connection

_FIRST_USER_OID = 16384
"""FirstNormalObjectId: below are the types that come with PostgreSQL itself."""


@dataclass(frozen=True, slots=True)
class TypeName:
    """`type` with its modifier, `base_type` as in `cdc.schema.Column`; `not_null` where a domain
    forbids NULL."""

    type: str
    base_type: str
    not_null: bool = False


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    kind: str  # b base, c composite, d domain, e enum, p pseudo, r range, m multirange
    base_oid: int
    element_oid: int
    not_null: bool
    built_in: bool


_CLOSURE = """
with recursive reached(oid) as (
    select unnest(%s::oid[])
    union
    select next.oid from reached join pg_type t on t.oid = reached.oid
    cross join lateral (values (t.typbasetype),
        (case when t.typcategory = 'A' then t.typelem else 0 end)) next(oid)
    where next.oid <> 0
)
select t.oid, format_type(t.oid, null), t.typtype::text, t.typbasetype,
       case when t.typcategory = 'A' and t.typtype = 'b' then t.typelem else 0 end,
       t.typnotnull, t.oid < %s
from pg_type t join reached using (oid)
"""
_SPELLED = """
select w.oid, w.modifier, format_type(w.oid, w.modifier)
from unnest(%s::oid[], %s::int4[]) w(oid, modifier)
"""


def name_types(
    connection: Connection, wanted: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], TypeName]:
    """(type oid, modifier) → its names; one that the catalog no longer has is absent."""
    pairs = sorted(set(wanted))
    oids = [oid for oid, _ in pairs]
    types = {
        oid: _Type(*rest)
        for oid, *rest in connection.execute(_CLOSURE, (oids, _FIRST_USER_OID)).fetchall()
    }
    spelled = connection.execute(_SPELLED, (oids, [modifier for _, modifier in pairs]))
    return {
        (oid, modifier): TypeName(text, _base(types, oid), _forbids_null(types, oid))
        for oid, modifier, text in spelled.fetchall()
        if oid in types
    }


def _base(types: dict[int, _Type], oid: int) -> str:
    found = types.get(oid)
    if found is None:
        return "text"
    if found.kind == "d":
        return _base(types, found.base_oid)
    if found.element_oid:
        element = _base(types, found.element_oid)
        return "text[]" if element.endswith("[]") else element + "[]"
    return found.name if found.built_in and found.kind in "brm" else "text"


def _forbids_null(types: dict[int, _Type], oid: int) -> bool:
    found = types.get(oid)
    if found is None or found.kind != "d":
        return False
    return found.not_null or _forbids_null(types, found.base_oid)
