"""The exceptions desk against an oracle: random poison, edits, replays, discards and kills."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pyarrow as pa
import pytest
from pymysql.connections import Connection as PyMySQL

from cdc.changes import CREATE, DELETE, TRUNCATE, UPDATE
from cdc.schema import Column
from sinks.mysql.products import MARIADB, MYSQL
from sinks.mysql.sink import MariadbSink
from sinks.postgres.connection import Session
from sinks.postgres.sink import PostgresSink
from sinks.protocol import Sink
from tailrace.errors import RowRefused, TargetRefused, TooManyExceptions
from tailrace.pipeline.keys import RowKeys
from tailrace.pipeline.retry import FIRST_WAIT_S
from tailrace.pipeline.stopping import Stop
from tailrace.state.exceptions.codec import pack, unpack
from tailrace.state.exceptions.model import ExceptionId, Request
from tests.line import wait_until
from tests.pipeline import desks
from tests.pipeline.desks import (
    ENTITY,
    FAILPOINTS,
    KINDS,
    LIMIT,
    MAPPING,
    SCHEMA,
    TARGET,
    Change,
    Pipeline,
    change_set,
)
from transforms.composite import composite
from transforms.model import Mapping, Replicate
from transforms.ownership import SystemOfRecord
from transforms.router import Router

HUB = f"""
create schema hub;
create table hub.item (id text primary key, kind text, amount bigint check (amount < {LIMIT}),
                       rev bigint);
create table hub.applied (rev bigint, transaction bigint);
create function hub.log() returns trigger language plpgsql as
    $$ begin insert into hub.applied values (new.rev, txid_current()); return null; end $$;
