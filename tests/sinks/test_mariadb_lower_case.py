"""A server that ignores case in the names of tables (lower_case_table_names = 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

import sinks.mysql.sink as module
from cdc.schema import TableName
from sinks.conformance import CASES, JOURNAL, TABLE, Harness, apply, changes, delete, opened, upsert
from sinks.mysql.preflight import inspect
from sinks.mysql.settings import MariadbTarget
from tailrace.errors import TargetRefused
from tailrace.service.localmaria import LocalMariadb, binary
from tests.conftest import open_directory
from tests.sinks.maria_harness import MariadbHarness
from transforms.rows import TargetColumn, TargetTable

ITEM = TargetTable(TableName("Shop", "Ärger"), TABLE.columns, TABLE.key)
SAME = TargetTable(TableName("shop", "äRGER"), TABLE.columns, TABLE.key)
CHILD = TargetTable(
    TableName("Shop", "Child"),
    (TargetColumn("id", "integer", nullable=False), TargetColumn("item_id", "integer")),
    ("id",),
)


@pytest.fixture(scope="module")
def ignoring() -> Iterator[LocalMariadb]:
    if binary() is None:
        pytest.skip("MariaDB is not installed (apt install mariadb-server)")
    with (
        open_directory() as directory,
        LocalMariadb.start(directory / "maria", settings={"lower_case_table_names": "1"}) as server,
    ):
        yield server


@pytest.fixture
def lower(ignoring: LocalMariadb, monkeypatch: pytest.MonkeyPatch) -> Iterator[MariadbHarness]:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 0)
    harness = MariadbHarness(ignoring)
    yield harness
    harness.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_conformance(case: Callable[[Harness], None], lower: MariadbHarness) -> None:
    case(lower)


def test_two_names_of_one_table_are_refused(lower: MariadbHarness) -> None:
    sink = opened(lower, ITEM)
    apply(sink, 1, changes(ITEM, upsert("1", "a", "1")))
    with pytest.raises(TargetRefused, match=r"is the same as Shop\.Ärger") as raised:
        sink.prepare([SAME])
    assert "into" in (raised.value.fix or "")
    sink.close()
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match=r"is the same as Shop\.Ärger"):
        sink.prepare([SAME])


def test_check_finds_two_names_of_one_table(lower: MariadbHarness) -> None:
    target = MariadbTarget(type="mariadb", url=lower.url)
    assert inspect(target, [ITEM, CHILD], ["line"]) == []
    (finding,) = inspect(target, [ITEM, CHILD, SAME], ["line"])
    assert (finding.severity, finding.where) == ("error", "shop.äRGER")


def test_rights_are_compared_by_the_servers_rule(lower: MariadbHarness) -> None:
    lower.execute(
        "create or replace user looker",
        *(f"grant {one} to looker" for one in ("references on *.*", "all on tailrace.*")),
        "grant all on Shop.* to looker",
    )
    url = lower.url.replace("root@", "looker@")
    assert inspect(MariadbTarget(type="mariadb", url=url), [ITEM], ["line"]) == []
    lower.execute("drop user looker")


def test_foreign_keys_are_seen(lower: MariadbHarness) -> None:
    sink = opened(lower, CHILD, ITEM)
    lower.execute(
        "alter table Shop.Child add foreign key (item_id) references Shop.`Ärger` (id)"
        " on delete cascade"
    )
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([CHILD, ITEM])
    references = sink.references  # type: ignore[attr-defined]
    assert references.parents_first == (ITEM.table, CHILD.table)
    assert references.cascading == {ITEM.table}
    apply(sink, 1, changes(CHILD, upsert("1", "1"), first=5), changes(ITEM, upsert("1", "a", "1")))
    apply(
        sink,
        2,
        changes(ITEM, upsert("7", "a", "1"), first=0),
        changes(CHILD, upsert("1", "7"), first=1),
        changes(ITEM, delete("1", None, None), first=2),
    )
    assert lower.rows(CHILD) == {("1", "7")}
