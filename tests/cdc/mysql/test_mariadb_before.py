"""Rows before their changes: at each update and delete what the changes till then had made."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest

from cdc.before import rows_before
from cdc.changes import ChangeSet, TableChanges
from cdc.mysql.settings import MariadbSource
from cdc.mysql.source import BinlogDatabase
from tests.cdc.mysql.test_mariadb_source import COLUMNS, EVERYTHING, GENERATED, ROWS, SHAPES
from tests.maria import Maria, both

NOT_SENT = "(not sent)"
Row = list[Any]


def columns_of(arrays: Iterable[Any], unsent: Any) -> list[Row]:
    found = [column.to_pylist() for column in arrays]
    for at, flags in unsent.items():
        lacks = flags.tolist() if hasattr(flags, "tolist") else flags.to_pylist()
        found[at] = [NOT_SENT if lack else one for lack, one in zip(lacks, found[at], strict=True)]
    return [list(row) for row in zip(*found, strict=True)]


class Replayed:
    """Rows as the changes make them; `told`: how many rows before were known."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], Row] = {}
        self.told = 0
        self.unsent = 0

    def apply(self, sets: Iterable[ChangeSet]) -> Replayed:
        for found in sets:
            for table in found.tables:
                self._table(table)
        return self

    def _table(self, table: TableChanges) -> None:
        after = columns_of(table.new, table.unsent)
        before = rows_before(table)
        old = None if before is None else columns_of(before.values, before.unsent)
        keys = table.schema.key_indexes
        for at, op in enumerate(map(chr, table.op.to_pylist())):
            row, key = after[at], tuple(after[at][k] for k in keys)
            if table.old_kind is not None and table.old_kind[at].as_py():
                key = tuple(table.old[k][at].as_py() for k in keys)  # type: ignore[index]
            was = None if op == "c" else self.rows.pop(key)
            if before is not None and old is not None and before.known[at]:
                assert was is not None
                self._same(old[at], was)
            if op != "d":
                self.rows[tuple(row[k] for k in keys)] = [
                    was[i] if one is NOT_SENT and was else one for i, one in enumerate(row)
                ]

    def _same(self, told: Row, was: Row) -> None:
        self.told += 1
        self.unsent += told.count(NOT_SENT)
        assert [one for one in told if one is not NOT_SENT] == [
            one for one, said in zip(was, told, strict=True) if said is not NOT_SENT
        ]


def work(maria: Maria) -> tuple[str, ...]:
    names = COLUMNS.strip("()").split(", ")
    takes = ", ".join(f"{name} = (select x.{name} from u x where x.id = {{0}})" for name in names)
    return (
        "set session sql_mode = '', time_zone = '+00:00'",
        *(f"insert into {table} {COLUMNS} values {row}" for row in ROWS for table in "tu"),
        *(f"update t set {takes.format(number)} where id = 1" for number in (2, 3, 4, 1)),
        "update t set v = 'other', o = null where id in (2, 3)",
        "begin",
        "update t set id = id + 10, d = d + 1 where id > 1",
        "update t set x = concat(x, 'more') where id = 12",
        "insert into t (id, v, x, o) values (99, 'v', 'x', 'o')",
        "update t set v = null, x = null where id = 99",
        "update t set j = '{}' where id < 99",
        "delete from t where id in (12, 99)",
        "commit",
        *("xa start 'x'", "update t set u = 7", "xa end 'x'", "xa prepare 'x'", "xa commit 'x'"),
        "delete from t",
    )


UPDATES_AND_DELETES = 4 + 2 + (3 + 1 + 1 + 4 + 2) + 3 + 3


def made(maria: Maria) -> None:
    maria.execute(*(f"create table {table} ({EVERYTHING})" for table in "tu"))


