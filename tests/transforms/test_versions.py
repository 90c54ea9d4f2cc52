"""Versions of contracts: what a change means to those who read an entity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from transforms.entity import Entity
from transforms.evolution import Comparison, compare
from transforms.versions import Version, admits

FIELDS: dict[str, dict[str, Any]] = {
    "no": {"type": "text", "required": "true"},
    "name": {"type": "text"},
    "amount": {"type": "decimal(10,2)"},
    "day": {"type": "date"},
}


def entity(version: str | None = "1.2.3", **changes: Any) -> Entity:
    """`changes`: of fields by their name (None: gone), or of the entity's own keys."""
    fields = {name: dict(field) for name, field in FIELDS.items()}
    own = {}
    for name, change in changes.items():
        if name in ("key", "unique", "checks", "consumers", "steward"):
            own[name] = change
        elif change is None:
            del fields[name]
        else:
            fields[name] = fields.get(name, {}) | change
    declared = {"entity": "e", "key": ["no"], "fields": fields, "version": version, **own}
    return Entity.model_validate({k: v for k, v in declared.items() if v is not None})


def changed(old: Entity | None, new: Entity | None) -> Comparison:
    (found,) = compare({"e": old} if old else {}, {"e": new} if new else {})
    return found


CHANGES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {"name": None}, "major", "field name is removed"),
    ({}, {"more": {"type": "text"}}, "minor", "field more is added"),
    ({}, {"more": {"type": "text", "required": "true"}}, "minor", "field more is added"),
    ({}, {"amount": {"type": "decimal(12,2)"}}, "major", "its type was decimal(10,2)"),
    ({}, {"key": ["no", "name"]}, "major", "the key was (no)"),
    ({}, {"name": {"required": "true"}}, "minor", "required is demanded"),
    ({"name": {"required": "true"}}, {}, "major", "required is no longer demanded"),
    ({"name": {"unique": "true"}}, {}, "major", "unique is no longer demanded"),
    ({}, {"name": {"one_of": ["a"]}}, "minor", "one_of is demanded"),
    ({"name": {"one_of": ["a", "b"]}}, {"name": {"one_of": ["a"]}}, "minor", "takes less"),
    ({"name": {"one_of": ["a"]}}, {"name": {"one_of": ["b"]}}, "major", "what it did not"),
    (
        {"at": {"type": "timestamptz", "range": {"min": "2024-01-01 00:00:00+00"}}},
        {"at": {"type": "timestamptz", "range": {"min": "2024-01-01 01:00:00+05"}}},
        "major",
        "its range takes what it did not",
    ),
    (
        {"amount": {"range": {"min": "9", "max": "10"}}},
        {"amount": {"range": {"min": "9", "max": "11.5"}}},
        "major",
        "its range takes what it did not",
    ),
    ({"amount": {"range": {"min": "9"}}}, {"amount": {"range": {"min": "10"}}}, "minor", "less"),
    (
        {"day": {"range": {"min": "2024-01-01"}}},
        {"day": {"range": {"max": "2024-01-01"}}},
        "major",
        "its range",
    ),
    ({"name": {"length": {"max": "9"}}}, {"name": {"length": {"max": "10"}}}, "major", "length"),
    ({"name": {"pattern": "a"}}, {"name": {"pattern": "a|b"}}, "major", "pattern"),
    ({"name": {"check": "name > ''"}}, {}, "major", "check is no longer"),
    ({"checks": {"c": "no = name"}}, {}, "major", "check c is no longer demanded"),
    ({"checks": {"c": "no = name"}}, {"checks": {"c": "no <> name"}}, "major", "is another"),
    ({}, {"checks": {"c": "no = name"}}, "minor", "check c is demanded"),
    ({"unique": [["name", "day"]]}, {}, "major", "(name, day) is no longer unique"),
    ({}, {"unique": [["name", "day"]]}, "minor", "(name, day) is unique"),
    ({"name": {"class": "internal"}}, {"name": {"class": "personal"}}, "major", "its class"),
    ({}, {"steward": "sales"}, "patch", "steward changed"),
    ({}, {"consumers": [{"name": "bi"}]}, "patch", "consumers changed"),
]
NEXT = {"major": "2.0.0", "minor": "1.3.0", "patch": "1.2.4"}


@pytest.mark.parametrize(("before", "after", "level", "what"), CHANGES)
def test_each_change(before: dict[str, Any], after: dict[str, Any], level: str, what: str) -> None:
    found = changed(entity(**before), entity(**after))
    assert [change.level for change in found.changes] == [level]
    assert what in found.changes[0].what
    assert str(found.needed) == NEXT[level]
    assert not found.fits
    assert changed(entity(**before), entity(NEXT[level], **after)).fits
    assert changed(entity(**before), entity("3.0.0", **after)).fits


def test_the_same_contract_is_no_change() -> None:
    same = entity(checks={"c": "no  =  name"}, amount={"range": {"min": "1.0"}})
    other = entity(checks={"c": "no = name"}, amount={"range": {"min": "1"}})
    assert compare({"e": same}, {"e": other}) == []
    one, two = entity(amount={"one_of": ["2", "1"]}), entity(amount={"one_of": ["1", "2.0"]})
    assert compare({"e": one}, {"e": two}) == []
    assert changed(entity(), entity("1.3.0")).fits
    assert not changed(entity(), entity("1.2.2")).fits


def test_an_entity_without_a_version_promises_nothing() -> None:
    assert changed(entity(None), entity(None, name=None)).fits
    assert changed(entity(None), entity("1.0.0", name=None)).fits
    assert not changed(entity("1.0.0"), entity(None, name=None)).fits
    assert changed(None, entity()).fits


