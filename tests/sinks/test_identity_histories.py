"""Histories of sources whose records are recognised, in many orders, against the oracle."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from random import Random
from uuid import UUID

import pytest

from sinks.identity_people import People
from sinks.mysql.identity_people import MysqlPeople
from sinks.mysql.products import MARIADB, MYSQL
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.mysql.types import IDENTIFIED_CHARACTERS_MAX
from sinks.postgres.identity_people import PostgresPeople
from sinks.postgres.settings import PostgresTarget
from sinks.protocol import Checkpoint
from sinks.recognising import MATCHES_MAX
from tailrace.errors import RowRefused, TargetRefused, TargetUnavailable
from tests.sinks.harness import PostgresHarness
from tests.sinks.histories import Event, changes_of
from tests.sinks.identity_histories import (
    FIELDS,
    RULES,
    Hub,
    Record,
    Values,
    customer,
    values,
)
from tests.sinks.maria_harness import MariadbHarness
from transforms.composite import Composite

SOURCES = ("crm", "erp", "shop")
WORLDS = 60
Target = PostgresHarness | MariadbHarness


@pytest.fixture(params=["postgres", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param == "postgres":
        yield request.getfixturevalue("harness18")
        return
    mysql = request.param == "mysql"
    server = request.getfixturevalue("mysql" if mysql else "maria_server")
    harness = MariadbHarness(server, MYSQL if mysql else MARIADB)
    yield harness
    harness.close()


def people_of(target: Target) -> People:
    if isinstance(target, PostgresHarness):
        return PostgresPeople(PostgresTarget(type="postgres", url=target.url))
    if target.product is MYSQL:
        return MysqlPeople(MysqlTarget(type="mysql", url=target.url))
    return MysqlPeople(MariadbTarget(type="mariadb", url=target.url))


class Line:
    """A pipeline of each source into one target."""

    def __init__(self, harness: Target, composite: Composite) -> None:
        self.harness = harness
        self.composite = composite
        self.offsets: dict[str, int] = {}
        self.sinks = {side.source: harness.sink(side.source) for side in composite.sides}
        for source in self.sinks:
            self._open(source)

    def write(self, source: str, events: Sequence[Event], cut: Sequence[int] = ()) -> None:
        """In one transaction."""
        self.sinks[source].write(changes_of(events, cut))
        self.offsets[source] += 1
        offset = self.offsets[source]
        self.sinks[source].commit(Checkpoint(f"journal-{source}", offset, f"0/{offset}"))

    def write_at_last(self, source: str, events: Sequence[Event]) -> None:
        """As delivery does: what passes, such as a deadlock, is tried again."""
        while True:
            try:
                self.write(source, events)
                return
            except TargetUnavailable:
                self._open(source)

    def break_off(self, source: str, events: Sequence[Event]) -> None:
        with suppress(TargetUnavailable):
            self.sinks[source].write(changes_of(events, []))
        self._open(source)

    def _open(self, source: str) -> None:
        """The connection before is broken off."""
        sink = self.sinks[source]
        sink.close()
        self.offsets[source] = sink.open(f"journal-{source}").offset
        sink.prepare([*self.composite.tables])

    def in_vain(self, source: str, events: Sequence[Event]) -> None:
        self.sinks[source].write(changes_of(events, []))
        self.sinks[source].rollback()
        self.sinks[source].prepare([*self.composite.tables])

    def close_sinks(self) -> None:
        for sink in self.sinks.values():
            sink.close()

    def close(self) -> None:
        self.close_sinks()
        self.harness.close()

    @property
    def identities(self) -> dict[Record, str]:
        rows = self.harness.execute(
            "select source, source_key, canonical_id from tailrace.identity"
        )
        return {(str(source), str(key)): str(found) for source, key, found in rows}

    def clusters(self, hub: Hub) -> set[frozenset[Record]]:
        """Of the records that sources have now."""
        groups: dict[str, set[Record]] = defaultdict(set)
        for record, found in self.identities.items():
            if record in hub.held:
                groups[found].add(record)
        return {frozenset(group) for group in groups.values()}

    @property
    def conflicts(self) -> set[frozenset[Record]]:
        return self._pairs("tailrace.identity_conflict")

    def _pairs(self, table: str) -> set[frozenset[Record]]:
        rows = self.harness.execute(
            f"select source, source_key, other_source, other_key from {table}"
        )
        return {frozenset(((str(a), str(b)), (str(c), str(d)))) for a, b, c, d in rows}

    @property
    def apart(self) -> set[frozenset[Record]]:
        return self._pairs("tailrace.identity_apart")

    @property
    def entities(self) -> dict[str, Values]:
        rows = self.harness.rows(self.composite.whole)
        return {str(row[0]): dict(zip(FIELDS, row[1:], strict=True)) for row in rows}


def holds(line: Line, hub: Hub, where: object) -> None:
    """What is true after any history."""
    identities = line.identities
    assert set(hub.held) <= set(identities), where
    for group in line.clusters(hub):
        assert len({source for source, _ in group}) == len(group), where
    decided = line.apart
    assert not any(len({identities.get(each) for each in pair}) == 1 for pair in decided), where
    two = {pair for pair in hub.matches() if len({identities[record] for record in pair}) == 2}
    assert line.conflicts == two - decided, where
    expected: dict[str, Values] = {}
    for (source, key), found in identities.items():
        if source == hub.composite.rows and (source, key) in hub.held:
            said = [
                hub.held[record]
                for record in [(hub.composite.rows, key), *sorted(hub.held)]
                if identities[record] == found
            ]
            expected[found] = {
                name: next((row[name] for row in said if row[name] is not None), None)
                for name in FIELDS
            }
    assert line.entities == expected, where


def assert_digests(identities: dict[Record, str], rows: str) -> None:
    """An id is the digest of a record of it: of that of `rows`, or of the first other source."""
    groups: dict[str, set[Record]] = defaultdict(set)
    for record, found in identities.items():
        groups[found].add(record)
    for found, records in groups.items():
        named = min(records, key=lambda record: (record[0] != rows, record))
        said = json.dumps(["customer", *named, 0], ensure_ascii=False)
        assert found == str(UUID(hashlib.sha256(said.encode()).hexdigest()[:32]))


def records_of(random: Random, composite: Composite, worlds: int) -> list[tuple[str, str, Values]]:
    """Of many worlds, none of which is ambiguous."""
    given = []
    for world in range(worlds):
        hub = Hub(composite)
        for number in range(10):
            source = random.choice([side.source for side in composite.sides])
            key, row = f"{world}.{number}", values(random, world, 6)
            hub.row(source, key, row)
            if hub.ambiguous():
                del hub.held[source, key]
            else:
                given.append((source, key, row))
    return given


@pytest.mark.parametrize(
    ("target", "sources", "rows", "worlds"),
    [
        ("postgres", SOURCES, "erp", WORLDS),
        ("postgres", SOURCES, "crm", WORLDS),
        ("postgres", SOURCES[:2], "erp", WORLDS),
        ("mariadb", SOURCES, "erp", WORLDS // 3),
        ("mysql", SOURCES, "crm", WORLDS // 3),
    ],
    indirect=["target"],
)
def test_clusters_and_ids_are_the_same_in_every_order(
    target: Target, sources: tuple[str, ...], rows: str, worlds: int
) -> None:
    """Of records that come and keep what they say, where nothing is ambiguous: the order in which
    records and sources come, and how they are cut into batches, is drawn for each world."""
    composite = customer(sources, rows)
    random = Random(f"{sources} {rows}")
    given = records_of(random, composite, worlds)
    seen: set[object] = set()
    for order in range(3 if isinstance(target, PostgresHarness) else 2):
        random.shuffle(given)
        line, hub, rest = Line(target, composite), Hub(composite), list(given)
        while rest:
            taken = random.choice([10, 60, 300])
            batch, rest = rest[:taken], rest[taken:]
            for source in random.sample(sources, len(sources)):
                events = [hub.row(*each) for each in batch if each[0] == source]
                if events:
                    line.write(source, events, [random.randrange(len(events))])
        holds(line, hub, order)
        assert line.conflicts == set(), order
        assert line.clusters(hub) == hub.clusters(), order
        assert len(hub.clusters()) < len(hub.held) * 0.9  # something was to be joined
        assert_digests(line.identities, rows)
        seen.add((frozenset(line.identities.items()), frozenset(line.entities)))
        line.close()
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("target", "seed", "worlds"),
    [
        *(("postgres", seed, worlds) for seed, worlds in enumerate((1, 3, WORLDS, WORLDS))),
        ("mariadb", 1, 3),
        ("mysql", 2, WORLDS // 3),
    ],
    indirect=["target"],
)
def test_any_history(target: Target, seed: int, worlds: int) -> None:
    """Values that change, keys that move, deletes, clears, ambiguity: nothing is lost or doubled,
    every match that is not joined is listed, and an entity that stays keeps its id."""
    random = Random(seed)
    composite = customer(SOURCES[: 2 + seed % 2], random.choice(["crm", "erp"]))
    hub, line = Hub(composite), Line(target, composite)
    before: dict[Record, str] = {}
    for step in range(16):
        source = random.choice([side.source for side in composite.sides])
        kept = {record for record in hub.held if record[0] == composite.rows}
        events: list[Event] = []
        if random.random() < 0.1:
            kept -= {record for record in kept if record[0] == source}
            events.append(hub.cleared(source))
        for world in range(worlds):
            for _ in range(random.choice([0, 1, 2, 4])):
                events.append(event(random, hub, source, world, kept))
        if not events:
            continue
        if random.random() < 0.1:
            line.in_vain(source, events)
        line.write(source, events, [random.randrange(len(events))])
        holds(line, hub, step)
        after = line.identities
        assert all(after[record] == before[record] for record in kept & set(hub.held)), step
        before = after
    line.close()


def event(random: Random, hub: Hub, source: str, world: int, kept: set[Record]) -> Event:
    """`kept` loses the records that do not stay what they are."""
    keys = [f"{world}.{number}" for number in range(5)]
    there = [key for key in keys if (source, key) in hub.held]
    free = [key for key in keys if key not in there]
    kind = random.choice("iiuudm")
    if kind == "d" and there:
        key = random.choice(there)
        kept.discard((source, key))
        return hub.gone(source, key)
    if kind == "m" and there and free:
        old, new = random.choice(there), random.choice(free)
        kept -= {(source, old), (source, new)}
        return hub.row(source, new, values(random, world, 4), old)
    key = random.choice(there if kind == "u" and there else keys)
    return hub.row(source, key, values(random, world, 4))


@pytest.mark.parametrize(
    ("target", "seed"),
    [*(("postgres", seed) for seed in range(3)), ("mariadb", 1), ("mysql", 2)],
    indirect=["target"],
)
def test_people_decide_in_any_history(target: Target, seed: int) -> None:
    """What they set apart stays apart, what they merge stays one, whatever comes later."""
    random = Random(seed)
    composite = customer(SOURCES, "erp")
    hub, line = Hub(composite), Line(target, composite)
    people = people_of(target)
    done = {"merge": 0, "split": 0}
    for step in range(20):
        source = random.choice(SOURCES)
        events = [event(random, hub, source, world, set()) for world in range(6)]
        line.write(source, events)
        holds(line, hub, step)
        together = {
            pair for group in line.clusters(hub) for pair in map(frozenset, combinations(group, 2))
        }
        action = random.choice(["merge", "split"])
        before = line.identities
        one = random.choice(sorted(hub.held))
        try:
            if action == "split":
                people.split(composite, *one, "anna", "they are two")
            else:
                into = random.choice(sorted(set(before.values())))
                people.merge(composite, before[one], into, "anna", "they are one")
        except TargetRefused:
            assert line.identities == before
            continue
        done[action] += 1
        holds(line, hub, (step, action))
        after = line.identities
        if action == "split":
            mates = {each for each in before if before[each] == before[one] and each != one}
            assert {frozenset((one, mate)) for mate in mates} <= line.apart
        else:
            assert after[one] == into
            assert all(len({after[each] for each in pair}) == 1 for pair in together)
    assert min(done.values()) > 0
    (actions,) = target.execute("select count(*) from tailrace.identity_action")
    assert actions == (sum(done.values()),)
    line.close()


def test_sources_come_at_once(target: Target) -> None:
    """The entity's lock makes it one order or another, and all are the same; also where connections
    break within a transaction."""
    composite = customer(SOURCES, "erp")
    random = Random(7)
    given = records_of(random, composite, WORLDS)
    line, hub = Line(target, composite), Hub(composite)
    batches = {
        source: [
            [hub.row(*each) for each in given[at : at + 80] if each[0] == source]
            for at in range(0, len(given), 80)
        ]
        for source in SOURCES
    }
    go = threading.Barrier(len(SOURCES))

    def run(source: str) -> None:
        breaks = Random(source)
        go.wait()
        for events in filter(None, batches[source]):
            if breaks.random() < 0.3:
                line.break_off(source, events)
            line.write_at_last(source, events)

    with ThreadPoolExecutor(len(SOURCES)) as pool:
        list(pool.map(run, SOURCES))
    holds(line, hub, "")
    assert line.clusters(hub) == hub.clusters()
    line.close()


def test_other_rules_recognise_what_is_there(target: Target) -> None:
    composite = replace(customer(("erp", "shop"), "erp"), match=RULES[:1])
    line, hub = Line(target, composite), Hub(composite)
    one: Values = {"name": "n", "tax": "t1", "mail": "m@x", "zip": None}
    line.write("erp", [hub.row("erp", "0.1", one)])
    line.write("shop", [hub.row("shop", "0.2", {**one, "tax": None})])
    assert len(line.clusters(hub)) == 2
    line.close_sinks()
    line = Line(target, customer(("erp", "shop"), "erp"))
    line.write("shop", [hub.row("shop", "0.9", {**one, "mail": None, "tax": None})])
    assert frozenset({("erp", "0.1"), ("shop", "0.2")}) in line.clusters(hub)
    holds(line, hub, "")
    if isinstance(target, PostgresHarness):
        (indexes,) = target.execute(
            "select count(*) from pg_indexes where schemaname = 'tailrace' and indexname like"
            " 'tailrace_match_%'"
        )
        assert indexes == (6,)
    line.close()


def test_a_record_that_comes_again(target: Target) -> None:
    """It has its identity still, unless another record of its source has taken the place."""
    composite = customer(("erp", "shop"), "erp")
    line, hub = Line(target, composite), Hub(composite)
    one: Values = {"name": "n", "tax": "t1", "mail": None, "zip": None}
    line.write("erp", [hub.row("erp", "0.1", one)])
    line.write("shop", [hub.row("shop", "0.2", one)])
    first = line.identities["erp", "0.1"]
    line.write("erp", [hub.gone("erp", "0.1")])
    line.write("erp", [hub.row("erp", "0.1", {**one, "tax": "other"})])
    assert line.identities == {("erp", "0.1"): first, ("shop", "0.2"): first}
    line.write("erp", [hub.gone("erp", "0.1")])
    line.write("erp", [hub.row("erp", "0.5", one)])
    assert ("erp", "0.1") not in line.identities
    assert line.identities["shop", "0.2"] == line.identities["erp", "0.5"]
    line.write("erp", [hub.row("erp", "0.1", one)])
    holds(line, hub, "")
    assert line.conflicts == {frozenset({("erp", "0.1"), ("shop", "0.2")})}
    line.close()


def test_a_snapshot_joins_nothing_else(target: Target) -> None:
    """Records that are only not there again yet keep their place."""
    composite = customer(("erp", "shop"), "erp")
    line, hub = Line(target, composite), Hub(composite)
    one: Values = {"name": "n", "tax": "t1", "mail": None, "zip": None}
    line.write("erp", [hub.row("erp", "0.5", one)])
    line.write("shop", [hub.row("shop", "0.2", one)])
    line.write("erp", [hub.row("erp", "0.1", one)])
    before = line.identities
    line.sinks["erp"].write(changes_of([hub.cleared("erp"), hub.row("erp", "0.1", one)], []))
    line.write("erp", [hub.row("erp", "0.5", one)])
    assert line.identities == before
    assert line.conflicts == {frozenset({("erp", "0.1"), ("shop", "0.2")})}
    holds(line, hub, "")
    line.sinks["erp"].write(changes_of([hub.cleared("erp")], []))
    line.write("erp", [hub.row("erp", "0.1", one)])
    line.write("shop", [hub.row("shop", "0.2", {**one, "name": "m"})])
    assert line.identities["shop", "0.2"] == line.identities["erp", "0.1"]
    holds(line, hub, "")
    line.close()


def test_what_many_share_identifies_nobody(target: Target) -> None:
    """Neither are they joined, nor is the list of conflicts as long as their square."""
    composite = customer(("erp", "shop"), "erp")
    line, hub = Line(target, composite), Hub(composite)
    info: Values = {"name": "n", "tax": None, "mail": "info@x", "zip": None}
    line.write("erp", [hub.row("erp", str(number), info) for number in range(150)])
    line.write("shop", [hub.row("shop", str(number), info) for number in range(150)])
    assert len(line.clusters(hub)) == 300
    assert 150 <= len(line.conflicts) <= 150 * MATCHES_MAX
    for sink in line.sinks.values():
        assert sink.conflicts() == {"customer": len(line.conflicts)}
    one = {**info, "mail": "own@x"}
    line.write("erp", [hub.row("erp", "7", one)])
    line.write("shop", [hub.row("shop", "8", one)])
    assert frozenset({("erp", "7"), ("shop", "8")}) in line.clusters(hub)
    assert len(line.clusters(hub)) == 299
    line.close()


ODD = ("a", "A", "a ", " a", "ä", "😀", "\\'\"%s%%", "c/\t\n", "\u200b", "ss", "ß")


def test_keys_and_values_are_told_apart_to_the_byte(target: Target) -> None:
    """Of case, spaces, accents; whatever the target's collation says. The ids are digests still."""
    composite = customer(("erp", "shop"), "erp")
    line, hub = Line(target, composite), Hub(composite)
    rows = [(text, {"name": text, "tax": text, "mail": None, "zip": None}) for text in ODD]
    line.write("shop", [hub.row("shop", *row) for row in rows])
    line.write("erp", [hub.row("erp", *row) for row in reversed(rows)])
    holds(line, hub, "")
    assert line.clusters(hub) == {frozenset({("erp", text), ("shop", text)}) for text in ODD}
    assert line.conflicts == set()
    assert_digests(line.identities, "erp")
    people = people_of(target)
    people.split(composite, "shop", ODD[6], "anna", "'s %s \\")
    holds(line, hub, "")
    assert line.apart == {frozenset({("erp", ODD[6]), ("shop", ODD[6])})}
    line.close()


def test_a_key_that_is_too_long_is_refused_as_its_row(maria_harness: MariadbHarness) -> None:
    composite = customer(("erp", "shop"), "erp")
    line, hub = Line(maria_harness, composite), Hub(composite)
    one: Values = {"name": "n", "tax": "t1", "mail": None, "zip": None}
    longest = "ä" * IDENTIFIED_CHARACTERS_MAX
    with pytest.raises(RowRefused, match="too long"):
        line.write("erp", [Hub(composite).row("erp", longest + "x", one)])
    line.sinks["erp"].rollback()
    line.sinks["erp"].prepare([*composite.tables])
    line.write("shop", [hub.row("shop", longest, one)])
    line.write("erp", [hub.row("erp", longest, one)])
    line.write("erp", [hub.row("erp", longest[:-1] + "o", one, longest)])
    holds(line, hub, "")
    assert len(line.clusters(hub)) == 1
    line.write("erp", [hub.gone("erp", longest + "x")])
    holds(line, hub, "")
    line.close()
