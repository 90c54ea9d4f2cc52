"""References against an oracle: children that come before their parents, in random histories."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from cdc.changes import TRANSACTIONS, ChangeSet
from cdc.schema import TableName
from sinks.duckdb.sink import DuckdbSink
from sinks.identity_people import People as IdentityPeople
from sinks.mysql.identity_people import MysqlPeople
from sinks.mysql.products import MARIADB, MYSQL
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.mysql.sink import MariadbSink
from sinks.postgres.identity_people import PostgresPeople
from sinks.postgres.settings import PostgresTarget
from sinks.postgres.sink import PostgresSink
from sinks.protocol import Sink
from sinks.sqlite.sink import SqliteSink
from tailrace.journal.protocol import Entry
from tailrace.pipeline.deliver import Delivery, DeliverySettings
from tailrace.pipeline.desk import Desk
from tailrace.pipeline.stopping import Stop
from tailrace.state.exceptions.codec import pack, unpack
from tailrace.state.exceptions.model import ExceptionId, Request
from tailrace.state.exceptions.store import Store
from tailrace.state.processes import Reporter
from tests.pipeline.desks import FAILPOINTS, JOURNAL, MemoryJournal, died
from tests.transforms.batches import Change, batch, table
from transforms.composite import Composite, composite
from transforms.entity import Entity
from transforms.model import FieldRule, Mapping
from transforms.ownership import SystemOfRecord
from transforms.router import Router

ORDER = table("s.order", {"id": "integer", "kind": "text"}, ["id"])
ITEM = table("s.item", {"id": "integer", "order_id": "integer", "rev": "integer"}, ["id"])
FIELDS: dict[str, dict[str, Any]] = {
    "order": {"no": {"type": "text"}, "kind": {"type": "text"}},
    "item": {"id": {"type": "integer"}, "order_no": {"type": "text"}, "rev": {"type": "integer"}},
}
ENTITIES = {
    name: Entity.model_validate({"entity": name, "key": [key], "fields": FIELDS[name]})
    for name, key in (("order", "no"), ("item", "id"))
}
MAPPINGS = [
    Mapping.model_validate(
        {
            "mapping": "orders",
            "entity": "order",
            "table": "s.order",
            "into": "hub.orders",
            "key": {"no": "'O-' || id"},
            "fields": {"kind": {"from": "kind", "values": {"A": "alpha"}}},
        }
    ),
    Mapping.model_validate(
        {
            "mapping": "items",
            "entity": "item",
            "table": "s.item",
            "into": "hub.items",
            "key": {"id": "id"},
            "fields": {"order_no": {"ref": "order", "by": "order_id"}, "rev": "rev"},
        }
    ),
]


@dataclass(frozen=True)
class Op:
    table: str
    op: str
    id: int
    value: str | None = None
    rev: int = 0


def change_set(ops: Sequence[Op], position: int) -> ChangeSet:
    """One transaction."""
    parts: dict[str, list[tuple[int, Change]]] = {}
    for seq, op in enumerate(ops):
        new: dict[str, str | None] | None = {"id": str(op.id)}
        if op.table == "order":
            new |= {"kind": op.value}
        else:
            new |= {"order_id": op.value, "rev": str(op.rev)}
        old = None
        if op.op in "dt":
            new, old = None, {"id": str(op.id)} if op.op == "d" else None
        parts.setdefault(op.table, []).append((seq, Change(op.op, new, old)))
    made = []
    for name, some in parts.items():
        changes = batch({"order": ORDER, "item": ITEM}[name], [change for _, change in some])
        numbers = pa.array([seq for seq, _ in some], pa.int32())
        fields = {one: getattr(changes, one) for one in type(changes).__dataclass_fields__}
        made.append(type(changes)(**{**fields, "seq": numbers}))
    transactions = pa.RecordBatch.from_pylist(
        [{"first_seq": 0, "position": f"0/{position}", "commit_us": 1, "xid": 1, "origin": None}],
        schema=TRANSACTIONS,
    )
    return ChangeSet(tuple(made), transactions, f"0/{position}")


class Pipeline:
    def __init__(
        self,
        directory: Path,
        sink: Callable[[], Any],
        composites: dict[TableName, Composite],
        mappings: Sequence[Mapping] = MAPPINGS,
        entities: dict[str, Entity] = ENTITIES,
        source: str = "erp",
    ) -> None:
        self.journal = MemoryJournal()
        self._router = partial(Router, (), mappings, entities, source=source, composites=composites)
        self._directory = directory
        self._sink = sink

    def append(self, ops: Sequence[Op]) -> None:
        offset = len(self.journal.entries) + 1
        self.journal.entries.append(Entry(offset, change_set(ops, offset), 0, 1))

    def store(self) -> Store:
        return Store(self._directory / "line.db", JOURNAL)

    def deliver(self) -> None:
        sink: Sink = self._sink()
        router = self._router()
        try:
            with closing(router), closing(Desk(self.store())) as desk:
                Delivery(
                    DeliverySettings("line", self._directory / "hints"),
                    self.journal,
                    router,
                    desk,
                    lambda: sink,
                    Reporter(self._directory / "run", "deliver", "line"),
                    Stop(),
                    once=True,
                ).run()
        finally:
            sink.close()

    def deliver_or_die(self, failpoint: str, nth: int) -> None:
        died(failpoint, nth, self.deliver)

    @property
    def causes(self) -> list[str]:
        with closing(self.store()) as store:
            entries = [one for one in store.entries() if one["state"] == "parked"]
        return sorted(str(one["cause_key"]) for one in entries)


class Oracle:
    """A change of an item goes when its order is there and all earlier ones of the item are gone.

    Orders are not deleted, so that nothing hangs on when a child was tried.
    """

    def __init__(self) -> None:
        self.orders: set[int] = set()
        self.parked: set[int] = set()  # their later changes wait, too
        self.changes: dict[int, list[Op]] = {}

    def saw(self, op: Op) -> None:
        if op.table == "item":
            self.changes.setdefault(op.id, []).append(op)
        elif op.value == "A" and op.id not in self.parked:
            self.orders.add(op.id)
        elif op.id not in self.orders:
            self.parked.add(op.id)

    @property
    def items(self) -> dict[int, tuple[str | None, int]]:
        found = {}
        for id, changes in self.changes.items():
            row = None
            for op in changes:
                if op.op == "d":
                    row = None
                elif op.value is None or int(op.value) in self.orders:
                    row = (None if op.value is None else f"O-{op.value}", op.rev)
                else:
                    break
            if row is not None:
                found[id] = row
        return found


def history(choice: random.Random, oracle: Oracle) -> Iterator[list[Op]]:
    orders: set[int] = set()
    items: set[int] = set()
    for rev in range(40):
        ops = []
        for _ in range(choice.randint(1, 3)):
            if choice.random() < 0.3:
                id = choice.randint(1, 8)
                kind = "A" if id in orders or choice.random() < 0.85 else "X"
                ops.append(Op("order", "u" if id in orders else "c", id, kind))
                if kind == "A":
                    orders.add(id)
            else:
                id = choice.randint(1, 10)
                if id in items and choice.random() < 0.2:
                    items.discard(id)
                    ops.append(Op("item", "d", id))
                    continue
                value = None if choice.random() < 0.1 else str(choice.randint(1, 9))
                ops.append(Op("item", "u" if id in items else "c", id, value, rev))
                items.add(id)
        for op in ops:
            oracle.saw(op)
        yield ops


SERVERS = ["postgres", "postgres of two sources", "mariadb", "mariadb of two sources"]
FILES = ["sqlite", "duckdb"]


def _of_two_sources() -> dict[TableName, Composite]:
    record = SystemOfRecord.model_validate({"rows": "erp", "default": "erp", "kind": "crm"})
    whole = ENTITIES["order"].model_copy(update={"system_of_record": record})
    name = TableName("hub", "orders")
    return {name: composite(whole, name, {"erp": ["kind"], "crm": ["kind"]})}


def _of_file(kind: str, path: Path) -> tuple[Callable[[], Any], Callable[[str], list[Any]]]:
    def execute(sql: str) -> list[Any]:
        if kind == "sqlite":
            with closing(sqlite3.connect(path)) as connection:
                return connection.execute(sql.replace("hub.items", '"hub.items"')).fetchall()
        with duckdb.connect(path, read_only=True) as opened:
            return opened.execute(sql).fetchall()

    return lambda: {"sqlite": SqliteSink, "duckdb": DuckdbSink}[kind](path, "line"), execute


Hub = tuple[Callable[[], Any], Callable[[str], list[tuple[Any, ...]]], dict[TableName, Composite]]


@pytest.fixture(params=SERVERS)
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    """How a sink is made, how the target is asked, and what other sources feed."""
    if request.param in FILES:
        yield *_of_file(request.param, tmp_path / "line.file"), {}
        return
    composites = _of_two_sources() if "two" in request.param else {}
    if "mariadb" in request.param:
        server = request.getfixturevalue("maria_server")
        server.execute("create database hub")
        yield (
            lambda: MariadbSink(server.url(), "line", product=MARIADB),
            lambda sql: [tuple(row) for row in server.execute(sql)],
            composites,
        )
        server.execute("drop database if exists hub", "drop database if exists tailrace")
        return
    database = request.getfixturevalue("database18")
    database.execute("create schema hub")
    yield lambda: PostgresSink(database.url, "line"), database.execute, composites


@pytest.mark.parametrize(
    ("hub", "seed"), [*product(SERVERS, range(2)), *product(FILES, [0])], indirect=["hub"]
)
def test_children_go_when_their_parents_have_come(hub: Hub, tmp_path: Path, seed: int) -> None:
    make, execute, composites = hub
    choice, oracle = random.Random(seed), Oracle()
    pipeline = Pipeline(tmp_path, make, composites)
    for ops in history(choice, oracle):
        pipeline.append(ops)
        if choice.random() < 0.3:
            if choice.random() < 0.5:
                pipeline.deliver_or_die(choice.choice(FAILPOINTS), choice.randint(1, 3))
            else:
                pipeline.deliver()
    pipeline.deliver()
    rows = execute("select id, order_no, rev from hub.items order by id")
    assert {row[0]: (row[1], row[2]) for row in rows} == oracle.items
    missing = [cause for cause in pipeline.causes if not cause.startswith("mapping:orders")]
    assert set(missing) <= {"reference:items:order_no:missing"}


@pytest.mark.parametrize("hub", [*SERVERS, *FILES], indirect=True)
def test_a_chain_of_orphans_goes_link_by_link(hub: Hub, tmp_path: Path) -> None:
    make, execute, composites = hub
    pipeline = Pipeline(tmp_path, make, composites)
    pipeline.append([Op("item", "c", 1, "7", 1)])
    pipeline.append([Op("item", "u", 1, "8", 2), Op("item", "c", 2, "8", 2)])
    pipeline.deliver()
    assert pipeline.causes == ["reference:items:order_no:missing"] * 2
    pipeline.append([Op("order", "c", 8, "A")])
    pipeline.deliver()
    assert execute("select id, rev from hub.items") == [(2, 2)]
    pipeline.append([Op("order", "c", 7, "A")])
    pipeline.deliver()
    rows = execute("select id, order_no, rev from hub.items order by id")
    assert rows == [(1, "O-8", 2), (2, "O-8", 2)]
    assert pipeline.causes == []


CUSTOMER = Entity.model_validate(
    {
        "entity": "order",
        "key": ["no"],
        "fields": FIELDS["order"],
        "system_of_record": {"rows": "erp", "default": "erp", "kind": ["erp", "shop"]},
        "identity": {"match": [["kind"]]},
    }
)


@dataclass(frozen=True)
class People:
    """Who decides at a target, how its sink is made, and how it is asked."""

    at: IdentityPeople
    sink: Callable[[str], Any]
    execute: Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(params=["postgres", "mariadb", "mysql"])
def people(request: pytest.FixtureRequest) -> Iterator[People]:
    if request.param == "postgres":
        database = request.getfixturevalue("database18")
        database.execute("create schema hub")
        target = PostgresTarget(type="postgres", url=database.url)
        sink = partial(PostgresSink, database.url)
        yield People(PostgresPeople(target), sink, database.execute)
        return
    is_maria = request.param == "mariadb"
    server = request.getfixturevalue("maria_server" if is_maria else "mysql")
    server.execute("create database hub")
    of = MariadbTarget if is_maria else MysqlTarget
    yield People(
        MysqlPeople(of.model_validate({"type": request.param, "url": server.url()})),
        partial(MariadbSink, server.url(), product=MARIADB if is_maria else MYSQL),
        lambda sql: [tuple(row) for row in server.execute(sql)],
    )
    server.execute("drop database if exists hub", "drop database if exists tailrace")


def test_a_reference_follows_who_a_record_is(people: People, tmp_path: Path) -> None:
    name = TableName("hub", "orders")
    composites = {name: composite(CUSTOMER, name, {"erp": ["kind"], "shop": ["kind"]})}
    records = MAPPINGS[0].model_copy(
        update={"key": {"no": "id::text"}, "fields": {"kind": FieldRule(expr="kind")}}
    )
    entities = {**ENTITIES, "order": CUSTOMER}

    def pipeline(source: str, mappings: Sequence[Mapping]) -> Pipeline:
        directory = tmp_path / source
        directory.mkdir()
        sink = partial(people.sink, source)
        return Pipeline(directory, sink, composites, mappings, entities, source)

    shop, erp = pipeline("shop", [records, MAPPINGS[1]]), pipeline("erp", [records])

    def item(id: int) -> str:
        ((found,),) = people.execute(f"select order_no from hub.items where id = {id}")
        return str(found)

    def is_now(source: str, key: str) -> str:
        ((found,),) = people.execute(
            "select canonical_id from tailrace.identity"
            f" where source = '{source}' and source_key = '{key}'"
        )
        return str(found)

    cleared = [Op("order", "t", 0), Op("item", "t", 0)]  # as a snapshot begins
    shop.append([*cleared, Op("item", "c", 9, "9", 1), Op("order", "c", 9, "s@x")])
    shop.deliver()
    assert item(9) == is_now("shop", "9")
    shop.append([Op("item", "c", 1, "1", 1), Op("order", "c", 1, "a@x")])
    shop.append([Op("item", "c", 2, "2", 1)])
    shop.deliver()
    alone = is_now("shop", "1")
    assert item(1) == alone
    assert shop.causes == ["reference:items:order_no:missing"]
    erp.append([Op("order", "c", 7, "a@x")])
    erp.deliver()
    assert is_now("shop", "1") == is_now("erp", "7") != alone
    shop.append([Op("item", "c", 3, "1", 1), Op("order", "c", 2, "b@x")])
    shop.deliver()
    assert (item(1), item(3)) == (alone, is_now("erp", "7"))
    assert item(2) == is_now("shop", "2")
    assert shop.causes == []
    whole = composites[name]
    people.at.split(whole, "shop", "1", "me", "two customers")
    shop.append([Op("item", "u", 3, "1", 2)])
    shop.deliver()
    split_off = is_now("shop", "1")
    assert item(3) == split_off != is_now("erp", "7")
    people.at.merge(whole, split_off, is_now("erp", "7"), "me", "one customer after all")
    shop.append([Op("item", "u", 3, "1", 3), Op("order", "u", 1, "c@x")])
    shop.deliver()
    assert item(3) == is_now("shop", "1") == is_now("erp", "7")
    shop.append([Op("order", "d", 1), Op("item", "c", 4, "1", 4), Op("item", "c", 5, "3", 4)])
    shop.append([Op("item", "u", 2, "1", 5)])
    shop.deliver()
    assert item(2) == item(4) == is_now("erp", "7")
    assert shop.causes == ["reference:items:order_no:missing"]


def mend(pipeline: Pipeline) -> None:
    """As a person does: the order gets a kind that is known, and is replayed."""
    with closing(pipeline.store()) as store:
        (parked,) = (one for one in store.entries() if one["table"] == "s.order")
        id = ExceptionId.parse(parked["id"])
        (held,) = store.load([id])
        changes = unpack([held.row], ORDER)
        mended = replace(changes, new=(changes.new[0], pa.array(["A"], pa.string())))
        store.edit(id, pack(mended, [0])[0], "me", "kind")
        store.ask([Request(id, "replay", "me", "")])


FIELDS_BY_EXPRESSION = {
    "rev": FieldRule(expr="rev"),
    "order_no": FieldRule(expr="'O-' || order_id"),
}
ITEMS = MAPPINGS[1].model_copy(update={"fields": FIELDS_BY_EXPRESSION})
TABLES = (
    "create table hub.orders (no varchar(20) primary key, kind varchar(20))",
    "create table hub.items (id bigint primary key, rev bigint, order_no varchar(20),"
    " constraint of_order foreign key (order_no) references hub.orders (no))",
)


@pytest.mark.parametrize("hub", ["postgres", "mariadb"], indirect=True)
def test_children_of_a_parked_parent_wait_by_the_targets_foreign_key(
    hub: Hub, tmp_path: Path
) -> None:
    make, execute, _ = hub
    for statement in TABLES:
        execute(statement)
    pipeline = Pipeline(tmp_path, make, {}, [MAPPINGS[0], ITEMS])
    pipeline.append([Op("order", "c", 1, "X"), Op("order", "c", 2, "A")])
    pipeline.append([Op("item", "c", 9, "2", 9)])
    pipeline.append([Op("item", "c", id, "1", id) for id in range(1, 6)])
    pipeline.append([Op("item", "u", 1, "1", 9)])
    pipeline.deliver()
    assert sorted(set(pipeline.causes)) == [
        "mapping:orders:kind:unlisted",
        "reference:hub.items:order_no:missing",
    ]
    mend(pipeline)
    pipeline.deliver()
    assert pipeline.causes == []
    rows = execute("select id, rev from hub.items order by id")
    assert rows == [(1, 9), (2, 2), (3, 3), (4, 4), (5, 5), (9, 9)]


def test_a_parent_that_the_target_refuses_leaves_its_children_behind(
    database18: Any, tmp_path: Path
) -> None:
    """Without a foreign key: what a reference points to is there when a row is written."""
    database18.execute(
        "create schema hub; create table hub.orders (no text primary key check (no <> 'O-3'),"
        " kind text); create table hub.items (id bigint primary key, rev bigint, order_no text)"
    )
    pipeline = Pipeline(tmp_path, partial(PostgresSink, database18.url, "line"), {})
    ops = [Op("order", "c", id, "A") for id in range(1, 6)]
    ops += [Op("item", "c", id, str(id % 5 + 1), 1) for id in range(1, 300)]
    pipeline.append(ops)
    pipeline.deliver()
    counts = "select count(*), count(*) filter (where order_no = 'O-3') from hub.items"
    assert database18.execute(counts) == [(239, 0)]
    assert len(pipeline.causes) == 61
    database18.execute("alter table hub.orders drop constraint orders_no_check")
    with closing(pipeline.store()) as store:
        (parked,) = (one for one in store.entries() if one["table"] == "s.order")
        store.ask([Request(ExceptionId.parse(parked["id"]), "replay", "me", "")])
    pipeline.deliver()
    assert database18.execute(counts) == [(299, 60)]
    assert pipeline.causes == []


def test_what_only_the_foreign_key_knows_is_tried_again_after_a_replay(
    database18: Any, tmp_path: Path
) -> None:
    """A key of two columns is not looked up; the target refuses the row."""
    database18.execute(
        "create schema hub; create table hub.orders (no text primary key, kind text, n int default"
        " 1, unique (no, n)); create table hub.items (id bigint primary key, rev bigint, order_no"
        " text, n int default 1, foreign key (order_no, n) references hub.orders (no, n))"
    )
    make = partial(PostgresSink, database18.url, "line")
    pipeline = Pipeline(tmp_path, make, {}, [MAPPINGS[0], ITEMS])
    pipeline.append([Op("order", "c", 1, "X")])
    pipeline.append([Op("item", "c", id, "1", id) for id in range(1, 4)])
    pipeline.deliver()
    assert sum(cause.endswith(":23503") for cause in pipeline.causes) == 3
    mend(pipeline)
    pipeline.deliver()
    assert pipeline.causes == []
    assert database18.execute("select count(*) from hub.items") == [(3,)]


def test_a_foreign_key_may_be_to_what_is_not_the_key(database18: Any, tmp_path: Path) -> None:
    database18.execute(
        "create schema hub; create table hub.orders (no integer primary key, kind text unique);"
        "create table hub.items (id bigint primary key, rev bigint, order_no text"
        " references hub.orders (kind))"
    )
    entity = ENTITIES["order"].model_copy(
        update={"fields": {**ENTITIES["order"].fields, "no": ENTITIES["item"].fields["id"]}}
    )
    values = FieldRule.model_validate({"from": "kind", "values": {"A": "A", "O-3": "O-3"}})
    orders = MAPPINGS[0].model_copy(update={"key": {"no": "id"}, "fields": {"kind": values}})
    make = partial(PostgresSink, database18.url, "line")
    pipeline = Pipeline(tmp_path, make, {}, [orders, ITEMS], {**ENTITIES, "order": entity})
    pipeline.append([Op("order", "c", 1, "X")])
    pipeline.append([Op("order", "c", 2, "O-3"), Op("item", "c", 2, "3", 1)])
    pipeline.append([Op("item", "c", id, "1", id) for id in (4, 5)])
    pipeline.deliver()
    assert database18.execute("select id from hub.items") == [(2,)]
    with closing(pipeline.store()) as store:
        (parked,) = (one for one in store.entries() if one["table"] == "s.order")
        id = ExceptionId.parse(parked["id"])
        (held,) = store.load([id])
        changes = unpack([held.row], ORDER)
        mended = replace(changes, new=(changes.new[0], pa.array(["O-1"], pa.string())))
        store.edit(id, pack(mended, [0])[0], "me", "kind")
        store.ask([Request(id, "replay", "me", "")])
    orders.fields["kind"].values["O-1"] = "O-1"  # type: ignore[index]
    pipeline.deliver()
    assert pipeline.causes == []
    assert database18.execute("select id from hub.items order by id") == [(2,), (4,), (5,)]


@pytest.mark.parametrize("hub", ["postgres", "mariadb"], indirect=True)
def test_what_can_be_no_key_of_the_parents_waits(hub: Hub, tmp_path: Path) -> None:
    """Their column cannot hold it: that is no matter of the other rows."""
    make, execute, _ = hub
    execute("create table hub.orders (no smallint primary key, kind varchar(20))")
    execute(
        "create table hub.items (id bigint primary key, rev bigint, order_no smallint,"
        " constraint of_order foreign key (order_no) references hub.orders (no))"
    )
    number = {"type": "integer"}
    fields = {"order": {**FIELDS["order"], "no": number}, "item": FIELDS["item"]}
    fields["item"] = {**fields["item"], "order_no": number}
    entities = {
        name: Entity.model_validate({"entity": name, "key": [key], "fields": fields[name]})
        for name, key in (("order", "no"), ("item", "id"))
    }
    orders = MAPPINGS[0].model_copy(update={"key": {"no": "id"}})
    items = MAPPINGS[1].model_copy(
        update={"fields": {"rev": FieldRule(expr="rev"), "order_no": FieldRule(expr="order_id")}}
    )
    pipeline = Pipeline(tmp_path, make, {}, [orders, items], entities)
    pipeline.append([Op("order", "c", 1, "X"), Op("order", "c", 2, "A")])
    pipeline.append([Op("item", "c", id, str(of), 1) for id, of in ((1, 1), (2, 2), (3, 70000))])
    pipeline.deliver()
    assert execute("select id from hub.items") == [(2,)]
    assert len(pipeline.causes) == 3


def test_a_value_that_changes_hands_between_parents_keeps_nobody_waiting(
    people: People, tmp_path: Path
) -> None:
    """A parent goes before what the source did before it, but not where that is in its way."""
    name = TableName("hub", "orders")
    composites = {name: composite(CUSTOMER, name, {"erp": ["kind"], "shop": ["kind"]})}
    records = MAPPINGS[0].model_copy(
        update={"key": {"no": "id::text"}, "fields": {"kind": FieldRule(expr="kind")}}
    )
    pipeline = Pipeline(
        tmp_path,
        partial(people.sink, "erp"),
        composites,
        [records, MAPPINGS[1]],
        {**ENTITIES, "order": CUSTOMER},
    )
    pipeline.append([Op("order", "c", 1, "u"), Op("order", "c", 3, "v")])
    pipeline.deliver()
    prefix = "" if isinstance(people.at, PostgresPeople) else "(20)"
    people.execute(f"create unique index once on hub.orders (kind{prefix})")
    pipeline.append(
        [
            *(Op("order", "d", 1), Op("order", "c", 2, "u"), Op("item", "c", 5, "2", 1)),
            *(Op("order", "u", 2, "w"), Op("order", "c", 4, "u"), Op("item", "c", 6, "4", 1)),
            *(Op("order", "c", 7, "v"), Op("item", "c", 7, "7", 1)),
            *(Op("order", "c", 8, "x"), Op("item", "c", 8, "8", 1), Op("item", "u", 5, "8", 2)),
        ]
    )
    pipeline.deliver()
    ours = dict(
        people.execute(
            "select source_key, canonical_id from tailrace.identity where source = 'erp'"
        )
    )
    kinds = people.execute("select no, kind from hub.orders")
    assert set(kinds) == {(ours[no], kind) for no, kind in zip("2348", "wvux", strict=True)}
    items = people.execute("select id, order_no, rev from hub.items")
    assert set(items) == {(5, ours["8"], 2), (6, ours["4"], 1), (8, ours["8"], 1)}
    causes = pipeline.causes
    assert len(causes) == 2, "of order 7, whose kind order 3 has, and its item"
    assert causes[0] == "reference:items:order_no:missing"
