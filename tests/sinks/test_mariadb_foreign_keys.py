"""Foreign keys at a MariaDB target, also those of tables on which our user has no rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import sinks.mysql.sink as module
from cdc.schema import TableName
from sinks.conformance import JOURNAL, TABLE, Change, apply, changes, delete, opened, upsert
from sinks.mysql.rights import Rights
from sinks.mysql.session import connect
from sinks.mysql.sink import MariadbSink
from tailrace.errors import TargetRefused
from tests.sinks.maria_harness import MariadbHarness
from transforms.rows import UPSERT, TargetColumn, TargetTable


@pytest.fixture(params=["sets", "in_order"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SINGLY_ROWS_MAX", 10**6 if request.param == "in_order" else 0)


CHILD = TargetTable(
    TableName("shop", "child"),
    (TargetColumn("id", "integer", nullable=False), TargetColumn("other_id", "integer")),
    ("id",),
)
FEW_RIGHTS = (
    "all on tailrace.*",
    "select, insert, update, delete on shop.item",
    "select, insert, update, delete on shop.child",
)


@pytest.fixture
def weak(maria_harness: MariadbHarness) -> Iterator[MariadbSink]:
    """A user without rights on what else is at the server. The database `others` is somebody's."""
    opened(maria_harness, TABLE, CHILD)
    maria_harness.execute("create database others")
    maria_harness.make_user("weak", *FEW_RIGHTS)
    sink = MariadbSink(maria_harness.server.url("weak"), "line", product=maria_harness.product)
    yield sink
    sink.close()
    maria_harness.execute("drop user weak", "set foreign_key_checks = 0", "drop database others")


def theirs(harness: MariadbHarness, actions: str) -> None:
    """A table of somebody else's which refers to ours, with ten rows each."""
    sink = opened(harness)
    apply(sink, 1, changes(TABLE, *(upsert(str(n), "a", "1") for n in range(10))))
    sink.close()
    harness.execute(
        "create table others.note (id int primary key, item_id int,"
        f" foreign key (item_id) references shop.item (id) {actions})",
        f"insert into others.note values {', '.join(f'({n}, {n})' for n in range(10))}",
    )


def moves() -> list[Change]:
    """Each row leaves its key, and one comes that stays."""
    return [(UPSERT, (str(n + 100), "b", "2"), (str(n),)) for n in range(10)] + [
        upsert("7000", "new", "3")
    ]


def notes(harness: MariadbHarness) -> list[tuple[int, int]]:
    return harness.execute("select id, item_id from others.note order by id")


@pytest.mark.parametrize("are_shown", [False, True])
def test_a_key_that_moves_takes_the_rows_of_others_along(
    are_shown: bool, weak: MariadbSink, maria_harness: MariadbHarness
) -> None:
    """As a DELETE and an INSERT it would have cascaded into them."""
    theirs(maria_harness, "on delete cascade on update cascade")
    if are_shown:
        maria_harness.execute("grant references on *.* to weak")
    weak.open(JOURNAL)
    weak.prepare([TABLE])
    apply(weak, 2, changes(TABLE, *moves()))
    assert notes(maria_harness) == [(n, n + 100) for n in range(10)]
    assert len(maria_harness.rows(TABLE)) == 11


def test_a_foreign_key_that_is_added_while_we_run(maria_harness: MariadbHarness) -> None:
    sink = opened(maria_harness, TABLE, CHILD)
    given = [upsert(str(n), "a", "1") for n in range(10)]
    children = changes(CHILD, *(upsert(str(n), str(n)) for n in range(10)), first=100)
    apply(sink, 1, changes(TABLE, *given), children)
    maria_harness.execute(
        "alter table shop.child add foreign key (other_id) references shop.item (id)"
        " on delete cascade on update cascade",
    )
    apply(sink, 2, changes(TABLE, *moves()))
    assert maria_harness.rows(CHILD) == {(str(n), str(n + 100)) for n in range(10)}


def test_a_key_that_may_not_move_is_refused_and_nothing_is_lost(
    weak: MariadbSink, maria_harness: MariadbHarness
) -> None:
    theirs(maria_harness, "on delete cascade")
    weak.open(JOURNAL)
    weak.prepare([TABLE])
    with pytest.raises(TargetRefused, match="rows refer to it"):
        weak.write([changes(TABLE, *moves())])
    weak.rollback()
    assert notes(maria_harness) == [(n, n) for n in range(10)]


def test_a_delete_cascades_as_the_target_says(
    weak: MariadbSink, maria_harness: MariadbHarness
) -> None:
    theirs(maria_harness, "on delete cascade")
    weak.open(JOURNAL)
    weak.prepare([TABLE])
    apply(weak, 2, changes(TABLE, delete("3", None, None), upsert("7000", "new", "3")))
    assert notes(maria_harness) == [(n, n) for n in range(10) if n != 3]


def test_a_cascade_that_comes_back_through_a_hidden_table(
    weak: MariadbSink, maria_harness: MariadbHarness
) -> None:
    """item <- others.note (hidden, cascading) <- child: what child keeps of its own stays."""
    theirs(maria_harness, "on delete cascade")
    maria_harness.execute(
        "alter table shop.child add note varchar(9) default 'theirs',"
        " add foreign key (other_id) references others.note (id) on delete cascade",
        "insert into shop.child (id, other_id, note) values (1, 1, 'kept')",
    )
    weak.open(JOURNAL)
    weak.prepare([TABLE, CHILD])
    apply(
        weak,
        2,
        changes(CHILD, upsert("1", "2"), first=0),
        changes(TABLE, delete("1", None, None), first=1),
    )
    assert maria_harness.execute("select id, other_id, note from shop.child") == [(1, 2, "kept")]


@pytest.mark.parametrize(
    ("rights", "are_shown"),
    [
        (("select on *.*",), False),
        (("process on *.*",), False),
        (("all on others.*", "all on shop.*"), False),
        *(
            ((f"{right} on *.*",), True)
            for right in ("all", "insert", "update", "delete", "create", "references", "trigger")
        ),
    ],
)
def test_which_rights_show_foreign_keys(
    rights: tuple[str, ...], are_shown: bool, weak: MariadbSink, maria_harness: MariadbHarness
) -> None:
    theirs(maria_harness, "on delete cascade")
    maria_harness.make_user("weak", *rights)
    connection = connect(maria_harness.server.url("weak"), "line", maria_harness.product)
    assert Rights(connection).shows_foreign_keys is are_shown
    with connection.cursor() as cursor:
        cursor.execute(
            "select table_name from information_schema.referential_constraints"
            " where referenced_table_name = 'item' and constraint_schema = 'others'"
        )
        assert bool(cursor.fetchall()) >= are_shown
    connection.close()
