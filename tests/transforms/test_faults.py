"""All rows that cannot be mapped are found at once, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from tests.transforms import cases, oracle
from tests.transforms.batches import Change, batch
from tests.transforms.test_mapping_evaluation import ENTITIES, KUNDEN, kunde, mapping
from tests.transforms.test_random_expressions import EXPRESSIONS
from transforms.diagnose import Asked
from transforms.engine import Engine, EvaluationError
from transforms.errors import ExpressionError, RowError, RowFault
from transforms.expressions.translate import Place, source_columns, translate
from transforms.expressions.typed import Refusal, Typed, text
from transforms.model import Mapping
from transforms.preview import preview
from transforms.router import Router

ROWS = 30


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.close()


def faults_of(maps: Sequence[Mapping], changes: Sequence[Change]) -> tuple[RowFault, ...]:
    with Router([], maps, ENTITIES) as router, pytest.raises(RowError) as raised:
        router.route(batch(KUNDEN, changes), 0)
    assert raised.value.seq == raised.value.faults[0].seq
    assert raised.value.faults[0].problem in str(raised.value)
    return raised.value.faults


def causes(found: Sequence[RowFault]) -> list[tuple[int, str, str, str]]:
    return [(fault.seq, fault.mapping, fault.field, fault.reason) for fault in found]


MONEY: dict[str, Any] = {"name": "name1", "credit": "name2::numeric(12,2)"}


def test_all_rows_of_all_mappings() -> None:
    first = mapping(fields=MONEY, where="10 / mandant > 0")
    second = mapping(mapping="other", into="other", where="mandant = 2")
    changes = [
        Change("c", kunde(0, name2="1")),
        Change("c", kunde(1, name2="x")),
        Change("c", kunde(2, name1=None)),
        Change("c", kunde(3, mandant="0")),
        Change("c", kunde(4, mandant="20", name2="x")),
        Change("c", kunde(5, mandant="2", kz="Z", name2="1e3", name1=None)),
        Change("u", kunde(6, name2="1"), unsent=("kredit",)),
    ]
    found = faults_of([first, second], changes)
    assert causes(found) == [
        (1, "erp_customer", "credit", "malformed"),
        (2, "erp_customer", "name", "required"),
        (3, "erp_customer", "where", "zero"),
        (5, "erp_customer", "name", "required"),
        (5, "erp_customer", "credit", "malformed"),
        (5, "other", "name", "required"),
        (5, "other", "status", "unlisted"),
    ]
    bad = {fault.seq for fault in found}
    rest = [change for at, change in enumerate(changes) if at not in bad]
    with Router([], [first, second], ENTITIES) as router:
        assert sum(rows.rows for rows in router.route(batch(KUNDEN, rest), 0)) > 0
    assert not any("1e3" in fault.problem + fault.fix for fault in found)


def test_values_that_were_not_sent() -> None:
    changes = [
        Change("c", kunde(0)),
        Change("u", kunde(1), unsent=("name1",)),
        Change("u", kunde(2), unsent=("name1", "name2")),
        Change("u", kunde(3), unsent=("name2",)),
        Change("u", kunde(4, kz="Z"), unsent=("name1", "name2")),
    ]
    assert causes(faults_of([mapping()], changes)) == [
        (1, "erp_customer", "name", "unsent"),
        (3, "erp_customer", "name", "unsent"),
        (4, "erp_customer", "status", "unlisted"),
    ]


def test_deletes_without_their_old_row() -> None:
    changes = [Change("d", None, {"id": "1"}), Change("d"), Change("c", kunde(2, kz="Z"))]
    assert causes(faults_of([mapping()], changes)) == [
        (1, "erp_customer", "key", "unsent"),
        (2, "erp_customer", "status", "unlisted"),
    ]


def test_an_error_that_is_of_no_single_row_has_no_faults() -> None:
    with (
        Router([], [mapping(on_delete={"soft": "gone"})], ENTITIES) as router,
        pytest.raises(RowError) as raised,
    ):
        router.route(batch(KUNDEN, [Change("c", kunde(1)), Change("t")]), 0)
    assert raised.value.faults == ()


def test_many_at_once_have_the_reasons_they_have_alone() -> None:
    bad = ["x", "12345678901.00", None, "1", "-", "99999999999.999"]
    changes = [Change("c", kunde(n, name2=bad[n % len(bad)])) for n in range(3000)]
    found = faults_of([mapping(fields=MONEY)], changes)
    reasons = {0: "malformed", 1: "otherwise", 4: "malformed", 5: "otherwise"}
    assert causes(found) == [
        (n, "erp_customer", "credit", reasons[n % 6]) for n in range(3000) if n % 6 in reasons
    ]
    (shown,) = preview(mapping(fields=MONEY), ENTITIES, batch(KUNDEN, changes))
    assert shown.count("failed") == 2000
    assert sum(shown.failures.values()) == 2000


def test_few_of_many_are_asked_for_their_reason_one_by_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(engine, "((CAST(c0 AS INTEGER) * CAST(c0 AS INTEGER)) IS NOT NULL)", [0])
    runs: list[str] = []
    select = Asked.select

    def counted(self: Asked, test: str, *rest: Any) -> Any:
        runs.append(test)
        return select(self, test, *rest)

    monkeypatch.setattr(Asked, "select", counted)
    _, found = asked.run({0: pa.array(["2000000000"] * 5000)}, np.arange(5000))
    assert len(found) == 5000
    assert set(found.values()) == {"overflow", "otherwise"}
    assert len(runs) < 100


_TABLE = oracle.schema()
_COLUMNS = source_columns(_TABLE)
_ALL = [[str(at), *row] for at, row in enumerate(oracle.edges())]
_SOURCE = {
    at: pa.array(column[:ROWS], pa.string()) for at, column in enumerate(zip(*_ALL, strict=True))
}


def _as_alone(engine: Engine, expression: str) -> None:
    """Which rows fail, and why, is the same for all of them at once as for each of them alone."""
    typed = translate(expression, Place("test", ("fields", "x")), _COLUMNS).typed
    try:
        test = f"(({_sql(typed)}) IS NOT NULL)"
    except Refusal:
        return
    reads = [at for at, column in enumerate(_TABLE.columns) if column.name in typed.reads]
    asked = Asked(engine, test, reads)
    alone: dict[int, str] = {}
    for row in range(ROWS):
        try:
            asked.select(test, _SOURCE, np.array([row]))
        except EvaluationError as error:
            alone[row] = error.reason
    _, found = asked.run(_SOURCE, np.arange(ROWS))
    assert found.keys() == alone.keys()
    if len(set(found.values()) | set(alone.values())) == 1:
        assert found == alone


def _sql(typed: Typed) -> str:
    return typed.fix(30, 4) if typed.fix is not None else text(typed)


_CASES: dict[str, Sequence[str]] = {
    **cases.FUNCTIONS,
    "operators": cases.OPERATORS,
    "moves": cases.MOVES[::4],
    "matches": cases.MATCHES,
    "comparisons": cases.COMPARISONS[::6],
    "logic": cases.LOGIC,
    "casts": cases.CASTS,
    "strict casts": cases.STRICT,
}


@pytest.mark.parametrize("function", _CASES)
def test_whatever_we_compile_fails_in_a_set_as_it_fails_alone(
    engine: Engine, function: str
) -> None:
    for expression in _CASES[function]:
        _as_alone(engine, expression)


@pytest.mark.parametrize("kind", EXPRESSIONS)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_random_expressions_fail_in_a_set_as_they_fail_alone(
    engine: Engine, kind: str, data: st.DataObject
) -> None:
    expression = data.draw(EXPRESSIONS[kind])
    note(expression)
    try:
        _as_alone(engine, expression)
    except (ExpressionError, Refusal):
        assume(False)
