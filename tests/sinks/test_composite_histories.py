"""Thousands of interleavings of several sources' histories: the entity is what its sources say.

Many histories, each with keys of its own, run through one target at a time. What is committed is
compared with the oracle on the way, too, since each prefix of an interleaving is one itself.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from random import Random

import pytest

from sinks import refusals
from sinks.composite_conformance import Row, Two, customer, differences_of, of
from sinks.mysql.checkpoint import CheckpointTable
from sinks.mysql.session import execute
from sinks.protocol import Checkpoint, Sink
from tailrace.errors import TargetUnavailable
from tests.sinks.composite_histories import Source, expected, random_composite, sources_of
from tests.sinks.harness import PostgresHarness
from tests.sinks.histories import Event, changes_of
from tests.sinks.maria_harness import MariadbHarness
from transforms.composite import Composite
from transforms.rows import UPSERT

TRANSACTIONS = 12
Target = PostgresHarness | MariadbHarness


class Pipeline:
    """Writes one source's events."""

    def __init__(self, target: Target, composite: Composite, source: str) -> None:
        self.journal = f"journal-{source}"
        self.offset = 0
        self._tables = [*composite.tables, composite.side_table(source)]
        self.sink: Sink = target.sink(source)
        self.open()

    def open(self) -> None:
        assert self.sink.open(self.journal).offset == self.offset
        self.sink.prepare(self._tables)

    def write(self, events: list[Event], cuts: list[int]) -> None:
        """In several writes of one transaction."""
        places = sorted({0, len(events), *cuts})
        for first, last in pairwise(places):
            self.sink.write(changes_of(events[first:last], [(last - first) // 2]))

    def commit(self) -> int:
        self.offset += 1
        checkpoint = Checkpoint(self.journal, self.offset, f"0/{self.offset}")
        self.sink.commit(checkpoint)
        return self.sink.discrepancies()["customer"]

    def apply(self, events: list[Event], random: Random) -> int:
        """Perhaps after a try that came to nothing."""
        cuts = [random.randrange(len(events) + 1) for _ in range(random.choice([0, 0, 1, 2]))]
        fate = random.random()
        if fate < 0.1:
            self.write(events[: len(events) // 2], [])
            self.sink.rollback()
            self.sink.prepare(self._tables)
        elif fate < 0.2:
            self.write(events, cuts)
            self.sink.close()
            self.open()
        self.write(events, cuts)
        return self.commit()


def found(target: Target, composite: Composite) -> tuple[set[Row], set[Row]]:
    rows = target.rows(composite.whole)
    return rows, differences_of(target)


def run_round(target: Target, seed: int, histories: int) -> None:
    random = Random(seed)
    composite = random_composite(random)
    sources = sources_of(composite, random)
    pipelines = {name: Pipeline(target, composite, name) for name in sources}
    for number in range(TRANSACTIONS):
        source = sources[random.choice(sorted(sources))]
        taken = [each for each in range(histories) if random.random() < 0.5] or [0]
        events = source.events(random, taken, clears=random.random() < 0.08)
        count = pipelines[source.name].apply(events, random)
        if number % 4 and number < TRANSACTIONS - 1:
            continue
        rows, differences = expected(composite, sources)
        where = f"seed {seed}, transaction {number}, {composite}"
        assert found(target, composite) == (rows, differences), where
        assert count == len(differences), where
    for pipeline in pipelines.values():
        pipeline.sink.close()
    target.close()


@pytest.mark.parametrize(("rounds", "histories"), [(4, 1), (4, 3), (10, 250)])
def test_the_entity_is_a_function_of_its_sources(
    rounds: int, histories: int, harness18: PostgresHarness
) -> None:
    """In rows applied one by one, and in sets."""
    for seed in range(rounds):
        run_round(harness18, seed * 1000 + histories, histories)


@pytest.mark.parametrize("histories", [2, 50])
def test_the_entity_is_a_function_of_its_sources_at_mariadb(
    histories: int, maria_harness: MariadbHarness
) -> None:
    for seed in range(3):
        run_round(maria_harness, seed * 1000 + histories, histories)


class Writer(threading.Thread):
    """One source's pipeline, going its own way until its events are out."""

    def __init__(self, pipeline: Pipeline, batches: list[list[Event]], go: threading.Barrier):
        super().__init__()
        self.pipeline = pipeline
        self.batches = batches
        self.go = go
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.go.wait()
            for events in self.batches:
                self._until_it_goes(events)
        except BaseException as error:
            self.error = error

    def _until_it_goes(self, events: list[Event]) -> None:
        """As delivery does: what passes is tried again, from the checkpoint on."""
        while True:
            try:
                self.pipeline.write(events, [len(events) // 3])
                self.pipeline.commit()
                return
            except TargetUnavailable:
                self.pipeline.sink.close()
                self.pipeline.open()


def run_at_once(target: Target, seed: int) -> None:
    random = Random(seed)
    composite = random_composite(random)
    sources: dict[str, Source] = sources_of(composite, random)
    go = threading.Barrier(len(sources))
    writers = []
    for name, source in sources.items():
        batches = [
            source.events(random, random.sample(range(6), 4), clears=random.random() < 0.1)
            for _ in range(4)
        ]
        writers.append(Writer(Pipeline(target, composite, name), batches, go))
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(200)
        assert not writer.is_alive()
        assert writer.error is None, (seed, writer.error)
    assert found(target, composite) == expected(composite, sources), f"seed {seed}, {composite}"
    target.close()


def test_pipelines_write_at_once(harness18: PostgresHarness) -> None:
    for seed in range(12):
        run_at_once(harness18, seed)


def test_pipelines_write_at_once_at_mariadb(maria_harness: MariadbHarness) -> None:
    for seed in range(3):
        run_at_once(maria_harness, seed)


def held(target: Target) -> TargetUnavailable:
    """What a pipeline says when another has held the entity for too long."""
    two = Two(target, customer())
    two.sinks["erp"].write([of(two.composite, "erp", (UPSERT, "1", {"name": "n"}, 1))])
    with pytest.raises(TargetUnavailable) as caught:
        two.sinks["crm"].write([of(two.composite, "crm", (UPSERT, "1", {"phone": "c"}, 2))])
    two.sinks["crm"].rollback()
    two.sinks["crm"].prepare(two.composite.tables)  # which does not wait
    two.commit("erp")
    two.write("crm", (UPSERT, "1", {"phone": "c"}, 2))
    assert two.customers == {("1", "n", "c", None, None)}
    assert "another pipeline has been writing the entity" in caught.value.what
    return caught.value


def test_who_holds_an_entity_is_named(
    harness18: PostgresHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "HELD_S", 1)
    assert held(harness18).where == {"entity": "customer", "held_by": "erp"}


def test_an_entity_held_at_mariadb(
    maria_harness: MariadbHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = CheckpointTable.begin

    def begin(self: CheckpointTable, *, origin: str | None) -> None:
        begun(self, origin=origin)
        execute(self._connection, "set innodb_lock_wait_timeout = 1")

    monkeypatch.setattr(CheckpointTable, "begin", begin)
    assert held(maria_harness).where == {"entity": "customer"}
