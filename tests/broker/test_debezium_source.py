"""Topics that Debezium has written, through a whole project, beside the database it read."""

from __future__ import annotations

import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from cdc.kafka.cluster import Brokers
from cdc.kafka.preflight import inspect
from cdc.kafka.settings import KafkaDebeziumSource
from cdc.kafka.source import KafkaDebezium
from tailrace.errors import ContinuityError
from tailrace.kafka.protocol import Client, client_of
from tailrace.kafka.records import Records
from tailrace.kafka.settings import Cluster
from tests.cdc.kafka.debezium import Said, records
from tests.conftest import Database
from tests.debezium.databases import END, POSTGRES_CHANGES, POSTGRES_SETUP
from tests.line import Line, do, wait_until
from tests.localkafka import LocalKafka, committed

EXACT = (
    "id i2 i8 r d n n0 wide b t c vc day ts ts3 tz tm tm3 u y ai at an e b3 big bigy bigai bigat"
)
"""Columns that arrive as they are. Debezium reckons intervals, puts `timetz` into UTC, shows
`inet` in another way, and drops zeros of `numeric`."""


@pytest.fixture
def client(kafka: LocalKafka) -> Client:
    return client_of(Cluster(brokers=kafka.bootstrap))


@pytest.fixture
def databases(database18: Database, second_database18: Database) -> tuple[str, str]:
    """(the database that was read, an empty one)."""
    return database18.url, second_database18.url


def topic_of(prefix: str, topic: str) -> str:
    return topic.replace("erp", prefix, 1)


def write(client: Client, prefix: str, said: list[Said], partitions: int = 1) -> None:
    """As the connector does, under another prefix; makes the topics."""
    admin, producer = client.admin(), client.producer(f"writer-{prefix}", 60, "none")
    with closing(admin), closing(producer):
        producer.open()
        producer.begin()
        there: set[str] = set(admin.topics([topic_of(prefix, one[0]) for one in said]))
        for topic, key, value in said:
            name = topic_of(prefix, topic)
            if name not in there:
                admin.create(name, partitions, -1, {})
                there.add(name)
            producer.produce(
                name, Records(pa.array([key], pa.binary()), pa.array([value], pa.binary()))
            )
        producer.commit()


def line_of(directory: Path, kafka: LocalKafka, prefix: str, target: str, more: str = "") -> Line:
    line = Line(directory, "postgresql://unused", "sqlite:unused")
    (directory / "tailrace.yml").write_text(
        f"""version: 1
project: debezium
sources:
  erp:
    type: kafka-debezium
    brokers: {kafka.bootstrap}
    topics: ["*{prefix}*"]
    tables: [shop.*, "!shop.keyless"]
    {more}
targets:
  hub: {{type: postgres, url: "{target}"}}
pipelines:
  line:
    source: erp
    target: hub
    replicate:
      - {{tables: [shop.*], into: "{{schema}}.{{table}}"}}
"""
    )
    return line


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, options="-c TimeZone=UTC") as connection:
        try:
            return connection.execute(sql.encode()).fetchall()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return []


