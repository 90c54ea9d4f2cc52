"""The exceptions desk as an operator meets it: what parks, what waits, what pauses, how to mend."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.config.projects import write
from tests.line import Line, content, do, wait_until

TABLES = """
create schema shop;
create table shop.mark (mark text primary key);
create table shop.item (id int primary key, kind text, amount numeric(12,2));
insert into shop.item select g, 'A', g from generate_series(1, 50) g;
"""
MAPPED = "[{tables: [shop.mark], into: '{schema}.{table}'}]\n    mappings: [item]"
ENTITY = """
entity: item
key: [id]
fields:
  id: {type: integer, required: true}
  kind: {type: text, required: true}
  amount: {type: "decimal(12,2)"}
"""
MAPPING = """
mapping: item
entity: item
table: shop.item
key: {id: id}
fields:
  kind: {from: kind, values: {A: alpha, B: beta}}
  amount: amount
"""


@pytest.fixture
def line(tmp_path: Path, database18, second_database18) -> Line:
    database18.execute(TABLES)
    return Line(tmp_path / "project", database18.url, second_database18.url)


@pytest.fixture
def mapped(tmp_path: Path, database18, second_database18) -> Line:
    database18.execute(TABLES)
    line = Line(tmp_path / "project", database18.url, second_database18.url, rules=MAPPED)
    write(line.directory, {"entities/item.yml": ENTITY, "mappings/item.yml": MAPPING})
    return line


def states(line: Line) -> list[str]:
    return [one["state"] for one in line.desk()["exceptions"]]


def receipts(line: Line) -> set[str]:
    return {row[0] for row in do(line.target, "select id from tailrace.exception")}


def adds_up(line: Line) -> None:
    """Received = written + coalesced + unchanged + filtered + parked + discarded."""
    wait_until(lambda: line.report("deliver")["facts"].get("rows"), "a report")
    facts = line.report("deliver")["facts"]
    assert facts["imbalances"] == []


def test_a_row_that_a_mapping_cannot_take_waits_and_others_flow_on(mapped: Line) -> None:
    with mapped as line:
        line.streams()
        line.arrives()
        do(line.source, "insert into shop.item values (100, 'X', 1)")
        wait_until(lambda: states(line) == ["parked"], "the row to be parked")
        do(
            line.source,
            "update shop.item set amount = 2 where id = 100",
            "insert into shop.item values (101, 'B', 1)",
            "update shop.item set kind = 'B' where id = 7",
        )
        line.arrives()
        assert do(line.target, "select id from item where id >= 100") == [(101,)]
        assert do(line.target, "select kind from item where id = 7") == [("beta",)]
        found = line.desk()
        assert [one["state"] for one in found["exceptions"]] == ["parked", "waiting"]
        (cause,) = found["causes"]
        assert "unlisted" in cause
        wait_until(lambda: "parked 1  waiting 1" in line.command("status").stdout, "status")
        assert "item" in cause
        first = found["exceptions"][0]["id"]
        assert receipts(line) == {one["id"] for one in found["exceptions"]}
        shown = json.loads(line.command("exceptions", "show", first, "-o", "json").stdout)
        assert shown["after"] == {"id": "100", "kind": "X", "amount": "1.00"}
        edit = line.command("exceptions", "edit", first, "--set", "kind=A")
        assert edit.returncode == 0, edit.stderr
        replay = line.command("exceptions", "replay", first, "-o", "json")
        assert replay.returncode == 0, replay.stderr
        found = line.desk()  # the update behind it has the bad code, too
        assert [one["state"] for one in found["exceptions"]] == ["parked"]
        second = found["exceptions"][0]["id"]
        assert do(line.target, "select kind, amount from item where id = 100") == [("alpha", 1)]
        assert line.command("exceptions", "edit", second, "--set", "kind=B").returncode == 0
        assert line.command("exceptions", "replay", "--cause", cause).returncode == 0
        assert do(line.target, "select kind, amount from item where id = 100") == [("beta", 2)]
        assert states(line) == []
        assert receipts(line) == set()
        again = line.command("exceptions", "replay", first)
        assert again.returncode == 1
        assert "replayed" in again.stderr
        shown = json.loads(line.command("exceptions", "show", first, "-o", "json").stdout)
        assert "after" not in shown
        actions = [one["action"] for one in shown["audit"]]
        assert actions == ["parked", "edited", "replay asked", "replayed"]
        adds_up(line)
        assert "'X'" not in line.log


def test_rows_that_the_target_refuses_are_found_among_many(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item add constraint small check (amount < 1000)")
        do(
            line.source,
            "insert into shop.item select g, 'A', case when g % 100 = 0 then 5000 else 1 end"
            " from generate_series(101, 3000) g",
            "update shop.item set kind = 'B' where id in (200, 300, 301)",
            "delete from shop.item where id = 400",
        )
        line.arrives()
        found = line.desk()
        assert found["causes"] == {"target:shop.item:small:23514": 29}
        assert found["waiting"] == 3
        assert do(line.target, "select count(*) from shop.item") == [(50 + 2900 - 29,)]
        assert do(line.target, "select kind from shop.item where id = 301") == [("B",)]
        path = line.directory / ".tailrace" / "exceptions" / "line.db"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        do(line.target, "alter table shop.item drop constraint small")
        asked = line.command("exceptions", "replay", "--cause", "target:shop.item:small:23514")
        assert asked.returncode == 0, asked.stderr
        wait_until(lambda: not states(line), "the desk to be empty")
        line.arrives()
        assert content(line.source, "shop.item") == content(line.target, "shop.item")
        adds_up(line)


def test_discarding_lets_what_waits_go_on(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item add constraint small check (amount < 1000)")
        do(
            line.source,
            "update shop.item set amount = 2000 where id = 1",
            "update shop.item set id = 1001 where id = 1",
            "update shop.item set amount = 5 where id = 1001",
        )
        line.arrives()
        found = line.desk()["exceptions"]
        assert [one["state"] for one in found] == ["parked", "waiting", "waiting"]
        refused = line.command("exceptions", "discard", found[1]["id"], "--reason", "no")
        assert refused.returncode == 1
        assert "waits" in refused.stderr
        for one in found[:2]:
            gone = line.command("exceptions", "discard", one["id"], "--reason", "of no use")
            assert gone.returncode in (0, 1), gone.stderr
        assert states(line) == []
        line.arrives()
        adds_up(line)
        shown = json.loads(line.command("exceptions", "show", found[0]["id"], "-o", "json").stdout)
        assert shown["state"] == "discarded"
        assert shown["audit"][-1]["reason"] == "of no use"


def test_a_truncate_overtakes_what_is_held(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item add constraint small check (amount < 1000)")
        do(line.source, "update shop.item set amount = 2000 where id = 1")
        line.arrives()
        assert states(line) == ["parked"]
        do(line.source, "truncate shop.item", "insert into shop.item values (1, 'B', 1)")
        line.arrives()
        assert states(line) == []
        assert receipts(line) == set()
        assert content(line.target, "shop.item") == ["(1,B,1.00)"]
        adds_up(line)


def test_what_is_no_matter_of_rows_pauses_and_parks_nothing(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item rename column kind to sort")
        do(line.source, "insert into shop.item values (100, 'A', 1)")
        wait_until(lambda: line.state("deliver") == "paused", "delivery to pause")
        assert line.get("/readyz")[0] == 503
        assert states(line) == []
        do(line.target, "alter table shop.item rename column sort to kind")
        line.arrives()
        assert content(line.source, "shop.item") == content(line.target, "shop.item")


def test_when_most_rows_fail_nothing_more_is_parked(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item add constraint small check (amount < 0) not valid")
        do(
            line.source,
            "insert into shop.item select g, 'A', 1 from generate_series(1000, 3000) g",
        )
        wait_until(lambda: line.state("deliver") == "paused", "delivery to pause")
        assert "of the last" in line.report("deliver")["error"]["what"]
        assert states(line) == []
        do(line.target, "alter table shop.item drop constraint small")
        line.arrives()
        assert content(line.source, "shop.item") == content(line.target, "shop.item")
        adds_up(line)


def test_contents_that_are_lost_are_missed(line: Line) -> None:
    with line:
        line.streams()
        line.arrives()
        do(line.target, "alter table shop.item add constraint small check (amount < 1000)")
        do(line.source, "update shop.item set amount = 2000 where id = 1")
        line.arrives()
        (held,) = receipts(line)
    (file,) = (line.directory / ".tailrace" / "exceptions").glob("*.db")
    file.unlink()
    file.mkdir()  # a file that cannot be opened now: `tailrace run` starts it again
    assert line.command("deliver", "line", "--once").returncode == 1
    assert line.state("deliver") == "retrying"
    file.rmdir()
    failed = line.command("deliver", "line", "--once")
    assert failed.returncode == 1
    assert "contents are not here" in failed.stderr
    assert held in failed.stderr
