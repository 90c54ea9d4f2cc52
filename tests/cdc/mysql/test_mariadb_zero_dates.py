"""Zero and half-zero dates through snapshot and stream, by policy."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest

from cdc.changes import ChangeSet
from cdc.mysql.settings import MariadbSource, Policy
from cdc.mysql.source import BinlogDatabase
from tests.maria import Maria

MADE = (
    "set sql_mode = ''",
    "create table t (id int primary key, d date not null, dt datetime(3), ts timestamp null,"
    " name varchar(20))",
)
ZERO = ("0000-00-00", "0000-00-00 00:00:00.000", "0000-00-00 00:00:00", "0000-00-00")
HALF = ("2024-00-17", "2024-05-00 11:00:00.500", None, "-00-")
WHOLE = ("2024-10-01", "1999-12-31 00:00:00.000", "2024-01-01 00:00:00+00", "2024-00-00")


def insert(first: int) -> str:
    rows = []
    for n, values in enumerate((ZERO, HALF, WHOLE)):
        given = ", ".join(
            "null" if value is None else f"'{value.removesuffix('+00')}'" for value in values
        )
        rows.append(f"({first + n}, {given})")
    return f"insert into t values {', '.join(rows)}"


def rows(changes: list[ChangeSet]) -> list[tuple[Any, ...]]:
    return [
        row
        for change in changes
        for table in change.tables
        for row in zip(*(column.to_pylist() for column in table.new), strict=True)
        if row[0] is not None
    ]


def captured(maria: Maria, policy: Policy) -> tuple[list[ChangeSet], list[ChangeSet]]:
    maria.execute(*MADE, "set time_zone = '+00:00'", insert(1))
    settings = MariadbSource(
        type="mariadb",
        url=f"mariadb://root@127.0.0.1:{maria.server.port}/",
        tables=(f"{maria.name}.t",),
        zero_dates=policy,
    )
    with closing(BinlogDatabase(settings, "zero")) as source:
        with closing(source.snapshot({})) as snapshot:
            copied = [changes for changes, _ in snapshot.changes()]
            position = snapshot.position
        maria.execute(
            *("set sql_mode = ''", "set time_zone = '+00:00'", insert(11)),
            "update t set name = 'x' where id = 11",
        )
        streamed: list[ChangeSet] = []
        with closing(source.stream(position)) as stream:
            while sum(change.rows for change in streamed) < 4:
                streamed += stream.changes(1)
    return copied, streamed


def test_by_default_they_go_on_as_they_are(maria: Maria) -> None:
    copied, streamed = captured(maria, "exception")
    assert [row[1:] for row in rows(copied)] == [ZERO, HALF, WHOLE]
    assert [row[1:] for row in rows(streamed)][:3] == [ZERO, HALF, WHOLE]
    assert copied[0].tables[0].schema == streamed[0].tables[0].schema


def test_null_in_their_place(maria: Maria) -> None:
    copied, streamed = captured(maria, "null")
    wanted = [(None, None, None, "0000-00-00"), (None, None, None, "-00-"), WHOLE]
    assert [row[1:] for row in rows(copied)] == wanted
    assert [row[1:] for row in rows(streamed)][:3] == wanted
    schema = copied[0].tables[0].schema
    assert schema == streamed[0].tables[0].schema
    assert [column.nullable for column in schema.columns] == [False, True, True, True, True]
    assert [column.type for column in schema.columns][1] == "date"


def test_as_text(maria: Maria) -> None:
    copied, streamed = captured(maria, "text")
    assert [row[1:] for row in rows(copied)] == [ZERO, HALF, WHOLE]
    assert [row[1:] for row in rows(streamed)][:3] == [ZERO, HALF, WHOLE]
    schema = copied[0].tables[0].schema
    assert schema == streamed[0].tables[0].schema
    assert [column.type for column in schema.columns] == ["integer", *["text"] * 4]
    assert all(column.type == pa.string() for column in copied[0].tables[0].new)


@pytest.mark.parametrize("policy", ["null", "text"])
def test_a_key_keeps_its_values(policy: Policy, maria: Maria) -> None:
    maria.execute("create table k (d date primary key, n int)")
    settings = MariadbSource(
        type="mariadb",
        url=f"mariadb://root@127.0.0.1:{maria.server.port}/",
        tables=(f"{maria.name}.k",),
        zero_dates=policy,
    )
    maria.execute("set sql_mode = ''", "insert into k values ('0000-00-00', 1)")
    with (
        closing(BinlogDatabase(settings, "zero")) as source,
        closing(source.snapshot({})) as snapshot,
    ):
        copied = [changes for changes, _ in snapshot.changes()]
    assert rows(copied) == [("0000-00-00", "1")]
    column = copied[0].tables[0].schema.columns[0]
    assert (column.type, column.nullable) == ("text" if policy == "text" else "date", False)
