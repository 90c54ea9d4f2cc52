"""Random histories of a source table: the target ends as the mapping of the source's last state.

The sink is a dict that does what `transforms.rows` says a row change does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tests.transforms.batches import Change, batch, shown, table
from transforms.entity import Entity
from transforms.model import Mapping
from transforms.router import Router
from transforms.rows import CLEAR, DELETE, PATCH, UPSERT, RowChanges

Key = tuple[str | None, ...]
Row = dict[str, str | None]

COLUMNS = {"id": "integer", "lang": "character(2)", "kind": "text", "big": "text"}
ENTITY = Entity.model_validate(
    {
        "entity": "e",
        "key": ["k"],
        "fields": {
            "k": {"type": "text"},
            "kind": {"type": "text"},
            "big": {"type": "text"},
            "gone": {"type": "boolean"},
        },
    }
)


@dataclass(frozen=True)
class Case:
    """Mappings, the source's key, and what the target should hold for a source row."""

    mappings: tuple[dict[str, Any], ...]
    key: tuple[str, ...]
    expected: Callable[[Row], tuple[str, Row] | None]


def _text(row: Row, column: str) -> str:
    return row[column] or ""


def _plain(row: Row) -> tuple[str, Row]:
    return f"E-{row['id']}/{_text(row, 'lang').strip()}", _fields(row)


def _fields(row: Row) -> Row:
    big = row["big"]
    return {"kind": row["kind"], "big": None if big is None else big.upper()}


FIELDS = {"kind": "kind", "big": "upper(big)"}
JOINED = {"k": "'E-' || id || '/' || lang"}
CASES = {
    "all rows": Case(({"key": JOINED, "fields": FIELDS},), ("id", "lang"), _plain),
    "a filter": Case(
        ({"key": JOINED, "fields": FIELDS, "where": "kind = 'a'"},),
        ("id", "lang"),
        lambda row: _plain(row) if row["kind"] == "a" else None,
    ),
    "one language": Case(
        ({"key": {"k": "id::text"}, "fields": FIELDS, "where": "lang = 'DE'"},),
        ("id", "lang"),
        lambda row: (_text(row, "id"), _fields(row)) if row["lang"] == "DE" else None,
    ),
    "one language and a filter": Case(
        ({"key": {"k": "id::text"}, "fields": FIELDS, "where": "kind <> 'b' and lang = 'DE'"},),
        ("id", "lang"),
        lambda row: (
            (_text(row, "id"), _fields(row))
            if row["lang"] == "DE" and row["kind"] in ("a", "c")
            else None
        ),
    ),
    "two mappings by kind": Case(
        (
            {"key": JOINED, "fields": FIELDS, "where": "kind = 'a'"},
            {"key": JOINED, "fields": FIELDS, "where": "kind = 'b'"},
        ),
        ("id", "lang"),
        lambda row: _plain(row) if row["kind"] in ("a", "b") else None,
    ),
    "two mappings by language": Case(
        (
            {"key": {"k": "'D' || id"}, "fields": FIELDS, "where": "lang = 'DE'"},
            {"key": {"k": "'E' || id"}, "fields": FIELDS, "where": "lang = 'EN'"},
        ),
        ("id", "lang"),
        lambda row: (f"{_text(row, 'lang')[0]}{row['id']}", _fields(row)),
    ),
}


class Diverged(Exception):
    """A value that was not sent is to be kept, and there is no row that has it."""


@dataclass
class Target:
    """What a sink is to do."""

    rows: dict[Key, Row] = field(default_factory=dict)

    def apply(self, batches: Sequence[RowChanges]) -> None:
        singles = [(b.seq[at].as_py(), b, at) for b in batches for at in range(b.rows)]
        for _, changes, at in sorted(singles, key=lambda item: item[0]):
            self._apply(changes, at)

    def _apply(self, changes: RowChanges, at: int) -> None:
        op = changes.op[at].as_py()
        if op == CLEAR:
            self.rows.clear()
            return
        key = tuple(changes.values[n][at].as_py() for n in changes.table.key_indexes)
        assert None not in key
        if op == DELETE:
            self.rows.pop(key, None)
            return
        sent = {
            column.name: changes.values[n][at].as_py()
            for n, column in enumerate(changes.table.columns)
            if not (n in changes.unsent and changes.unsent[n][at].as_py())
        }
        if op == PATCH:
            if key in self.rows:
                self.rows[key] |= sent
            return
        assert op == UPSERT
        old = key
        if changes.old_key is not None and changes.old_key[0][at].is_valid:
            old = tuple(column[at].as_py() for column in changes.old_key)
        kept = self.rows.pop(old, {})
        if not kept and len(sent) < len(changes.table.columns):
            raise Diverged
        self.rows[key] = kept | sent


