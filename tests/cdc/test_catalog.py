"""What the catalog says of tables; and that a table reads the same when the stream names it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from cdc.postgres.catalog import ForeignKey
from cdc.schema import Column, TableName
from tests.cdc.reader import Reader, catalog, read_through, reading, taken
from tests.conftest import Database

TYPES = """
create schema sales;
create type sales.status as enum ('open', 'done');
create type sales.place as (street text, zip int);
create domain sales.money2 as numeric(12,2) not null;
create domain sales.name as sales.money2;
create domain sales.ids as int[];
create table sales.typed (
    id bigint primary key, code char(3), padded bpchar, amount numeric(10,2), free numeric,
    price sales.money2, nested sales.name, status sales.status, statuses sales.status[],
    ids sales.ids, many sales.ids[], at timestamp(3) with time zone, took interval second(2),
    letter "char", span int4range, spans int4multirange, bits bit(4), place sales.place,
    net varchar(20)[], doc jsonb not null
);
"""


def test_types_have_their_own_name_and_the_one_to_compute_on(database: Database) -> None:
    database.execute(TYPES)
    columns = catalog(database.url)["typed"].schema.columns
    assert [(c.name, c.type, c.base_type, c.nullable) for c in columns] == [
        ("id", "bigint", "bigint", False),
        ("code", "character(3)", "character", True),
        ("padded", "bpchar", "character", True),
        ("amount", "numeric(10,2)", "numeric", True),
        ("free", "numeric", "numeric", True),
        ("price", "sales.money2", "numeric", False),
        ("nested", "sales.name", "numeric", False),
        ("status", "sales.status", "text", True),
        ("statuses", "sales.status[]", "text[]", True),
        ("ids", "sales.ids", "integer[]", True),
        ("many", "sales.ids[]", "text[]", True),
        ("at", "timestamp(3) with time zone", "timestamp with time zone", True),
        ("took", "interval second(2)", "interval", True),
        ("letter", '"char"', '"char"', True),
        ("span", "int4range", "int4range", True),
        ("spans", "int4multirange", "int4multirange", True),
        ("bits", "bit(4)", "bit", True),
        ("place", "sales.place", "text", True),
        ("net", "character varying(20)[]", "character varying[]", True),
        ("doc", "jsonb", "jsonb", False),
    ]


KEYS = """
create schema sales;
create table sales.by_primary (b int, a int, v text, primary key (b, a));
create table sales.by_index (a int not null, b int not null, v text);
create unique index by_index_key on sales.by_index (b, a) include (v);
alter table sales.by_index replica identity using index by_index_key;
create table sales.by_all (v text, id int primary key);
alter table sales.by_all replica identity full;
create table sales.by_all_deferrable (id int primary key deferrable);
alter table sales.by_all_deferrable replica identity full;
create table sales.nothing (id int primary key);
alter table sales.nothing replica identity nothing;
create table sales.no_key (a int);
create table sales.deferrable (id int primary key deferrable);
create table sales.lost_index (id int not null);
create unique index lost on sales.lost_index (id);
alter table sales.lost_index replica identity using index lost;
drop index sales.lost;
create table sales.no_key_all (a int);
alter table sales.no_key_all replica identity full;
"""


def test_the_key_is_what_the_log_identifies_rows_by_in_its_indexs_order(
    database: Database,
) -> None:
    database.execute(KEYS)
    tables = catalog(database.url)
    assert {name: (t.schema.identity, t.schema.key) for name, t in tables.items()} == {
        "by_primary": ("default", ("b", "a")),
        "by_index": ("index", ("b", "a")),
        "by_all": ("full", ("id",)),
        "by_all_deferrable": ("full", ("id",)),
        "nothing": ("nothing", ()),
        "no_key": ("default", ()),
        "deferrable": ("default", ()),
        "lost_index": ("index", ()),
        "no_key_all": ("full", ()),
    }
    assert tables["deferrable"].primary_key == ("id",)


def test_what_is_dropped_or_generated_is_not_in_the_log(database: Database) -> None:
    database.execute(
        "create schema sales;"
        "create table sales.t (id int primary key, gone int, twice int generated always as"
        " (id * 2) stored, v text);"
        "alter table sales.t drop column gone;"
        "create publication dba for table sales.t"
    )
    for publication in (None, "dba"):
        table = catalog(database.url, publication=publication)["t"]
        assert [column.name for column in table.schema.columns] == ["id", "v"]
        assert table.withheld == {"twice": "generated"}


def test_version_18_can_publish_generated_columns(database18: Database) -> None:
    database18.execute(
        "create schema sales;"
        "create table sales.t (id int primary key, twice int generated always as (id * 2) stored,"
        " thrice int generated always as (id * 3) virtual);"
        "insert into sales.t values (1);"
        "create publication dba for table sales.t with (publish_generated_columns = stored)"
    )
    table = catalog(database18.url, publication="dba")["t"]
    assert [column.name for column in table.schema.columns] == ["id", "twice"]
    with reading(database18) as reader, reader.open() as source:
        first = taken(source)
        database18.execute("update sales.t set id = 5")
        sets, _ = read_through(source, first.position, database18)
    ((changes, _),) = first.sets
    assert changes.tables[0].new[1].to_pylist() == [None, "2"]
    assert sets[0].tables[0].new[1].to_pylist() == ["10"]
    assert sets[0].tables[0].schema == table.schema


def test_the_rest_of_what_the_catalog_knows(database: Database) -> None:
    database.execute(
        "create schema sales; create schema tailrace;"
        "create table sales.head (id int primary key);"
        "create table sales.line (head_id int references sales.head, n int,"
        "  primary key (head_id, n));"
        "create table sales.parted (id int primary key) partition by hash (id);"
        "create table sales.parted_1 partition of sales.parted for values with"
        "  (modulus 1, remainder 0);"
        "insert into sales.parted select generate_series(1, 1000);"
        "create table sales.kid () inherits (sales.head);"
        "create unlogged table sales.scratch (id int primary key);"
        "create view sales.seen as select 1 as one;"
        "create table tailrace.checkpoint (id int primary key);"
        "comment on table sales.head is 'An order'; comment on column sales.head.id is 'Its no.';"
        "analyze sales.parted"
    )
    tables = catalog(database.url, "*.*")
    assert sorted(tables) == ["head", "kid", "line", "parted", "scratch", "seen"]
    assert (tables["head"].comment, tables["head"].column_comments) == (
        "An order",
        {"id": "Its no."},
    )
    assert tables["line"].foreign_keys == (
        ForeignKey("line_head_id_fkey", ("head_id",), TableName("sales", "head"), ("id",)),
    )
    assert (tables["head"].has_children, tables["kid"].parent) == (True, TableName("sales", "head"))
    assert (tables["parted"].kind, tables["parted"].rows_estimated) == ("partitioned", 1000)
    assert (tables["head"].rows_estimated, tables["scratch"].persistence) == (-1, "unlogged")
    assert tables["seen"].kind == "view"
    assert list(catalog(database.url, "sales.parted_1")) == ["parted_1"]


@pytest.fixture
def every_shape(database: Database) -> Iterator[Reader]:
    database.execute(
        TYPES
        + KEYS.replace("create schema sales;", "")
        + "drop table sales.nothing, sales.no_key, sales.deferrable, sales.lost_index,"
        "  sales.no_key_all;"
        "create table sales.parted (day date, id int, primary key (id, day))"
        "  partition by range (day);"
        "create table sales.later partition of sales.parted default;"
        "create publication dba for table sales.typed, sales.by_primary, sales.by_index,"
        "  sales.by_all, sales.by_all_deferrable, sales.parted"
        "  with (publish_via_partition_root = true);"
        "insert into sales.typed (id, price, nested, doc) values (1, 1, 1, '{}');"
        "insert into sales.by_primary values (1, 2);"
        "insert into sales.by_index values (1, 2); insert into sales.by_all values ('v', 1);"
        "insert into sales.by_all_deferrable values (1);"
        "insert into sales.parted values ('2020-01-01', 1)"
    )
    with reading(database) as found:
        yield found


def test_a_table_is_described_alike_by_the_catalog_and_from_the_stream(
    every_shape: Reader,
) -> None:
    database = every_shape.database
    tables = catalog(database.url, publication="dba")
    with every_shape.open() as source:
        first = taken(source)
        for name in tables:
            database.execute(f"delete from sales.{name}")
        sets, _ = read_through(source, first.position, database)
    described = {t.schema.table.name: t.schema for changes in sets for t in changes.tables}
    assert described == {name: table.schema for name, table in tables.items()}
    copied = {t.schema.table.name: t.schema for s, _ in first.sets for t in s.tables}
    assert copied == described


def test_a_column_and_a_type_that_are_gone_by_now_are_still_described(
    every_shape: Reader,
) -> None:
    """The log is older than the catalog."""
    database = every_shape.database
    with every_shape.open() as source:
        first = taken(source)
        database.execute(
            "update sales.typed set status = 'open';"
            "alter table sales.typed drop column status, drop column statuses;"
            "alter table sales.typed rename code to kurz; drop type sales.status"
        )
        sets, _ = read_through(source, first.position, database)
    columns = {column.name: column for column in sets[0].tables[0].schema.columns}
    assert columns["status"] == Column("status", "sales.status", "text")
    assert columns["code"] == Column("code", "character(3)", "character")
    assert columns["id"] == Column("id", "bigint", "bigint", nullable=False)


def test_many_tables_take_as_few_queries_as_one(
    database18: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[object] = []
    execute = psycopg.Connection.execute

    def counting(self: object, *arguments: object, **more: object) -> object:
        counted.append(arguments[0])
        return execute(self, *arguments, **more)  # type: ignore[arg-type]

    database18.execute("create schema sales")
    for n in range(3):
        database18.execute(f"create table sales.t{n} (id int primary key)")
    monkeypatch.setattr(psycopg.Connection, "execute", counting)
    assert len(catalog(database18.url)) == 3
    few = len(counted)
    counted.clear()
    monkeypatch.undo()
    for n in range(3, 30):
        database18.execute(f"create table sales.t{n} (id int primary key)")
    monkeypatch.setattr(psycopg.Connection, "execute", counting)
    assert len(catalog(database18.url)) == 30
    assert len(counted) == few