def test_before_the_first_release_the_second_number_counts() -> None:
    assert str(changed(entity("0.3.1"), entity("0.3.1", name=None)).needed) == "0.4.0"
    assert str(changed(entity("0.3.1"), entity("0.3.1", more={"type": "text"})).needed) == "0.3.2"


READERS = [
    {"name": "bi", "contact": "bi@example.org", "fields": ["name"], "versions": "^1.0"},
    {"name": "all"},
    {"name": "shop", "fields": ["amount"], "versions": ">=1"},
]


def broken(old: Entity, new: Entity) -> dict[str, str]:
    return {consumer.name: why for consumer, why in changed(old, new).broken}


def test_consumers_that_would_break_are_named() -> None:
    old = entity(consumers=READERS)
    assert broken(old, entity("1.3.0", consumers=READERS, more={"type": "text"})) == {}
    gone = [{**READERS[0], "fields": ["no"]}, *READERS[1:]]
    assert broken(old, entity("2.0.0", consumers=gone, name=None)) == {
        "bi": "field name is removed",
        "all": "field name is removed",
    }
    looser = entity("2.0.0", consumers=READERS, no={"required": "false"})
    assert broken(old, looser) == {
        "bi": "wants ^1.0, which 2.0.0 is not",
        "all": "field no: required is no longer demanded",
    }
    assert set(broken(old, entity("2.0.0", consumers=READERS, key=["no", "day"]))) == {
        "bi", "all", "shop"
    }  # fmt: skip
    found = changed(old, None)
    assert [consumer.name for consumer, _ in found.broken] == ["bi", "all", "shop"]
    assert not found.fits
    assert changed(entity(), None).fits


def test_a_check_that_goes_breaks_those_who_read_its_fields() -> None:
    old = entity(checks={"c": "no <> name"}, consumers=READERS)
    assert broken(old, entity("2.0.0", consumers=READERS)) == {
        "bi": "check c is no longer demanded",
        "all": "check c is no longer demanded",
    }


@pytest.mark.parametrize(
    ("wanted", "inside", "outside"),
    [
        ("^1.2", ["1.2.0", "1.9.9"], ["1.1.9", "2.0.0"]),
        ("^0.2", ["0.2.0", "0.2.9"], ["0.3.0", "0.1.0"]),
        ("~1.2", ["1.2.0", "1.2.7"], ["1.3.0", "1.1.0"]),
        (">=1.2 <3", ["1.2.0", "2.9.9"], ["1.1.0", "3.0.0"]),
        (">=1.2, <3", ["2.0.0"], ["3.0.0"]),
        ("1.2.0", ["1.2.0"], ["1.2.1"]),
        ("1", ["1.0.0", "1.9.0"], ["2.0.0", "0.9.0"]),
        (">1 <=2", ["2.0.0", "2.9.9"], ["1.5.0", "3.0.0"]),
    ],
)
def test_ranges_of_versions(wanted: str, inside: list[str], outside: list[str]) -> None:
    assert all(admits(wanted, Version.parse(text)) for text in inside)
    assert not any(admits(wanted, Version.parse(text)) for text in outside)


@pytest.mark.parametrize(
    ("own", "what"),
    [
        ({"version": "1.2"}, "1.2.0"),
        ({"version": "01.2.0"}, "1.2.0"),
        ({"version": "1.2.0-rc1"}, "1.2.0"),
        ({"consumers": [{"name": "a", "versions": "latest"}]}, "write versions as"),
        ({"consumers": [{"name": "a", "versions": ""}]}, "name a version"),
        ({"consumers": [{"name": "a", "fields": ["nme"]}]}, "is no field"),
        ({"consumers": [{"name": "a"}, {"name": "a"}]}, "one name"),
        ({"consumers": [{"name": "a", "mail": "x"}]}, "Extra"),
    ],
)
def test_what_is_refused(own: dict[str, Any], what: str) -> None:
    declared = {"entity": "e", "key": ["no"], "fields": FIELDS, **own}
    with pytest.raises(ValidationError, match=what):
        Entity.model_validate(declared)


_BOUND = st.none() | st.integers(0, 4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    before=st.tuples(_BOUND, _BOUND, st.none() | st.sets(st.integers(0, 4), min_size=1)),
    after=st.tuples(_BOUND, _BOUND, st.none() | st.sets(st.integers(0, 4), min_size=1)),
)
def test_breaking_is_what_takes_a_value_that_could_not_come_before(
    before: tuple[int | None, int | None, set[int] | None],
    after: tuple[int | None, int | None, set[int] | None],
) -> None:
    """By each demand alone: whether another of the field's still refuses the value is not asked."""

    def declared(low: int | None, high: int | None, listed: set[int] | None) -> Entity:
        demands: dict[str, Any] = {}
        bounds = {"min": low, "max": high}
        if low is not None or high is not None:
            demands["range"] = {k: str(v) for k, v in bounds.items() if v is not None}
        if listed is not None:
            demands["one_of"] = [str(value) for value in sorted(listed)]
        return entity(amount=demands)

    def takes(low: int | None, high: int | None) -> set[int]:
        return {
            value
            for value in range(-1, 6)
            if (low is None or low <= value) and (high is None or value <= high)
        }

    every = set(range(-1, 6))
    old, new = declared(*before), declared(*after)
    breaking = bool((after[2] or every) - (before[2] or every))
    if None in before[:2] or None in after[:2] or (before[0] <= before[1] and after[0] <= after[1]):  # type: ignore[operator]
        breaking |= bool(takes(*after[:2]) - takes(*before[:2]))
        found = compare({"e": old}, {"e": new})
        assert any(change.level == "major" for one in found for change in one.changes) == breaking