create trigger applied after insert or update on hub.item for each row execute function hub.log()
"""
Rows = dict[str, tuple[str, int, int]]


MARIA_HUB = (
    f"alter table hub.item add constraint small check (amount < {LIMIT})",
    "create table hub.applied (rev bigint, transaction bigint)",
    *(
        f"create trigger hub.on_{event} after {event} on hub.item for each row insert into"
        " hub.applied values (new.rev, (select marks from tailrace.checkpoint))"
        for event in ("insert", "update")
    ),
)
"""For tables that delivery has made. `marks` counts the transactions of the pipeline."""


@pytest.fixture
def pipeline(tmp_path: Path, database18) -> Pipeline:
    database18.execute(HUB)
    made = Pipeline(tmp_path, lambda: PostgresSink(database18.url, "line"))
    made.ask = database18.execute
    return made


@pytest.fixture(params=["mariadb", "mysql"])
def maria_pipeline(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    name, product = {"mariadb": ("maria_server", MARIADB), "mysql": ("mysql", MYSQL)}[request.param]
    server = request.getfixturevalue(name)
    made = Pipeline(tmp_path, lambda: MariadbSink(server.url(), "line", product=product))
    made.ask = lambda sql: [tuple(row) for row in server.execute(sql)]
    made.journal.append([Change(CREATE, "first", "A", 1, 0)])
    made.journal.append([Change(DELETE, "first")])
    made.deliver()
    server.execute(*MARIA_HUB)
    yield made
    server.execute("drop database hub", "drop database tailrace")


def rows(pipeline: Pipeline) -> Rows:
    found = query(pipeline, "select id, kind, amount, rev from hub.item")
    return {row[0]: row[1:] for row in found}


def query(pipeline: Pipeline, sql: str) -> list[Any]:
    return pipeline.ask(sql)


class World:
    """A source, what was done to each of its changes at the desk, and so what the target must be.

    The changes that are held or discarded left out, all are applied in the source's order.
    """

    def __init__(self, pipeline: Pipeline, seed: int) -> None:
        self.pipeline = pipeline
        self.chance = random.Random(seed)
        self.source: set[str] = set()
        self.changes: dict[str, Change] = {}
        self.discarded: set[str] = set()
        self.rev = 0

    def change(self, poison: float) -> Change:
        self.rev += 1
        chance = self.chance
        kind, amount = chance.choice("AB"), chance.randrange(LIMIT)
        if chance.random() < poison:
            kind, amount = chance.choice([("X", amount), (kind, LIMIT + 1)])
        key = str(chance.randrange(12))
        if chance.random() < 0.01:
            self.source.clear()
            return Change(TRUNCATE, "")
        if key not in self.source:
            self.source.add(key)
            return Change(CREATE, key, kind, amount, self.rev)
        if chance.random() < 0.2:
            self.source.remove(key)
            return Change(DELETE, key)
        other = str(chance.randrange(12))
        if chance.random() < 0.3 and other not in self.source:
            self.source.remove(key)
            self.source.add(other)
            return Change(UPDATE, other, kind, amount, self.rev, old=key)
        return Change(UPDATE, key, kind, amount, self.rev)

    def commit(self, changes: list[Change]) -> None:
        offset = self.pipeline.journal.append(changes)
        for seq, change in enumerate(changes):
            self.changes[f"{offset}-{seq}"] = change

    def expected(self, held: set[str]) -> Rows:
        found: Rows = {}
        for id, change in self.changes.items():
            if change.op == TRUNCATE:
                found.clear()
            if change.op == TRUNCATE or id in held or id in self.discarded:
                continue
            if change.op == DELETE or change.old is not None:
                found.pop(change.old or change.id, None)
            if change.op != DELETE:
                kind = KINDS.get(change.kind or "", "overtaken by a TRUNCATE")
                found[change.id] = (kind, change.amount, change.rev)  # type: ignore[assignment]
        return found

    def holds(self) -> None:
        with_receipt = {row[0] for row in query(self.pipeline, "select id from tailrace.exception")}
        store = self.pipeline.store()
        try:
            entries = {one["id"]: one for one in store.entries()}
        finally:
            store.close()
        assert set(entries) == with_receipt
        assert rows(self.pipeline) == self.expected(with_receipt)
        doubled = query(
            self.pipeline,
            "select rev from hub.applied group by rev having count(distinct transaction) > 1",
        )
        assert doubled == []
        facts = self.pipeline.reporter.report.facts  # type: ignore[union-attr]
        assert not facts.get("imbalances"), facts

    def mend(self, share: float) -> None:
        """Edit, replay and discard some of what is parked; some of it without any sense."""
        store = self.pipeline.store()
        for one in store.entries():
            if one["state"] != "parked" or self.chance.random() > share:
                continue
            id = ExceptionId.parse(one["id"])
            act = self.chance.random()
            if act < 0.15 and share < 1:
                if store.ask([Request(id, "discard", "test", "no use")]):
                    self.discarded.add(one["id"])
                continue
            if act < 0.85 or share == 1:
                self.edit(store, id, one["id"])
            store.ask([Request(id, "replay", "test", "")])
        store.close()

    def edit(self, store: Any, id: ExceptionId, name: str) -> None:
        (held,) = store.load([id])
        changes = unpack([held.current], SCHEMA)
        new = (changes.new[0], pa.array(["A"]), pa.array(["7"]), changes.new[3])
        (packed,) = pack(replace(changes, new=new, unsent={}), [0])
        if store.edit(id, packed, "test", "kind, amount"):
            was = self.changes[name]
            self.changes[name] = Change(was.op, was.id, "A", 7, was.rev, was.old)


@pytest.mark.parametrize("seed", range(4))
def test_random_lives(seed: int, pipeline: Pipeline) -> None:
    live(World(pipeline, seed), rounds=20)


def test_random_lives_at_mariadb_and_mysql(maria_pipeline: Pipeline) -> None:
    live(World(maria_pipeline, 1), rounds=10)


def live(world: World, rounds: int) -> None:
    pipeline = world.pipeline
    kills: Counter[str] = Counter()
    for _ in range(rounds):
        for _ in range(world.chance.randrange(1, 5)):
            size = world.chance.choice((1, 1, 2, 6, 40))
            world.commit([world.change(0.08) for _ in range(size)])
        world.mend(0.5)
        while world.chance.random() < 0.5:
            name, nth = world.chance.choice(FAILPOINTS), world.chance.choice((1, 1, 2))
            if pipeline.deliver_or_die(name, nth):
                kills[name] += 1
        pipeline.deliver()
        world.holds()
    for _ in range(60):
        if not query(pipeline, "select 1 from tailrace.exception"):
            break
        world.mend(1)
        pipeline.deliver()
        world.holds()
    assert query(pipeline, "select * from tailrace.exception") == []
    assert kills


@pytest.mark.parametrize("name", [n for n in FAILPOINTS if n != "deliver.staged"])
@pytest.mark.parametrize("replayed", [False, True], ids=["parked", "replayed"])
def test_a_kill_between_any_two_steps(name: str, replayed: bool, pipeline: Pipeline) -> None:
    """Of parking a change with one that waits behind it, and of replaying them."""
    world = World(pipeline, 0)
    world.commit([Change(CREATE, "1", "X", 1, 1), Change(UPDATE, "1", "B", 5, 2)])
    world.commit([Change(CREATE, "2", "A", LIMIT, 3), Change(CREATE, "3", "B", 1, 4)])
    if replayed:
        pipeline.deliver()
        world.holds()
        world.mend(1)
        pipeline.deliver_or_die(name, 1)
    else:
        assert pipeline.deliver_or_die(name, 1)
    pipeline.deliver()
    world.holds()
    held = query(pipeline, "select count(*) from tailrace.exception")
    assert held == [(0 if replayed else 3,)]
    pipeline.deliver()  # once more changes nothing
    world.holds()


def test_many_rows_with_one_in_a_hundred_refused(pipeline: Pipeline) -> None:
    world = World(pipeline, 0)
    world.source = {"none"}
    world.commit(
        [
            Change(CREATE, f"k{n}", "X" if n % 200 == 7 else "A", LIMIT if n % 200 == 93 else 1, n)
            for n in range(6000)
        ]
    )
    world.commit([Change(UPDATE, f"k{n}", "B", 2, 10_000 + n) for n in range(0, 6000, 31)])
    pipeline.deliver()
    world.holds()
    assert query(pipeline, "select count(*) from hub.item") == [(5940,)]


def test_a_refused_row_costs_its_batch_a_round_trip(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few rows are sent at once and answered at once, and so is the commit; of more the COPY is
    refused, and sent again without the row."""
    asked: list[int] = []
    reads: list[int] = []
    for name in ("_answers", "cursor"):
        ask = getattr(Session, name)

        def counted(self: Session, *given: Any, ask: Any = ask) -> Any:
            asked.append(1)
            return ask(self, *given)

        monkeypatch.setattr(Session, name, counted)

    def read(after: int, *, bytes_max: int) -> Any:
        reads.append(len(asked))
        return pipeline.journal.entries[after : after + 1]

    monkeypatch.setattr(pipeline.journal, "read", read)
    sizes = (8, 40)
    for number in range(3):
        for size in sizes:
            for amount in (1, LIMIT):
                batch = [
                    Change(CREATE, f"{number}-{size}-{amount}-{n}", "A", 1, n) for n in range(size)
                ]
                batch[size // 2] = replace(batch[size // 2], amount=amount)
                pipeline.journal.append(batch)
    pipeline.deliver()
    costs = [after - before for before, after in pairwise(reads)]
    assert costs[-4:] == [2, 3, 3, 5]
    assert [one["state"] for one in held(pipeline)] == ["parked"] * 6


def test_a_refused_row_costs_its_batch_few_round_trips_at_mariadb_and_mysql(
    maria_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight new rows, eight changed ones, and many of both, each without and with a refused one."""
    trips = 0
    is_sent = False
    reads: list[int] = []
    send, receive = PyMySQL._write_bytes, PyMySQL._read_bytes

    def sent(self: Any, data: bytes) -> Any:
        nonlocal is_sent
        is_sent = True
        return send(self, data)

    def received(self: Any, size: int) -> Any:
        nonlocal trips, is_sent
        trips += is_sent
        is_sent = False
        return receive(self, size)

    monkeypatch.setattr(PyMySQL, "_write_bytes", sent)
    monkeypatch.setattr(PyMySQL, "_read_bytes", received)

    def read(after: int, *, bytes_max: int) -> Any:
        reads.append(trips)
        return maria_pipeline.journal.entries[after : after + 1]

    monkeypatch.setattr(maria_pipeline.journal, "read", read)
    for number in range(2):
        for size in (8, 200):
            for amount in (1, LIMIT):
                for op in (CREATE, UPDATE):
                    keys = f"{number}-{size}-{amount if op == CREATE else 1}"
                    batch = [Change(op, f"{keys}-{n}", "A", 1, n) for n in range(size)]
                    batch[size // 2] = replace(batch[size // 2], amount=amount)
                    maria_pipeline.journal.append(batch)
    maria_pipeline.deliver()
    costs = [after - before for before, after in pairwise(reads)][-8:]
    assert costs == [2, 2, 3, 3, 2, 3, 5, 8]
    assert [one["state"] for one in held(maria_pipeline)] == ["parked"] * 8


@pytest.mark.parametrize(("kind", "amount"), [("X", 1), ("A", LIMIT)], ids=["mapping", "target"])
@pytest.mark.parametrize("bad", [10, 6])
def test_the_desk_does_not_fill(pipeline: Pipeline, bad: int, kind: str, amount: int) -> None:
    """Also where what fails comes in batches too small to tell by themselves."""
    world = World(pipeline, 0)
    for n in range(40):
        world.commit(
            [
                Change(CREATE, f"{n}-{i}", kind, amount, n * 100 + i)
                if i < bad
                else Change(CREATE, f"{n}-{i}", "A", 1, n * 100 + i)
                for i in range(10)
            ]
        )
    with pytest.raises(TooManyExceptions):
        pipeline.deliver()
    with pytest.raises(TooManyExceptions):
        pipeline.deliver()
    assert query(pipeline, "select count(*) from tailrace.exception") == [(0,)]


def ask_all(pipeline: Pipeline, action: Any = "replay") -> None:
    with closing(pipeline.store()) as store:
        parked = [one["id"] for one in store.entries() if one["state"] == "parked"]
        store.ask([Request(ExceptionId.parse(id), action, "test", "why") for id in parked])


def held(pipeline: Pipeline) -> list[dict[str, Any]]:
    with closing(pipeline.store()) as store:
        return store.entries()


def test_a_replay_in_vain_stops_nobody(pipeline: Pipeline) -> None:
    """However many changes fail again, what is new is written."""
    pipeline.journal.append(
        [Change(CREATE, f"k{n}", "A" if n % 3 else "X", 1, n) for n in range(900)]
    )
    pipeline.deliver()
    ask_all(pipeline)
    pipeline.journal.append([Change(CREATE, "new", "A", 1, 900)])
    pipeline.deliver()
    assert {one["attempts"] for one in held(pipeline)} == {2}
    assert len(rows(pipeline)) == 601


def test_what_only_a_replay_meets_stops_nobody(pipeline: Pipeline) -> None:
    """Such as a trigger whose table is gone, and which only its row fires."""
    pipeline.journal.append([Change(CREATE, "1", "A", LIMIT, 1)])
    pipeline.deliver()
    query(
        pipeline,
        "alter table hub.item drop constraint item_amount_check;"
        "create function hub.audit() returns trigger language plpgsql as"
        " $$ begin insert into hub.gone values (new.id); return null; end $$;"
        "create trigger audit after insert on hub.item for each row"
        f" when (new.amount >= {LIMIT}) execute function hub.audit(); select 1",
    )
    ask_all(pipeline)
    pipeline.journal.append([Change(CREATE, "2", "A", 1, 2)])
    pipeline.deliver()
    assert rows(pipeline) == {"2": ("alpha", 1, 2)}
    (one,) = held(pipeline)
    assert (one["state"], one["asked"]) == ("parked", None)
    with closing(pipeline.store()) as store:
        last = store.audit(ExceptionId.parse(one["id"]))[-1]
    assert last["action"] == "replay failed"
    assert "hub.gone" in last["reason"]
    query(pipeline, "create table hub.gone (id text); select 1")
    ask_all(pipeline)
    pipeline.deliver()
    assert rows(pipeline) == {"1": ("alpha", LIMIT, 1), "2": ("alpha", 1, 2)}


def test_a_shape_that_no_mapping_fits_any_more(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source has renamed a column, and the mapping goes with it."""
    pipeline.journal.append(
        [Change(CREATE, "1", "X", 1, 1), Change(UPDATE, "1", "A", 1, 2), Change(CREATE, "2", "A")]
    )
    pipeline.deliver()
    fields = {"kind": "sort", "amount": "amount", "rev": "rev"}
    renamed = {**MAPPING.model_dump(mode="json", exclude_none=True), "fields": fields}
    monkeypatch.setattr(desks, "MAPPING", Mapping.model_validate(renamed))
    for _ in range(2):
        ask_all(pipeline)
        pipeline.deliver()
        assert [(one["state"], one["cause_key"]) for one in held(pipeline)] == [
            ("parked", "shape:shop.item:mapping"),
            ("waiting", None),
        ]
        assert not pipeline.reporter.report.facts.get("imbalances")  # type: ignore[union-attr]
    for _ in range(2):
        ask_all(pipeline, "discard")
        pipeline.deliver()
    assert held(pipeline) == []
    assert query(pipeline, "select * from tailrace.exception") == []
    assert list(rows(pipeline)) == ["2"]


def test_a_pause_waits_although_something_is_asked(pipeline: Pipeline) -> None:
    """Or a target that refuses everything would be asked without end."""
    pipeline.journal.append([Change(CREATE, "1", "X", 1, 1)])
    pipeline.deliver()
    ask_all(pipeline)
    stop, waits = Stop(), []

    def refused() -> Sink:
        if len(waits) == 3:
            stop.set()
        waits.append(time.monotonic())
        raise TargetRefused("no such target")

    pipeline.deliver(refused, stop)
    assert len(waits) == 4
    assert waits[-1] - waits[0] >= FIRST_WAIT_S / 2 * 7  # 1 + 2 + 4, each with jitter


def test_an_edit_while_it_is_tried(pipeline: Pipeline) -> None:
    """What a person wrote meanwhile stays."""
    pipeline.journal.append([Change(CREATE, "1", "X", 1, 1)])
    pipeline.deliver()
    with closing(pipeline.store()) as store:
        (before,) = store.load([ExceptionId(1, 0)])
        assert store.edit(before.id, b"edited", "test", "kind")
        store.save([replace(before, attempts=2)], {})
        (after,) = store.load([before.id])
    assert (after.current, after.attempts) == (b"edited", 2)


def test_two_texts_of_one_key(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.0 went, and came again as 1.00: it waits for what happened to it before."""
    query(pipeline, "alter table hub.item alter id type numeric using id::numeric; select 1")
    id = Column("id", "numeric", "numeric", nullable=False)
    schema = replace(SCHEMA, columns=(id, *SCHEMA.columns[1:]))
    rule = Replicate.model_validate({"tables": ["shop.*"], "into": "hub.{table}"})
    monkeypatch.setattr(desks, "SCHEMA", schema)
    monkeypatch.setattr(desks, "Router", lambda *_: Router([rule], [], {}))
    pipeline.journal.append([Change(CREATE, "1.0", "old", LIMIT, 1)])
    pipeline.deliver()
    pipeline.journal.append([Change(DELETE, "1.0"), Change(CREATE, "1.00", "new", 1, 2)])
    pipeline.deliver()
    assert [one["state"] for one in held(pipeline)] == ["parked", "waiting", "waiting"]
    query(pipeline, "alter table hub.item drop constraint item_amount_check; select 1")
    ask_all(pipeline)
    pipeline.deliver()
    assert held(pipeline) == []
    assert query(pipeline, "select kind from hub.item") == [("new",)]


@pytest.mark.parametrize(
    ("one", "two"), [("abc", "ABC "), ("m\u00fcller", "MULLER"), ("\ufb01", "FI")]
)
def test_texts_that_a_collation_may_take_for_one(one: str, two: str) -> None:
    (table,) = change_set(
        [Change(CREATE, one), Change(CREATE, "x"), Change(DELETE, two)], ""
    ).tables
    keys = RowKeys(table)
    assert keys.of(0) == keys.of(2) != keys.of(1)
    assert keys.touching(set(keys.of(0))) == [0, 2]


def test_one_bad_row_after_a_pause(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once what failed before goes through, it says nothing of the rows that follow."""
    monkeypatch.setattr(pipeline.journal, "wait", lambda _: Event().wait(0.01), raising=False)
    stop = Stop()

    def says(state: str) -> Callable[[], bool]:
        last = len(pipeline.journal.entries)

        def holds() -> bool:
            report = None if pipeline.reporter is None else pipeline.reporter.report
            if report is None or report.state != state:
                return False
            return state == "paused" or report.facts.get("offset") == last

        return holds

    def fails(name: str, count: int, amount: int = LIMIT) -> None:
        pipeline.journal.append(
            [Change(CREATE, f"{name}{n}", "A", amount, n) for n in range(count)]
        )

    fails("few", 190)
    line = Thread(target=pipeline.deliver, args=(None, stop))
    line.start()
    try:
        wait_until(says("waiting"), "190 parked rows")
        fails("more", 20)
        wait_until(says("paused"), "delivery to pause")
        query(pipeline, "alter table hub.item drop constraint item_amount_check; select 1")
        wait_until(says("waiting"), "delivery to go on")
        query(pipeline, "alter table hub.item add check (amount <> 5000); select 1")
        fails("one", 1, 5000)
        wait_until(says("waiting"), "one parked row")
    finally:
        stop.set()
        line.join()
    assert len(held(pipeline)) == 191


def test_changed_rules_that_the_target_refuses(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a row that nobody has changed: so no change is parked for it."""

    def owned_by(source: str) -> None:
        record = {"rows": "erp", "default": "erp", "kind": source}
        both = ENTITY.model_copy(update={"system_of_record": SystemOfRecord.model_validate(record)})
        plan = composite(both, TARGET, {"erp": ["kind", "amount", "rev"], "crm": ["kind"]})
        monkeypatch.setattr(
            desks,
            "Router",
            lambda _, mappings, __: Router(
                [], mappings, {"item": both}, source="erp", composites={TARGET: plan}
            ),
        )

    owned_by("erp")
    query(pipeline, "alter table hub.item add check (id <> '1' or kind is not null); select 1")
    pipeline.journal.append([Change(CREATE, "1", "A", 1, 1)])
    pipeline.deliver()
    owned_by("crm")
    pipeline.journal.append([Change(CREATE, "2", "A", 1, 2)])
    with pytest.raises(TargetRefused, match="changed rules") as raised:
        pipeline.deliver()
    assert not isinstance(raised.value, RowRefused)
    assert held(pipeline) == []
    query(pipeline, "alter table hub.item drop constraint item_check; select 1")
    pipeline.deliver()
    assert rows(pipeline) == {"1": (None, 1, 1), "2": (None, 1, 2)}
