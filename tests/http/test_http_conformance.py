"""The conformance suite of all sinks, as far as it holds for a target that takes nothing back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sinks import conformance
from sinks.conformance import CASES, Harness, Row
from sinks.http.settings import HttpTarget
from sinks.http.sink import HttpSink
from sinks.protocol import Sink, Written
from tests.http_api import HttpApi
from tests.httprig import FAST, Origins
from transforms.rows import RowChanges, TargetTable

ONLY_WITH_A_TRANSACTION = {
    "a_rollback_leaves_nothing",
    "what_is_not_committed_is_not_there",
    "several_writes_make_one_transaction",
    "a_refused_row_leaves_the_transaction_as_it_was",
    "the_checkpoint_never_goes_back",
}
ONLY_WHERE_THE_CHECKPOINT_IS_SHARED = {  # here a lock lets one process at a time have it
    "another_journal_is_refused",
    "the_older_process_is_fenced",
    "a_take_over_ends_a_long_transaction_of_the_older",
    "a_fenced_process_stays_out",
}
ONLY_WITH_TABLES = {
    "a_clear_is_a_barrier",
    "every_clear_is_counted",
    "a_table_changes_its_shape",
    "a_value_that_does_not_convert_is_refused",
    "what_is_no_row_is_refused_as_such",
    "a_table_that_has_vanished_is_not_made_anew",
    "rows_of_others_are_not_touched",
    "a_missing_column_is_named",
    "unique_values_are_kept_so",
    "two_keys_are_swapped_with_values_not_sent",  # parked: a move needs the whole row
    "a_large_batch",  # the bench does that
}
HERE = [
    case
    for case in CASES
    if case.__module__ == conformance.__name__
    and case.__name__
    not in ONLY_WITH_A_TRANSACTION | ONLY_WHERE_THE_CHECKPOINT_IS_SHARED | ONLY_WITH_TABLES
]


class _Delivered(HttpSink):
    """Each write is one journal entry, as delivery would have it."""

    entry = 0

    def write(self, changes: Sequence[RowChanges]) -> dict[str, Written]:
        self.entry += 1
        origins = Origins(self.entry)
        return super().write([replace(one, origins=origins) for one in changes])


class ApiHarness:
    def __init__(self, api: HttpApi, directory: Path, root: str) -> None:
        self._api = api
        self._directory = directory
        self._root = root
        self._sinks: list[_Delivered] = []
        single = {"put": {"url": "/item/{id}"}, "delete": {"url": "/item/{id}"}}
        pair = {"put": {"url": "/pair/{a}/{b}"}, "delete": {"url": "/pair/{a}/{b}"}}
        self._target = HttpTarget.model_validate(
            {
                "type": "http",
                "url": api.url + root,
                "reach": {"plain": "true", "private": ["127.0.0.1"]},
                "retries": FAST,
                "entities": {
                    "item": {**single, "update": {"url": "/item/{id}"}},
                    "pair": pair,
                },
            }
        )

    def sink(self, pipeline: str = "line") -> Sink:
        for other in self._sinks:
            other.close()
        made = _Delivered(
            self._target, f"{self._root}{pipeline}", self._directory / f"{pipeline}.db"
        )
        made.entry = max((other.entry for other in self._sinks), default=0)
        self._sinks.append(made)
        return made

    def rows(self, table: TargetTable) -> set[Row]:
        prefix = f"{self._root}/{table.table.name}/"
        records = self._api.state["records"]
        return {
            tuple(_text(column.type, record.get(column.name)) for column in table.columns)
            for path, record in records.items()
            if path.startswith(prefix)
        }

    def insert(self, table: TargetTable, rows: Sequence[Row]) -> None:
        raise NotImplementedError("an API cannot be asked what it holds")

    def drop(self, table: TargetTable) -> None:
        raise NotImplementedError("an API has no tables")

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def _text(type_: str, value: Any) -> str | None:
    if value is None:
        return None
    return f"{Decimal(value):.2f}" if type_.startswith("numeric") else str(value)


@pytest.fixture
def harness(api: HttpApi, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ApiHarness]:
    made = ApiHarness(api, tmp_path, f"/c_{request.node.callspec.id}")
    yield made
    made.close()


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.__name__)
def test_conformance(case: Callable[[Harness], None], harness: ApiHarness) -> None:
    case(harness)


def test_what_is_left_out_is_there() -> None:
    left_out = ONLY_WITH_A_TRANSACTION | ONLY_WHERE_THE_CHECKPOINT_IS_SHARED | ONLY_WITH_TABLES
    assert left_out <= {case.__name__ for case in CASES}