IDS = st.sampled_from(["1", "2", "3"])
LANGS = st.sampled_from(["DE", "EN"])
KINDS = st.sampled_from(["a", "b", "c", None])
BIGS = st.sampled_from(["x", "y", None])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "move", "delete", "delete", "truncate", "cut"]),
        st.tuples(IDS, LANGS),
        st.tuples(IDS, LANGS),
        KINDS,
        st.one_of(BIGS, st.just("same")),
    ),
    max_size=14,
)


def _history(steps: Any, full: bool) -> tuple[list[list[Change]], dict[tuple[str, str], Row]]:
    """Batches of changes as the log would carry them, and the rows at the end."""
    rows: dict[tuple[str, str], Row] = {}
    batches: list[list[Change]] = [[]]

    def update(key: tuple[str, str], new: Row, same: bool) -> None:
        before = rows.pop(key)
        after = new | {"big": before["big"] if same else new["big"]}
        moved = (after["id"], after["lang"]) != key
        sent = after
        unsent: tuple[str, ...] = ()
        if same and before["big"] is not None and not full:
            sent, unsent = after | {"big": None}, ("big",)
        old = before if full else {"id": key[0], "lang": key[1]} if moved else None
        batches[-1].append(Change("u", sent, old, whole=full, unsent=unsent))
        rows[after["id"] or "", after["lang"] or ""] = after

    for action, key, other, kind, big in steps:
        target = other if action == "move" else key
        row: Row = {
            "id": target[0],
            "lang": target[1],
            "kind": kind,
            "big": None if big == "same" else big,
        }
        if action == "cut":
            batches.append([])
        elif action == "truncate":
            rows.clear()
            batches[-1].append(Change("t"))
        elif action == "delete":
            if key in rows:
                before = rows.pop(key)
                old = before if full else {"id": key[0], "lang": key[1]}
                batches[-1].append(Change("d", None, old, whole=full))
        elif key in rows and (target == key or target not in rows):
            update(key, row, big == "same")
        elif action == "put" and key not in rows:
            rows[key] = row
            batches[-1].append(Change("c", row))
    return batches, rows


@pytest.mark.parametrize("full", [False, True], ids=["key only", "whole row"])
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps=STEPS)
def test_the_target_ends_as_the_source_mapped(name: str, full: bool, steps: Any) -> None:
    case = CASES[name]
    if len(case.mappings) > 1:
        steps = [step for step in steps if step[0] != "truncate"]
    mappings = [
        Mapping.model_validate({"mapping": f"m{at}", "entity": "e", "table": "s.t"} | declared)
        for at, declared in enumerate(case.mappings)
    ]
    schema = table("s.t", COLUMNS, case.key, full=full)
    batches, rows = _history(steps, full)
    target = Target()
    with Router([], mappings, {"e": ENTITY}) as router:
        for number, changes in enumerate(batches):
            out = router.route(batch(schema, changes), number * 1000)
            note("\n".join(line for each in out for line in shown(each)) or "nothing")
            try:
                target.apply(out)
            except Diverged:  # it entered the filter; the sink says so and stops
                assert "where" in case.mappings[0]
                assert not full
                return
        counts = router.take_counts()
    wanted = dict(filter(None, map(case.expected, rows.values())))
    found = {key[0]: {"kind": row["kind"], "big": row["big"]} for key, row in target.rows.items()}
    assert found == wanted
    for outcome in counts.values():
        assert outcome["received"] == outcome["filtered"] + outcome["emitted"]
        assert outcome["filtered"] >= 0