@both
def test_every_type_of_every_row(maria: Maria) -> None:
    made(maria)
    maria.execute(*work(maria))
    replayed = Replayed().apply(maria.changes(rows_max=5, chronicle=maria.chronicle()))
    # What an update leaves as it is, is not logged: in row 1 every value is another one each time.
    assert replayed.told == UPDATES_AND_DELETES
    assert replayed.unsent == 0


@both
@pytest.mark.parametrize("image", ["noblob", "minimal"])
def test_what_an_image_leaves_out_is_not_sent(image: str, maria: Maria) -> None:
    """Of `minimal` nothing but the key is known, which is no row."""
    made(maria)
    insert = [one for one in work(maria) if one.startswith(("set", "insert into t (d"))]
    rest = [one for one in work(maria) if not one.startswith("insert")]
    maria.execute(*insert, *(one.replace("into t", "into u") for one in insert))
    first = Replayed().apply(maria.changes(chronicle=maria.chronicle()))
    maria.execute(*rest[:1], f"set session binlog_row_image = {image}", *rest[1:])
    first.apply(maria.changes(shape_of=maria.shapes().get, chronicle=maria.chronicle()))
    assert first.told == (0 if image == "minimal" else UPDATES_AND_DELETES - 2)
    assert (first.unsent > 0) == (image == "noblob")


@both
def test_of_compressed_events(maria: Maria) -> None:
    made(maria)
    if maria.kind == "mysql":
        maria.execute("set session binlog_transaction_compression = on", *work(maria))
        assert (
            Replayed().apply(maria.changes(chronicle=maria.chronicle())).told == UPDATES_AND_DELETES
        )
        return
    try:
        maria.execute("set global log_bin_compress = on, global log_bin_compress_min_len = 10")
        maria.execute(*work(maria))
        assert (
            Replayed().apply(maria.changes(chronicle=maria.chronicle())).told == UPDATES_AND_DELETES
        )
    finally:
        maria.execute("set global log_bin_compress = off")


@both
def test_computed_columns(maria: Maria) -> None:
    """As the server computed them for the row before."""
    maria.execute(
        f"create table t ({GENERATED})",
        *(f"insert into t (g, h, l, a, i) values ({one}, 'ä', 1, 2)" for one in SHAPES),
        "update t set a = 5, l = 'x'",
        "update t set i = 7",
        "update t set h = null where id = 1",
        "delete from t",
    )
    assert (
        Replayed()
        .apply(maria.changes(shape_of=maria.shapes().get, chronicle=maria.chronicle()))
        .told
        == 7
    )


def test_zero_dates_are_null_there_too(maria: Maria) -> None:
    maria.execute(
        "set sql_mode = ''",
        "create table t (id int primary key, d date, v varchar(20), dt datetime)",
    )
    settings = MariadbSource(
        type="mariadb",
        url=f"mariadb://root@127.0.0.1:{maria.server.port}/",
        tables=(f"{maria.name}.t",),
        zero_dates="null",
    )
    with closing(BinlogDatabase(settings, "zero")) as source:
        with closing(source.snapshot({})) as snapshot:
            list(snapshot.changes())
            position = snapshot.position
        maria.execute(
            "set sql_mode = ''",
            "insert into t values (1, '0000-00-00', '0000-00-00', '2024-00-01')",
            "update t set d = '2024-01-01', v = '-00-'",
            "update t set d = '2024-05-00'",
            "update t set dt = '2024-05-01'",
            "delete from t",
        )
        found: list[Row] = []
        with closing(source.stream(position)) as stream:
            while len(found) < 4:
                for changes in stream.changes(1):
                    for table in changes.tables:
                        if (before := rows_before(table)) is not None:
                            rows = columns_of(before.values, before.unsent)
                            found += [row for row, ok in zip(rows, before.known, strict=True) if ok]
    assert found == [
        ["1", None, "0000-00-00", None],
        ["1", "2024-01-01", "-00-", None],
        ["1", None, "-00-", None],
        ["1", None, "-00-", "2024-05-01 00:00:00"],
    ]
