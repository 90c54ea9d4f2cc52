"""What a mapping makes of changes: the table in `transforms.evaluate`, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from cdc.changes import TableChanges
from cdc.schema import TableSchema
from tailrace.errors import TransformError
from tests.transforms.batches import Change, batch, shown, table
from transforms.entity import Entity
from transforms.errors import RowError
from transforms.model import Mapping
from transforms.router import Router
from transforms.rows import CLEAR, RowChanges

CUSTOMER = Entity.model_validate(
    {
        "entity": "customer",
        "key": ["no"],
        "fields": {
            "no": {"type": "text", "required": "true"},
            "name": {"type": "text", "required": "true"},
            "status": {"type": "text"},
            "credit": {"type": "decimal(12,2)"},
            "gone": {"type": "boolean"},
        },
    }
)
PRICE = Entity.model_validate(
    {
        "entity": "price",
        "key": ["article"],
        "fields": {"article": {"type": "text"}, "text": {"type": "text"}},
    }
)
ENTITIES = {"customer": CUSTOMER, "price": PRICE}

KUNDEN = table(
    "sales.kunden",
    {
        "id": "integer",
        "name1": "text",
        "name2": "text",
        "kz": "character(3)",
        "kredit": "numeric(10,2)",
        "mandant": "integer",
    },
    ["id"],
)
KUNDEN_FULL = table(
    "sales.kunden",
    {c.name: c.type for c in KUNDEN.columns},
    ["id"],
    full=True,
)
TEXTE = table(
    "sales.texte",
    {"artikel": "text", "sprache": "character(2)", "text": "text"},
    ["artikel", "sprache"],
)


def mapping(**changes: Any) -> Mapping:
    declared: dict[str, Any] = {
        "mapping": "erp_customer",
        "entity": "customer",
        "table": "sales.kunden",
        "key": {"no": "'E-' || id"},
        "fields": {
            "name": "trim(name1 || ' ' || coalesce(name2, ''))",
            "status": {"from": "kz", "values": {"A": "active", "S": "blocked"}},
            "credit": "kredit",
        },
    }
    declared.update(changes)
    return Mapping.model_validate({k: v for k, v in declared.items() if v is not None})


def kunde(number: int, **changes: str | None) -> dict[str, str | None]:
    row: dict[str, str | None] = {
        "id": str(number),
        "name1": "Anna",
        "name2": None,
        "kz": "A  ",
        "kredit": "1.50",
        "mandant": "1",
    }
    return row | changes


class Run:
    """Routes changes through mappings and shows what came out."""

    def __init__(self) -> None:
        self.router: Router | None = None

    def rows(
        self,
        maps: Mapping | Sequence[Mapping],
        changes: Sequence[Change],
        schema: TableSchema = KUNDEN,
    ) -> list[RowChanges]:
        self.close()
        maps = [maps] if isinstance(maps, Mapping) else maps
        self.router = Router([], maps, ENTITIES)
        return self.router.route(batch(schema, changes), 100)

    def __call__(
        self,
        maps: Mapping | Sequence[Mapping],
        changes: Sequence[Change],
        schema: TableSchema = KUNDEN,
    ) -> list[str]:
        return [line for rows in self.rows(maps, changes, schema) for line in shown(rows)]

    def counts(self) -> dict[str, int]:
        assert self.router is not None
        (counts,) = self.router.take_counts().values()
        return counts

    def close(self) -> None:
        if self.router is not None:
            self.router.close()


@pytest.fixture
def run() -> Iterator[Run]:
    runner = Run()
    yield runner
    runner.close()


def test_inserts_and_snapshot_rows_are_fresh_upserts(run: Run) -> None:
    (rows,) = run.rows(
        mapping(), [Change("r", kunde(1)), Change("c", kunde(2, name2="B", kz="S  "))]
    )
    assert shown(rows) == [
        "u@100 no=E-1 name=Anna status=active credit=1.50",
        "u@101 no=E-2 name=Anna B status=blocked credit=1.50",
    ]
    assert rows.fresh
    assert rows.source == "sales.kunden"


def test_updates_are_not_fresh_and_key_changes_carry_the_old_key(run: Run) -> None:
    (rows,) = run.rows(
        mapping(),
        [Change("u", kunde(1)), Change("u", kunde(2), {"id": "9"}), Change("d", None, {"id": "4"})],
    )
    assert not rows.fresh
    assert shown(rows) == [
        "u@100 no=E-1 name=Anna status=active credit=1.50",
        "u@101 no=E-2 name=Anna status=active credit=1.50 (was E-9)",
        "d@102 no=E-4",
    ]


def test_full_identity_without_key_change_has_no_old_key(run: Run) -> None:
    change = Change("u", kunde(1, kredit="2.00"), kunde(1), whole=True)
    (rows,) = run.rows(mapping(), [change], KUNDEN_FULL)
    assert rows.old_key is None


def test_a_row_that_leaves_the_filter_is_removed(run: Run) -> None:
    out = run(
        mapping(where="mandant = 1"),
        [
            Change("c", kunde(1, mandant="2")),
            Change("u", kunde(2, mandant="2")),
            Change("u", kunde(3, mandant="2"), {"id": "9"}),
            Change("u", kunde(4), {"id": "8"}),
            Change("d", None, {"id": "5"}),
            Change("c", kunde(6)),
        ],
    )
    assert out == [
        "d@101 no=E-2",
        "d@102 no=E-9",
        "u@103 no=E-4 name=Anna status=active credit=1.50 (was E-8)",
        "d@104 no=E-5",
        "u@105 no=E-6 name=Anna status=active credit=1.50",
    ]
    assert run.counts() == {"received": 6, "filtered": 1, "emitted": 5}


def texte(**changes: Any) -> Mapping:
    declared: dict[str, Any] = {
        "mapping": "texts",
        "entity": "price",
        "table": "sales.texte",
        "key": {"article": "artikel"},
        "fields": {"text": "text"},
        "where": "sprache = 'DE'",
    }
    return Mapping.model_validate(declared | changes)


def test_an_edit_in_another_language_removes_nothing(run: Run) -> None:
    out = run(
        texte(),
        [
            Change("u", {"artikel": "a", "sprache": "EN", "text": "x"}),
            Change("d", None, {"artikel": "a", "sprache": "EN"}),
            Change("u", {"artikel": "a", "sprache": "DE", "text": "y"}),
            Change("d", None, {"artikel": "b", "sprache": "DE"}),
        ],
        TEXTE,
    )
    assert out == ["u@102 article=a text=y", "d@103 article=b"]


def test_a_row_that_moves_between_languages(run: Run) -> None:
    out = run(
        texte(),
        [
            Change(
                "u",
                {"artikel": "a", "sprache": "EN", "text": "x"},
                {"artikel": "a", "sprache": "DE"},
            ),
            Change(
                "u",
                {"artikel": "b", "sprache": "DE", "text": "x"},
                {"artikel": "b", "sprache": "EN"},
            ),
            Change(
                "u",
                {"artikel": "c", "sprache": "DE", "text": "x"},
                {"artikel": "d", "sprache": "DE"},
            ),
            Change(
                "u",
                {"artikel": "e", "sprache": "FR", "text": "x"},
                {"artikel": "e", "sprache": "EN"},
            ),
        ],
        TEXTE,
    )
    assert out == ["d@100 article=a", "u@101 article=b text=x", "u@102 article=c text=x (was d)"]


def test_the_rest_of_a_filter_removes_only_what_was_ours(run: Run) -> None:
    out = run(
        texte(where="sprache = 'DE' and text <> ''"),
        [
            Change("u", {"artikel": "a", "sprache": "EN", "text": ""}),
            Change("u", {"artikel": "a", "sprache": "DE", "text": ""}),
        ],
        TEXTE,
    )
    assert out == ["d@101 article=a"]


def test_on_delete(run: Run) -> None:
    changes = [Change("c", kunde(1)), Change("d", None, {"id": "4"})]
    put = "u@100 no=E-1 name=Anna status=active credit=1.50"
    assert run(mapping(on_delete="ignore"), changes) == [put]
    assert run.counts() == {"received": 2, "filtered": 1, "emitted": 1}
    assert run(mapping(on_delete={"soft": "gone"}), changes) == [
        put + " gone=f",
        "p@101 no=E-4 gone=t",
    ]
    fields = {"credit": "kredit", "status": {"value": "x"}}
    assert run(mapping(on_delete="set_null", fields=fields), changes) == [
        "u@100 no=E-1 status=x credit=1.50",
        "p@101 no=E-4 status=NULL credit=NULL",
    ]


def test_truncate_clears_and_leaves_the_snapshot_fresh(run: Run) -> None:
    clear, rows = run.rows(mapping(), [Change("t"), Change("r", kunde(1))])
    assert clear.op.to_pylist() == [CLEAR]
    assert rows.fresh
    assert run(mapping(), [Change("c", kunde(1)), Change("t"), Change("c", kunde(2))]) == [
        "u@100 no=E-1 name=Anna status=active credit=1.50",
        "t@101",
        "u@102 no=E-2 name=Anna status=active credit=1.50",
    ]
    assert run(mapping(on_delete="ignore"), [Change("t")]) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"on_delete": {"soft": "gone"}},
        {"existing": "keep"},
        {"on_delete": "set_null", "fields": {}},
    ],
)
def test_truncate_that_cannot_be_applied_is_an_error(run: Run, changes: dict[str, Any]) -> None:
    with pytest.raises(RowError, match="TRUNCATE"):
        run(mapping(**changes), [Change("c", kunde(1)), Change("t")])
    assert run.router is not None
    assert not run.router.can_clear


def test_truncate_of_a_target_with_two_writers_is_an_error(run: Run) -> None:
    other = mapping(mapping="crm", table="crm.kunden", key={"no": "'C-' || id"})
    with pytest.raises(RowError, match="other mappings write"):
        run([mapping(), other], [Change("t")])
    assert run.router is not None
    assert not run.router.can_clear


def test_not_sent_inputs(run: Run) -> None:
    out = run(
        mapping(),
        [
            Change("u", kunde(1), unsent=("name1", "name2")),
            Change("u", kunde(2)),
            Change("u", kunde(3), unsent=("kredit", "name2", "name1")),
        ],
    )
    assert out == [
        "u@100 no=E-1 status=active credit=1.50",
        "u@101 no=E-2 name=Anna status=active credit=1.50",
        "u@102 no=E-3 status=active",
    ]


def test_some_inputs_not_sent_is_an_error(run: Run) -> None:
    with pytest.raises(RowError, match="name1") as raised:
        run(mapping(), [Change("c", kunde(1)), Change("u", kunde(2), unsent=("name1",))])
    assert raised.value.seq == 1
    assert "REPLICA IDENTITY FULL" in str(raised.value)


def test_not_sent_in_a_filtered_row_does_not_matter(run: Run) -> None:
    out = run(mapping(where="mandant = 1"), [Change("u", kunde(1, mandant="2"), unsent=("name1",))])
    assert out == ["d@100 no=E-1"]


def test_a_filter_on_a_value_not_sent_is_an_error(run: Run) -> None:
    with pytest.raises(RowError, match="where"):
        run(mapping(where="name1 <> ''"), [Change("u", kunde(1), unsent=("name1",))])


def test_a_large_key_that_was_not_sent_again_comes_from_the_old_row(run: Run) -> None:
    change = Change(
        "u",
        {"artikel": None, "sprache": "DE", "text": "y"},
        {"artikel": "a", "sprache": "DE"},
        unsent=("artikel",),
    )
    assert run(texte(), [change], TEXTE) == ["u@100 article=a text=y"]


FAILURES = [
    (
        {"fields": {"name": {"value": "x"}, "credit": "name1::numeric(12,2)"}},
        {"name1": "12,5"},
        "credit",
    ),
    ({}, {"kz": "Q  "}, "status"),
    ({}, {"name1": None}, "name"),
    (
        {"fields": {"name": {"value": "x"}, "credit": "10 / (mandant - 2)"}},
        {"mandant": "2"},
        "credit",
    ),
    (
        {"fields": {"name": {"value": "x"}, "credit": "kredit * 999999"}},
        {"kredit": "99999999.00"},
        "credit",
    ),
    ({"where": "name1::int > 0", "fields": {"name": {"value": "x"}}}, {"name1": "one"}, "where"),
    (
        {"fields": {"name": "name1", "credit": "parse_decimal(name2, decimal => ',')"}},
        {"name2": "1.5"},
        "credit",
    ),
]


@pytest.mark.parametrize(("changes", "bad", "field"), FAILURES)
@pytest.mark.parametrize("rows", [5, 400])
def test_a_row_that_cannot_be_mapped_is_named(
    run: Run, changes: dict[str, Any], bad: dict[str, str | None], field: str, rows: int
) -> None:
    good = {"name1": "7"} if field in ("where", "credit") else {}
    batch_ = [Change("c", kunde(n, **good)) for n in range(rows)]
    at = rows * 2 // 3
    batch_[at] = Change("c", kunde(at, **{**good, **bad}))
    batch_[rows - 1] = Change("c", kunde(rows - 1, **{**good, **bad}))
    with pytest.raises(RowError) as raised:
        run(mapping(**changes), batch_)
    error = raised.value
    assert error.seq == at
    assert error.where["field"] == field
    assert error.where["key"] == "id"
    assert error.__cause__ is None
    assert error.__suppress_context__
    for value in bad.values():
        assert value is None or value not in str(error)


def test_required_may_be_satisfied_by_a_default(run: Run) -> None:
    fields = {
        "name": {"expr": "name2", "default": "unknown"},
        "credit": {"expr": "kredit * 2", "default": "0"},
    }
    out = run(mapping(fields=fields), [Change("c", kunde(1)), Change("c", kunde(2, kredit=None))])
    assert out == ["u@100 no=E-1 name=unknown credit=3.00", "u@101 no=E-2 name=unknown credit=0.00"]


def test_value_maps(run: Run) -> None:
    def status(rule: dict[str, Any], *codes: str | None) -> list[str]:
        fields = {"name": {"value": "x"}, "status": {"from": "nullif(trim(kz), 'N')", **rule}}
        out = run(mapping(fields=fields), [Change("c", kunde(1, kz=code)) for code in codes])
        return [line.partition("status=")[2] for line in out]

    values = {"A": "active", "null": "none", "": "empty", "X": "null"}
    assert status({"values": values}, "A  ", "   ", "N  ", "X  ", None) == [
        "active", "empty", "none", "NULL", "none"
    ]  # fmt: skip
    assert status({"values": {"A": "a"}, "otherwise": "null"}, "A  ", "Z  ", None) == [
        "a",
        "NULL",
        "NULL",
    ]
    assert status({"values": {"A": "a"}, "otherwise": {"value": "?"}}, "Z  ", None) == ["?", "?"]
    with pytest.raises(RowError, match="does not list"):
        status({"values": {"A": "a"}}, "A  ", None)


def test_rows_make_several_entities_of_one(run: Run) -> None:
    maps = Mapping.model_validate(
        {
            "mapping": "both",
            "table": "sales.kunden",
            "rows": [
                {
                    "name": "main",
                    "entity": "customer",
                    "key": {"no": "'E-' || id"},
                    "fields": {"name": "name1"},
                },
                {
                    "name": "price",
                    "entity": "price",
                    "key": {"article": "id::text"},
                    "fields": {"text": "kz"},
                    "where": "mandant = 2",
                    "into": "hub.prices",
                },
            ],
        }
    )
    first, second = run.rows(maps, [Change("c", kunde(1, mandant="2")), Change("c", kunde(2))])
    assert shown(first) == ["u@100 no=E-1 name=Anna", "u@101 no=E-2 name=Anna"]
    assert shown(second) == ["u@100 article=1 text=A"]
    assert str(second.table.table) == "hub.prices"


def split(name: str, code: str) -> Mapping:
    return mapping(mapping=name, where=f"kz = '{code}'", fields={"name": {"value": name}})


def test_a_row_that_moves_to_another_mapping_of_the_same_target_stays(run: Run) -> None:
    maps = [split("a", "A"), split("s", "S")]
    assert run(maps, [Change("u", kunde(1, kz="S  "))]) == ["u@100 no=E-1 name=s"]
    assert run(maps, [Change("u", kunde(1, kz="A  "))]) == ["u@100 no=E-1 name=a"]
    assert run(maps, [Change("u", kunde(1, kz="X  "))]) == ["d@100 no=E-1", "d@100 no=E-1"]
    assert sorted(run(maps, [Change("u", kunde(1, kz="S  "), {"id": "9"})])) == [
        "d@100 no=E-9", "u@100 no=E-1 name=s (was E-9)"
    ]  # fmt: skip


def test_only_the_columns_a_mapping_delivers_are_written(run: Run) -> None:
    partial = mapping(fields={"credit": "kredit"})
    (rows,) = run.rows(partial, [Change("c", kunde(1)), Change("c", kunde(2))])
    assert [column.name for column in rows.table.columns] == ["no", "credit"]
    assert rows.fresh
    assert not rows.unsent
    assert run.router is not None
    whole, part = run.router.target_tables(KUNDEN)
    assert part == rows.table
    assert [c.name for c in whole.columns] == ["no", "name", "status", "credit", "gone"]
    assert [c.name for c in whole.columns if not c.nullable] == ["no"]
    assert whole.table == part.table


def test_a_key_with_its_separator_in_it_is_an_error(run: Run) -> None:
    joined = texte(key={"article": "artikel || '/' || sprache"}, where="text is not null")
    rows = {"artikel": "a", "sprache": "DE", "text": "x"}
    assert run(joined, [Change("c", rows)], TEXTE) == ["u@100 article=a/DE text=x"]
    with pytest.raises(RowError, match="separator"):
        run(joined, [Change("d", None, {"artikel": "a/b", "sprache": "DE"})], TEXTE)


def test_a_changed_table_that_no_longer_fits_is_an_error(run: Run) -> None:
    changed = table("sales.kunden", {"id": "integer", "name1": "text"}, ["id"])
    with pytest.raises(TransformError, match="does not fit"):
        run(mapping(), [Change("c", {"id": "1", "name1": "x"})], changed)


def test_other_tables_go_nowhere(run: Run) -> None:
    other: TableChanges = batch(table("x.y", {"id": "integer"}, ["id"]), [Change("c", {"id": "1"})])
    run(mapping(), [Change("c", kunde(1))])
    assert run.router is not None
    assert run.router.target_tables(other.schema) == []
    assert run.router.route(other, 0) == []


def test_no_rows_make_no_changes(run: Run) -> None:
    assert run(mapping(where="mandant = 5"), [Change("c", kunde(1))]) == []
    assert run.counts() == {"received": 1, "filtered": 1, "emitted": 0}
