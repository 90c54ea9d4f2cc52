"""The Kafka sink where topics are small, tables share a topic, and rows come in several parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from kafka.admin import KafkaAdminClient

from cdc.findings import Finding
from cdc.schema import TableName
from sinks import _jsontext
from sinks.batches import taken_rows
from sinks.kafka import sink as module
from sinks.kafka.debezium import Debezium
from sinks.kafka.messages import joined, messages
from sinks.kafka.plain import CloudEvents, Plain
from sinks.kafka.preflight import inspect
from sinks.kafka.settings import KafkaTarget
from sinks.kafka.topics import misfits
from sinks.protocol import Checkpoint, Line
from tailrace.errors import RowRefused, TargetRefused
from tailrace.kafka.protocol import client_of
from tailrace.kafka.settings import Cluster
from tests.localkafka import LocalKafka
from tests.long import long
from tests.sinks.test_kafka_sink import JOURNAL, SOURCE, Bus, changes, commit, put
from transforms.rows import RowChanges, TargetColumn, TargetTable


@pytest.fixture
def bus(kafka: LocalKafka) -> Iterator[Bus]:
    with closing(Bus(kafka)) as found:
        yield found


@pytest.mark.parametrize("piece", [3, 8192])
def test_parts_of_a_table_keep_the_sources_order(
    bus: Bus, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_ROWS", piece)
    [made] = changes(*(put("1", str(n), letter="u") for n in range(20)))
    odd, even = (taken_rows(made, np.arange(first, 20, 2)) for first in (1, 0))
    sink = bus.opened()
    sink.write([odd, even])
    sink.commit(Checkpoint(JOURNAL, 1, "0/1"))
    assert bus.names() == [str(n) for n in range(20)]


@pytest.mark.parametrize(
    ("compression", "library"),
    [
        *(("none", "kafka-python"), ("none", "confluent"), ("lz4", "kafka-python")),
        *(long("zstd", "kafka-python"), long("gzip", "kafka-python"), long("lz4", "confluent")),
    ],
)
def test_batches_are_as_large_as_the_topic_takes(bus: Bus, compression: str, library: str) -> None:
    client = client_of(Cluster(brokers=bus.broker.bootstrap))
    with closing(client.admin()) as admin:
        admin.create(bus.topic, 1, -1, {"max.message.bytes": "20000"})
    noise = np.random.default_rng(1)
    names = ["".join(map(chr, noise.integers(0x4E00, 0x9000, 1000))) for _ in range(100)]
    sink = bus.opened(compression=compression, client=library)
    commit(sink, 1, *(put(str(n), name) for n, name in enumerate(names)))
    assert bus.names() == names


def test_a_checkpoint_that_would_expire_is_refused(bus: Bus) -> None:
    client = client_of(Cluster(brokers=bus.broker.bootstrap))
    with closing(client.admin()) as admin:
        admin.create(f"tailrace.{bus.pipeline}", 1, -1, {"cleanup.policy": "compact,delete"})
    target = KafkaTarget(type="kafka", brokers=bus.broker.bootstrap)
    [finding] = inspect(target, [planned(bus)])
    assert "cleanup.policy=compact" in finding.fix


def planned(bus: Bus, *tables: TargetTable, pipeline: str = "", source: str = "erp") -> Line:
    return Line(pipeline or bus.pipeline, source, tables, Path("/nowhere"))


def found(bus: Bus, *lines: Line, topic: str = "{pipeline}.{schema}.{table}") -> list[Finding]:
    target = KafkaTarget(type="kafka", brokers=bus.broker.bootstrap, topic=topic)
    return inspect(target, lines)


def test_check_finds_tables_that_share_a_topic(bus: Bus) -> None:
    [made] = changes(put("1", "x"))
    item = made.table
    stock = replace(item, table=TableName("stock", "item"))
    assert found(bus, planned(bus, item, item, stock)) == []
    topic = bus.pipeline + ".{table}"
    [finding] = found(bus, planned(bus, item, stock), topic=topic)
    assert (finding.severity, finding.where) == ("error", "stock.item")
    assert finding.what == "stock.item and shop.item would be written to one topic"
    other = planned(bus, item, pipeline="other", source="crm")
    [finding] = found(bus, planned(bus, item), other, topic=topic)
    assert f"pipelines {bus.pipeline} and other would both write topic" in finding.what
    assert found(bus, planned(bus, item), other, topic=topic + ".{source}") == []
    meant = replace(other, tables=(replace(item, existing="keep"),))
    assert found(bus, planned(bus, item), meant, topic=topic) == []
    odd = replace(item, table=TableName("shop", "Größe"))
    [finding] = found(bus, planned(bus, odd))
    assert "cannot be the name of a topic" in finding.what


def test_check_finds_topics_of_others_and_topics_that_are_gone(bus: Bus) -> None:
    commit(bus.opened(), 1, put("1", "a"))
    [made] = changes(put("1", "x"))
    assert found(bus, planned(bus, made.table)) == []  # its own
    theirs = planned(bus, made.table, pipeline="another")
    [finding] = found(bus, theirs, topic=bus.pipeline + ".{schema}.{table}")
    assert "holds messages that are not ours" in finding.what
    kept = replace(theirs, tables=(replace(made.table, existing="keep"),))
    assert found(bus, kept, topic=bus.pipeline + ".{schema}.{table}") == []
    with closing(KafkaAdminClient(bootstrap_servers=bus.broker.bootstrap)) as admin:
        admin.delete_topics([bus.topic])
    [finding] = found(bus, planned(bus, made.table))
    assert "was written by this pipeline and is gone" in finding.what


def test_tables_do_not_share_a_topic(bus: Bus) -> None:
    sink = bus.sink()
    object.__setattr__(sink._target, "topic", "{pipeline}.{table}")
    sink.open(JOURNAL)
    [made] = changes(put("1", "x"))
    other = replace(made.table, table=TableName("stock", "item"))
    with pytest.raises(TargetRefused, match=r"shop\.item"):
        sink.prepare([made.table, other])
    sink.close()
    sink.open(JOURNAL)
    sink.prepare([made.table])
    with pytest.raises(TargetRefused, match=r"shop\.item"):
        sink.prepare([other])


def test_the_row_whose_key_has_no_form_is_named() -> None:
    """Also where rows before it changed their keys, and are two messages each."""
    [made] = changes(
        *(("u", (str(n), "a", "1.00"), str(n + 50)) for n in range(3)), put("7", "a"), base=10
    )
    columns = list(made.table.columns)
    columns[0] = replace(columns[0], type="date")
    dates = pa.array(["2026-01-01"] * 3 + ["infinity"])
    assert made.old_key is not None
    old = pa.array(["2025-01-01"] * 3 + [None])
    table = replace(made.table, columns=tuple(columns))
    style = Debezium(
        table, "t", SOURCE, schemas=False, decimals="precise", tombstones=True, headers=()
    )
    bad = replace(made, table=table, values=(dates, *made.values[1:]), old_key=(old,))
    with pytest.raises(RowRefused) as raised:
        messages(bad, style)
    assert raised.value.seq == 13


def test_rows_that_one_change_makes_have_ids_of_their_own() -> None:
    [made] = changes(put("1", "a"))
    columns = tuple(replace(one, field_class="internal") for one in made.table.columns)
    table = replace(made.table, columns=columns)
    style = CloudEvents(table, (), "/tailrace/line/shop.item", JOURNAL)
    ids = set()
    for key in ("1", "2"):
        row = replace(made, table=table, values=(pa.array([key]), *made.values[1:]))
        [found] = messages(row, style)
        ids.add(json.loads(found.records.values[0].as_py())["id"])
    assert len(ids) == 2


def test_a_key_that_is_protected_in_another_way_is_refused(bus: Bus) -> None:
    [made] = changes(put("1", "a"))

    def protected(column: int, how: str) -> RowChanges:
        columns = list(made.table.columns)
        columns[column] = replace(columns[column], field_class="personal", protected=how)
        return replace(made, table=replace(made.table, columns=tuple(columns)))

    sink = bus.sink()
    for offset, (column, how) in enumerate([(0, "hash 1"), (0, "hash 1"), (1, "mask first")], 1):
        again = protected(column, how)
        sink.open(JOURNAL)
        if column == 1:
            columns = (protected(0, "hash 1").table.columns[0], *again.table.columns[1:])
            again = replace(again, table=replace(again.table, columns=columns))
        sink.prepare([again.table])
        sink.write([again])
        sink.commit(Checkpoint(JOURNAL, offset, "0/1"))
    sink.open(JOURNAL)
    with pytest.raises(TargetRefused, match="protection"):
        sink.prepare([protected(0, "hash 2").table])
    sink.close()
    [finding] = found(bus, planned(bus, protected(0, "hash 2").table))
    assert (finding.severity, "now hash 2" in finding.what) == ("error", True)
    again = protected(0, "hash 1").table
    columns = (again.columns[0], replace(again.columns[1], field_class="personal"))
    [finding] = found(bus, planned(bus, replace(again, columns=(*columns, again.columns[2]))))
    assert (finding.severity, finding.where) == ("warning", "shop.item.name")
    assert "keep mask first, and later ones get clear values" in finding.what


def test_what_is_too_long_for_one_array_is_cut_and_a_row_alone_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_jsontext, "_SIZE_MAX", 10_000)
    [made] = changes(*(put(str(n), "x" * 500) for n in range(40)), base=10)
    style = Debezium(
        made.table, "t", SOURCE, schemas=False, decimals="precise", tombstones=True, headers=()
    )
    found = joined(messages(made, style))
    assert [json.loads(value)["after"]["id"] for value in found.values.to_pylist()] == list(
        range(40)
    )
    [long] = changes(put("1", "a"), put("2", "x" * 2000), base=10)
    with pytest.raises(RowRefused) as raised:
        messages(long, style)
    assert raised.value.seq == 11


@pytest.mark.parametrize("text", ['{"a": 1}, "b": {}', "NaN", "", "no json"])
def test_an_entitys_json_is_looked_at(text: str) -> None:
    """No database has: a mapping takes it from any text."""
    [made] = changes(put("1", "[1]"), put("2", text))
    columns = tuple(replace(one, field_class="internal") for one in made.table.columns)
    columns = (columns[0], replace(columns[1], type="jsonb"), columns[2])
    table = replace(made.table, columns=columns)
    with pytest.raises(RowRefused) as raised:
        messages(replace(made, table=table), Plain(table, ()))
    assert raised.value.seq == 1


@pytest.mark.parametrize(
    "type_",
    [
        *("circle", "box[]", "public.geometry(Point,4326)", "geo.geography", "public.sparsevec(5)"),
        *("point[]", "public.vector[]", "public.vector(3)[]"),
    ],
)
def test_types_that_debezium_has_no_form_for_or_another_are_named(type_: str) -> None:
    [made] = changes(put("1", "a"))
    odd = TargetColumn("odd", type_)
    if "." in type_:  # an extension's goes as text
        odd = TargetColumn("odd", "text", native=f"postgres:{type_}")
    columns = (*made.table.columns, odd)
    target = KafkaTarget(type="kafka", brokers="localhost:9092")
    [(name, shown)] = misfits(replace(made.table, columns=columns), target)
    assert (name, shown) == ("odd", type_)


@pytest.mark.parametrize(
    ("type_", "text", "json_"),
    [
        (
            *("point", "(1,-2.5)"),
            '{"x":1.0,"y":-2.5,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAATA","srid":null}',
        ),
        ("public.hstore", '"a"=>"1", "b\\"=>"=>NULL', json.dumps('{"a":"1","b\\"=>":null}')),
        ("ext.vector(3)", "[1,2.5,-3e-07]", "[1,2.5,-3e-07]"),
        ("public.hstore", '"a"=>1', ""),
        ("point", "1,2", ""),
        ("public.vector", "[1", ""),
    ],
)
def test_values_of_extensions_types(type_: str, text: str, json_: str) -> None:
    [made] = changes(put("1", text))
    name = TargetColumn("name", "text" if "." in type_ else type_, native=f"postgres:{type_}")
    columns = (*made.table.columns[:1], name, made.table.columns[2])
    made = replace(made, table=replace(made.table, columns=columns))
    style = Debezium(
        made.table, "t", SOURCE, schemas=False, decimals="precise", tombstones=True, headers=()
    )
    if json_:
        [found] = messages(made, style)
        assert f'"name":{json_},"amount"' in found.records.values[0].as_py().decode()
    else:
        with pytest.raises(RowRefused, match="name"):
            messages(made, style)