def test_what_debezium_says_is_what_the_database_has(
    kafka: LocalKafka, client: Client, databases: tuple[str, str], tmp_path: Path
) -> None:
    source, target = databases
    do(source, POSTGRES_SETUP, *POSTGRES_CHANGES, END)
    prefix = kafka.name("erp").replace("-", "")
    said = records("postgres-schemas-precise-adaptive")
    write(client, prefix, said)
    do(
        target,
        "create schema shop",  # new columns are the operator's to add
        "create table shop.pair (a integer, b text, note text, more numeric(6,1),"
        " primary key (a, b))",
    )
    with line_of(tmp_path / "project", kafka, prefix, target) as line:
        wait_until(lambda: ask(target, "select 1 from shop.mark where mark = 'end'"), "the end")
        checked = line.command("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
    for name in EXACT.split():
        query = f"select id, rtrim({name}::text) from shop.value order by id"
        assert ask(target, query) == ask(source, query), name
    for query in (
        "select * from shop.pair order by a, b",
        "select * from shop.whole",
        "select * from shop.mark order by 1",
    ):
        assert ask(target, query) == ask(source, query)
    assert ask(target, "select count(*) from shop.value") == [(3,)]


ORDER = """entity: order
key: [order_no]
fields:
  order_no: {type: integer}
  total: {type: "decimal(12,2)"}
  state: {type: text}
"""
ORDERS = """mapping: orders
entity: order
table: shop.order
key: {order_no: _id}
fields:
  total: total
  state: upper(state)
"""
FIELDS = (
    "columns: {shop.order: {_id: integer, total: 'numeric(12,2)', state: text}, "
    "shop.value: {i8: bigint, t: text, tags: 'text[]', nested: jsonb}}"
)


def test_documents_become_tables_and_entities(
    kafka: LocalKafka, client: Client, databases: tuple[str, str], tmp_path: Path
) -> None:
    """Of a connector that says of updates what they change: what they do not is kept."""
    _, target = databases
    prefix = kafka.name("erp").replace("-", "")
    write(client, prefix, records("documents-changed"))
    made = line_of(tmp_path / "project", kafka, prefix, target, FIELDS)
    for name, text in (("entities", ORDER), ("mappings", ORDERS)):
        (made.directory / name).mkdir()
        (made.directory / name / "order.yml").write_text(text)
    project = made.directory / "tailrace.yml"
    project.write_text(
        project.read_text().replace("- {tables: [shop.*],", '- {tables: [shop.*, "!shop.order"],')
        + "    mappings: [orders]\n"
    )
    with made:
        wait_until(lambda: ask(target, "select 1 from shop.mark where _id = '\"end\"'"), "the end")
        checked = made.command("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
    assert ask(target, 'select order_no, total, state from "order" order by 1') == [
        (1, Decimal("9.90"), "PAID"),
        (3, None, "REPLACED"),
        (4, Decimal("9.90"), "NEW"),
    ]
    assert ask(target, "select count(*) from shop.key") == [(0,)]
    assert ask(target, "select i8, t, tags::text, nested from shop.value order by _id") == [
        (
            6,
            'Grüße "NaN" \\ \t',
            '{a,NULL,"b \\"c\\""}',
            {"when": {"$date": "1970-01-01T00:00:00Z"}, "n": 1, "deep": [{"x": 1.0}]},
        ),
        (None, None, None, None),
        (None, "in a transaction", None, None),
    ]
    assert ask(target, "select document->>'_id' from shop.mark order by 1") == [
        ("end",),
        ("snapshot",),
    ]


def item(number: int, text: str, op: str = "c") -> Said:
    """A message without a schema, in a transaction of its own."""
    row = {"id": number, "t": text}
    source = {"schema": "shop", "table": "item", "ts_ms": number, "txId": number}
    value = {
        "before": row if op == "d" else None,
        "after": None if op == "d" else row,
        "source": {**source, "connector": "postgresql"},
        "op": op,
    }
    return "erp.shop.item", json.dumps({"id": number}).encode(), json.dumps(value).encode()


COLUMNS = "columns: {shop.item: {id: bigint, t: text}}"


def test_kills_and_others_in_the_group_lose_and_double_nothing(
    kafka: LocalKafka, client: Client, databases: tuple[str, str], tmp_path: Path
) -> None:
    """A trigger at the target counts what arrives; three partitions; the group's name is used by
    others, too, who join and leave."""
    _, target = databases
    prefix = kafka.name("erp").replace("-", "")
    write(client, prefix, [item(0, "first")], partitions=3)
    do(
        target,
        "create schema shop",
        "create table shop.item (id bigint primary key, t text)",
        "create table counted (id bigint)",
        "create function noted() returns trigger language plpgsql as"
        " $$ begin insert into counted values (new.id); return null; end $$",
        "create trigger counting after insert or update on shop.item"
        " for each row execute function noted()",
    )
    more = f"{COLUMNS}\n    group: {prefix}"
    total = 1
    with line_of(tmp_path / "project", kafka, prefix, target, more) as line:
        for number in range(3):
            line.streams()
            other = client.consumer()
            other.subscribe(
                [topic_of(prefix, "erp.shop.item")], prefix, revoked=list, assigned=lambda _: {}
            )
            other.poll(0.5)
            write(client, prefix, [item(total + n, "x") for n in range(300)])
            total += 300
            line.kill(("capture", "deliver", "capture")[number])
            other.close()
        wait_until(lambda: ask(target, "select count(*) from shop.item") == [(total,)], "all")
    assert ask(target, "select count(*), count(distinct id) from counted") == [(total, total)]


def settings_of(kafka: LocalKafka, prefix: str) -> KafkaDebeziumSource:
    return KafkaDebeziumSource(
        type="kafka-debezium",
        brokers=kafka.bootstrap,
        topics=(f"{prefix}.*",),
        tables=("shop.*",),
        columns={"shop.item": {"id": "bigint", "t": "text"}},
    )


def read_all(source: KafkaDebezium, rows: int) -> tuple[dict[str, str], str]:
    """From the beginning; what a journal would hold then: (facts, position)."""
    snapshot = source.snapshot({})
    stream = source.stream(snapshot.position)
    read: list[int] = []
    wait_until(
        lambda: read.extend(changes.rows for changes in stream.changes(1)) or sum(read) >= rows,
        "the rows",
    )
    assert sum(read) == rows
    held = ({**snapshot.facts, **stream.facts}, stream.position)
    source.verify(*held)
    stream.close()
    source.close()
    return held


@pytest.fixture
def begun(kafka: LocalKafka, client: Client) -> tuple[str, KafkaDebeziumSource, Any]:
    """(topic, settings, what a journal would hold): 20 records read."""
    prefix = kafka.name("erp").replace("-", "")
    write(client, prefix, [item(n, "x") for n in range(20)])
    settings = settings_of(kafka, prefix)
    return f"{prefix}.shop.item", settings, read_all(KafkaDebezium(settings, "group"), 20)


def admin_of(kafka: LocalKafka) -> Any:
    from kafka.admin import KafkaAdminClient

    return KafkaAdminClient(bootstrap_servers=kafka.bootstrap)


def test_a_topic_that_is_gone_or_made_anew_is_a_gap(
    kafka: LocalKafka, client: Client, begun: tuple[str, KafkaDebeziumSource, Any]
) -> None:
    topic, settings, held = begun
    with closing(admin_of(kafka)) as admin:
        admin.delete_topics([topic])
    source = KafkaDebezium(settings, "group")
    wait_until(lambda: topic not in source._brokers.topics(), "the topic to be gone")
    with pytest.raises(ContinuityError, match="is gone") as raised:
        source.verify(*held)
    assert raised.value.where == {"topic": topic, "from": 20}
    write(client, topic.partition(".")[0], [item(1, "new")])
    with pytest.raises(ContinuityError, match="made anew") as raised:
        source.verify(*held)
    assert raised.value.where["from"] == 20
    source.close()


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_a_topic_made_anew_is_told_by_its_id_however_long_it_is(
    kafka: LocalKafka,
    client: Client,
    begun: tuple[str, KafkaDebeziumSource, Any],
    library: str,
) -> None:
    """At the next start, and while it is read; whichever library had read it."""
    kafka.must_be_apache()
    topic, settings, held = begun
    source = KafkaDebezium(settings.model_copy(update={"client": library}), "group")
    source.verify(*held)
    stream = source.stream(held[1])
    with closing(admin_of(kafka)) as admin:
        admin.delete_topics([topic])
    wait_until(lambda: topic not in source._brokers.topics(), "the topic to be gone")
    with pytest.raises(ContinuityError, match="is gone"):
        source.state()
    write(client, topic.partition(".")[0], [item(n, "new") for n in range(30)])
    with pytest.raises(ContinuityError, match="another of the same name"):
        source.state()
    with pytest.raises(ContinuityError, match="another of the same name") as raised:
        source.verify(*held)
    assert raised.value.where == {"topic": topic, "from": 20}
    stream.close()
    source.close()


def test_what_kafka_deleted_unread_is_a_gap(
    kafka: LocalKafka, client: Client, begun: tuple[str, KafkaDebeziumSource, Any]
) -> None:
    """At the next start, and while it is read."""
    from kafka.structs import TopicPartition

    kafka.must_be_apache()
    topic, settings, held = begun
    source = KafkaDebezium(settings, "group")
    stream = source.stream(held[1])
    write(client, topic.partition(".")[0], [item(n, "x") for n in range(20, 30)])
    with closing(admin_of(kafka)) as admin:
        admin.delete_records({TopicPartition(topic, 0): 25})
    with pytest.raises(ContinuityError, match="deleted") as raised:
        source.verify(*held)
    assert raised.value.where["topic"] == topic
    with pytest.raises(ContinuityError, match="deleted"):
        source.state()
    stream.close()
    fresh = settings.model_copy()
    findings, _ = inspect(fresh, Brokers(fresh))
    assert [one.severity for one in findings] == ["error"]
    accepted = settings.model_copy(update={"incomplete": "accept"})
    findings, tables = inspect(accepted, Brokers(accepted))
    assert [one.severity for one in findings] == ["warning"]
    assert [str(one.table) for one in tables] == ["shop.item"]
    source.close()


def test_deletes_that_were_compacted_away_while_we_were_not_there(
    kafka: LocalKafka, client: Client
) -> None:
    """By a broker's own compaction, which leaves tombstones alone."""
    kafka.must_be_apache()
    prefix = kafka.name("erp").replace("-", "")
    topic = f"{prefix}.shop.item"
    at_once = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001"}
    with closing(client.admin()) as admin:
        admin.create(topic, 1, -1, {"cleanup.policy": "compact", **at_once})
    write(client, prefix, [item(n, "x") for n in range(5)])
    settings = settings_of(kafka, prefix)
    held = read_all(KafkaDebezium(settings, "group"), 5)
    for number in range(3):
        delete = item(number, "x", "d")
        write(client, prefix, [delete, (delete[0], delete[1], None)])

    def is_compacted() -> bool:
        write(client, prefix, [item(9, "what closes a segment")])
        return not any(
            b'"op": "d"' in (value or b"")
            for one in committed(client, (topic, 0))
            for value in one.values.to_pylist()
        )

    wait_until(is_compacted, "compaction")
    source = KafkaDebezium(settings, "group")
    source.verify(*held)
    stream = source.stream(held[1])
    deleted: list[str] = []

    def are_deleted() -> bool:
        for changes in stream.changes(1):
            for table in changes.tables:
                old = () if table.old is None or table.old[0] is None else table.old[0]
                deleted.extend(one.as_py() for one in old if one.is_valid)
        return len(deleted) >= 3

    wait_until(are_deleted, "the deletes")
    assert deleted == ["0", "1", "2"]
    stream.close()
    source.close()


def test_a_declared_column_that_no_message_has_is_named(
    kafka: LocalKafka, begun: tuple[str, KafkaDebeziumSource, Any]
) -> None:
    _, settings, _ = begun
    wrong = settings.model_copy(update={"columns": {"shop.item": {"id": "bigint", "text": "text"}}})
    (finding,), _ = inspect(wrong, Brokers(wrong))
    assert "no field text" in finding.what
    assert "they have id, t" in finding.fix
