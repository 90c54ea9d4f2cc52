"""Order per key, merge patches and templates, held against simple models."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.http.lanes import Lanes, Place
from sinks.http.patching import Inexpressible, merge_patch
from sinks.http.templates import Body, Given, Text, Unfit, in_path

ITEMS = st.lists(
    st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=2), st.sampled_from([None, "b"])),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(ITEMS, st.integers(0, 10_000), st.sets(st.integers(0, 59), max_size=5))
def test_no_item_goes_before_one_of_its_keys(
    items: list[tuple[list[int], str | None]], seed: int, failing: set[int]
) -> None:
    """Whatever ends first. What failed blocks exactly those behind it, directly or through others
    that it blocks."""
    rng = random.Random(seed)
    lanes: Lanes[int] = Lanes()
    added = 0
    going: list[Place[int]] = []
    done: list[int] = []
    failed: set[int] = set()

    def end(place: Place[int]) -> None:
        if place.item in failing:
            failed.add(place.item)
            lanes.fail(place)
        else:
            done.append(place.item)
            lanes.finish(place)

    while added < len(items) or going:
        if added < len(items) and (rng.random() < 0.5 or not going):
            lanes.add(added, items[added][0], items[added][1])
            added += 1
        for place in lanes.take(lambda group: 1 if group is None else 3):
            earlier = [
                other for other in range(place.item) if set(items[other][0]) & set(place.lanes)
            ]
            assert set(earlier) <= set(done)
            going.append(place)
        if going and rng.random() < 0.6:
            end(going.pop(rng.randrange(len(going))))
    while places := lanes.take():
        for place in places:
            end(place)
    blocked: set[int] = set()
    for at, (keys, _) in enumerate(items):
        if any(
            other in failed | blocked and set(items[other][0]) & set(keys) for other in range(at)
        ):
            blocked.add(at)
    assert set(done) == set(range(len(items))) - failed - blocked
    assert lanes.held == 0


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=10,
)


def merged(document: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_makes_what_is_after(before: Any, after: Any) -> None:
    try:
        patch = merge_patch(json.dumps(before), json.dumps(after), known=True)
    except Inexpressible:
        assert "null" in json.dumps(after)
        return
    if after is not None:
        assert merged(before, json.loads(patch)) == after


def test_numbers_in_a_patch_stay_as_they_are_written() -> None:
    assert (
        merge_patch('{"a": 1.0}', '{"a": 1.00, "b": 1e400}', known=True) == '{"a":1.00,"b":1e400}'
    )


GIVEN = Given({"id": "a/b", "none": None}, {"id": '"a/b"', "none": "null", "row": '{"x":1}'})


@pytest.mark.parametrize(
    ("text", "filled"),
    [("/x/{id}", "/x/a%2Fb"), ("/{{x}}/{id}?y={id}", "/{x}/a%2Fb?y=a%2Fb"), ("/x", "/x")],
)
def test_a_url(text: str, filled: str) -> None:
    assert Text(text).filled(GIVEN, in_path) == filled


@pytest.mark.parametrize("text", ["/{", "/}", "/{a{b}}", "/{}"])
def test_a_brace_without_another(text: str) -> None:
    with pytest.raises(ValueError, match="brace"):
        Text(text)


def test_a_url_needs_its_values() -> None:
    for text in ("/{none}", "/{absent}"):
        with pytest.raises(Unfit, match="has no value"):
            Text(text).filled(GIVEN, in_path)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ('{"a": "{id}", "b": 1.5, "c": null, "d": [true, "{row}"]}', None),
        ('{"a": "{absent}", "b": "x {id}"}', '{"b":"x a/b"}'),
        ('"{none}"', "null"),
        ('"{absent}"', "{}"),
        ('{"{id}": 1}', '{"{id}":1}'),
    ],
)
def test_a_body(text: str, filled: str | None) -> None:
    wanted = filled or '{"a":"a/b","b":1.5,"c":null,"d":[true,{"x":1}]}'
    assert Body(text).filled(GIVEN) == wanted
