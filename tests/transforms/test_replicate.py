"""Tables copied as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from cdc.schema import TableName, TableSchema
from tailrace.errors import TransformError
from tests.transforms.batches import Change, batch, shown, table
from transforms.errors import RowError
from transforms.model import Replicate
from transforms.replicate import target_type
from transforms.router import Router
from transforms.rows import RowChanges
from transforms.rules import rule_for

ORDERS = table(
    "sales.orders", {"id": "integer", "note": "text", "state": "text|sales.state"}, ["id"]
)
PAIRS = table("sales.pairs", {"a": "text", "b": "text", "c": "text"}, ["b", "a"], full=True)


def rule(*tables: str, into: str = "{schema}.{table}", existing: str = "refuse") -> Replicate:
    return Replicate.model_validate({"tables": list(tables), "into": into, "existing": existing})


@pytest.fixture
def router() -> Iterator[Router]:
    with Router([rule("sales.*", into="copy.{table}_of_{schema}")], [], {}) as found:
        yield found


def out(router: Router, changes: Sequence[Change], schema: TableSchema = ORDERS) -> list[str]:
    return [line for rows in router.route(batch(schema, changes), 10) for line in shown(rows)]


def test_the_first_rule_that_matches_counts() -> None:
    rules = [rule("sales.o*", into="a"), rule("*.*", into="b")]
    for name, into in (("sales.orders", "a"), ("crm.orders", "b"), ("sales.x", "b")):
        schema, _, short = name.partition(".")
        found = rule_for(TableName(schema, short), rules)
        assert found is not None
        assert found.into == into
    assert rule_for(TableName("other", "t"), [rule("sales.*")]) is None
    assert rule_for(TableName("sales", "T"), [rule("sales.t")]) is None


@pytest.mark.parametrize(
    ("type_", "base", "wanted"),
    [
        ("numeric(12,2)", "numeric", "numeric(12,2)"),
        (
            "timestamp(3) without time zone",
            "timestamp without time zone",
            "timestamp(3) without time zone",
        ),
        ("character varying(10)", "character varying", "character varying(10)"),
        ("sales.state", "text", "text"),
        ("sales.money", "numeric", "numeric"),
        ("integer[]", "integer[]", "integer[]"),
        ("inet", "inet", "inet"),
    ],
)
def test_types_of_the_source_s_own_making_become_their_base(
    type_: str, base: str, wanted: str
) -> None:
    assert target_type(type_, base) == wanted


def test_the_target_is_the_same_table(router: Router) -> None:
    (target,) = router.target_tables(ORDERS)
    assert str(target.table) == "copy.orders_of_sales"
    assert [(c.name, c.type, c.nullable) for c in target.columns] == [
        ("id", "integer", False),
        ("note", "text", True),
        ("state", "text", True),
    ]
    assert target.key == ("id",)


def test_each_operation(router: Router) -> None:
    row = {"id": "1", "note": "a", "state": "open"}
    assert out(
        router,
        [
            Change("c", row),
            Change("u", row | {"note": None}),
            Change("u", row, {"id": "7"}),
            Change("d", None, {"id": "1"}),
            Change("u", row | {"note": None}, unsent=("note",)),
            Change("t"),
        ],
    ) == [
        "u@10 id=1 note=a state=open",
        "u@11 id=1 note=NULL state=open",
        "u@12 id=1 note=a state=open (was 7)",
        "d@13 id=1",
        "u@14 id=1 state=open",
        "t@15",
    ]
    assert router.take_counts() == {
        ("sales.orders", "copy.orders_of_sales"): {"received": 6, "filtered": 0, "emitted": 6}
    }
    assert router.take_counts() == {}


def test_values_are_passed_on_without_a_copy(router: Router) -> None:
    changes = batch(
        ORDERS, [Change("c", {"id": str(n), "note": "x", "state": "y"}) for n in range(9)]
    )
    (rows,) = router.route(changes, 0)
    assert all(ours is theirs for ours, theirs in zip(rows.values, changes.new, strict=True))
    assert rows.fresh
    assert rows.old_key is None
    assert not rows.unsent


def test_a_snapshot_s_truncate_stands_apart_from_its_fresh_rows(router: Router) -> None:
    changes = [Change("t"), Change("r", {"id": "1"}), Change("r", {"id": "2"})]
    found: list[RowChanges] = router.route(batch(ORDERS, changes), 0)
    assert [rows.fresh for rows in found] == [False, True]
    assert [rows.rows for rows in found] == [1, 2]


def test_a_key_of_several_columns_with_the_whole_old_row(router: Router) -> None:
    before = {"a": "x", "b": "y", "c": "1"}
    assert out(
        router,
        [
            Change("u", before | {"c": "2"}, before, whole=True),
            Change("u", before | {"a": "z"}, before, whole=True),
            Change("d", None, before, whole=True),
        ],
        PAIRS,
    ) == ["u@10 a=x b=y c=2", "u@11 a=z b=y c=1 (was y, x)", "d@12 a=x b=y"]


def test_a_large_key_comes_from_the_old_row(router: Router) -> None:
    change = Change("u", {"a": "x", "b": None, "c": "1"}, {"a": "x", "b": "y"}, unsent=("b",))
    assert out(router, [change], PAIRS) == ["u@10 a=x b=y c=1"]
    with pytest.raises(RowError, match="does not carry b"):
        out(router, [Change("u", {"a": "x", "b": None}, unsent=("b",))], PAIRS)


def test_a_delete_without_key_is_an_error(router: Router) -> None:
    with pytest.raises(RowError, match="does not carry id") as raised:
        out(router, [Change("c", {"id": "1"}), Change("d")])
    assert raised.value.seq == 1


def test_a_table_without_key_is_an_error(router: Router) -> None:
    with pytest.raises(TransformError, match="tells apart"):
        router.target_tables(table("sales.log", {"line": "text"}, []))


def test_kept_rows_are_never_cleared() -> None:
    with Router([rule("*.*", existing="keep")], [], {}) as router:
        assert not router.can_clear
        assert out(router, [Change("c", {"id": "1"})]) == ["u@10 id=1 note=NULL state=NULL"]
        with pytest.raises(RowError, match="TRUNCATE"):
            out(router, [Change("t")])
    with Router([rule("*.*")], [], {}) as router:
        assert router.can_clear
