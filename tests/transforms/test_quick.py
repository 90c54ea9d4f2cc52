"""The fast way through a mapping gives what the careful way gives, and leaves it what it must."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.batches import Change, batch, shown, table
from transforms.engine import Statement
from transforms.entity import Entity
from transforms.errors import RowError
from transforms.model import Mapping as MappingModel
from transforms.quick import Quick
from transforms.router import Router

ROW = table(
    "s.t",
    {"id": "integer", "kind": "text", "text": "text", "amount": "numeric(10,2)", "day": "date"},
    ["id"],
)
ENTITY = Entity.model_validate(
    {
        "entity": "e",
        "key": ["no"],
        "fields": {
            "no": {"type": "text", "pattern": "E-[0-9]+"},
            "kind": {"type": "text", "required": "true", "pattern": "[a-z]+"},
            "source": {"type": "text", "one_of": ["CAST(c0 AS INTEGER)"]},
            "number": {"type": "integer", "range": {"min": "0"}},
            "twice": {"type": "integer"},
            "gross": {"type": "decimal(12,2)"},
            "amount": {"type": "decimal(10,2)"},
            "month": {"type": "text", "length": {"max": "7"}},
        },
        "checks": {
            "dearer": "gross >= amount",
            "special": "kind <> 'beta' or amount < 100",
        },
    }
)
KINDS = {"A": "alpha", "B": "beta", "C": "Gamma", "E": "epsilon"}
MAPPING = MappingModel.model_validate(
    {
        "mapping": "m",
        "entity": "e",
        "table": "s.t",
        "key": {"no": "'E-' || id"},
        "fields": {
            "kind": {"from": "kind", "values": KINDS},
            "source": {"value": "CAST(c0 AS INTEGER)"},
            "number": "case when text like 'n%' then substr(text, 2)::integer + id end",
            "twice": "case when kind = 'A' then text::integer when kind = 'B' then text::int end",
            "gross": "round(amount * 1.19, 2)",
            "amount": "coalesce(amount, 0)",
            "month": "to_char(day, 'YYYY-MM')",
        },
        "where": "id <> 7",
    }
)
GOOD: Mapping[str, str | None] = {
    "kind": "A",
    "text": "5",
    "amount": "10.00",
    "day": "2024-02-29",
}


@pytest.fixture(scope="module")
def router() -> Iterator[Router]:
    with Router([], [MAPPING], {"e": ENTITY}) as router:
        yield router


def outcome(router: Router, rows: list[Mapping[str, str | None]]) -> Any:
    """The rows that come of these, or all that is wrong with them."""
    changes = [Change("c", {**GOOD, "id": str(at), **row}) for at, row in enumerate(rows)]
    try:
        made = router.route(batch(ROW, changes), 0)
    except RowError as error:
        return error.what, error.where, error.seq, error.faults
    return [shown(one) for one in made]


ROWS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["A", "B", "C", "D", "E", None]),
        "text": st.sampled_from(["5", "n5", "n-50", "x", "99999999999", None]),
        "amount": st.sampled_from(["-1.00", "0.00", "100.00", "99999999.99", "NaN", None]),
        "day": st.sampled_from(["infinity", "12024-01-01", "0044-03-15 BC", None]),
    },
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=12))
def test_both_ways_give_the_same(router: Router, rows: list[Mapping[str, str | None]]) -> None:
    fast = outcome(router, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Quick, "tried", lambda *_: None)
        assert fast == outcome(router, rows)


def test_rows_that_are_well_take_two_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all but the rules over a value map that could give what breaks them."""
    with Router([], [MAPPING], {"e": ENTITY}) as router:
        outcome(router, [{}])
        ran: list[Statement] = []
        run = Statement.run

        def counted(self: Statement, *given: Any) -> Any:
            ran.append(self)
            return run(self, *given)

        monkeypatch.setattr(Statement, "run", counted)
        outcome(router, [{}, {"kind": "B"}])
    assert len(ran) == 2


def test_what_fails_out_of_turn_is_no_fault_and_is_not_tried_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A text that two branches cast, in a row that reaches neither."""
    runs = 0
    run = Quick.run

    def counted(self: Quick, *given: Any) -> Any:
        nonlocal runs
        runs += 1
        return run(self, *given)

    monkeypatch.setattr(Quick, "run", counted)
    with Router([], [MAPPING], {"e": ENTITY}) as router:
        for _ in range(20):
            assert len(outcome(router, [{}, {"kind": "E", "text": "x"}, {"kind": "B"}])) == 1
        assert runs < 10
        assert len(outcome(router, [{}])[0]) == 1
