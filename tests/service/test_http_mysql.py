"""An API is sent what a MariaDB's or a MySQL's update changed, as its log tells, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http_api import HttpApi, started
from tests.httprig import point_to
from tests.line import Line, wait_until
from tests.maria import Maria, both

ENTITY = """
entity: item
key: [item_no]
fields:
  item_no: {{type: text, required: true}}
  kind: {{type: text, required: true, one_of: [alpha, beta]}}
  amount: {{type: "decimal(12,2)"}}
  name: {{type: text, class: personal}}
  more: {{type: {json}}}
"""
MAPPING = """
mapping: item
entity: item
table: {database}.item
key: {{item_no: "'I-' || id"}}
fields:
  kind: {{from: kind, values: {{A: alpha, B: beta}}}}
  amount: amount
  name: name
  more: more
"""
SETTINGS = """\
    protect: {personal: mask}
    limits: {concurrency: 1}  # the source's order, over all keys
    entities:
      item:
        upsert: by_operation
        create: {url: "/items", body: '{"id": "{item_no}", "kind": "{kind}"}'}
        update: {url: "/items/{item_no}", send: merge_patch}
        delete: {url: "/items/{item_no}"}
"""


@pytest.fixture
def api() -> Iterator[HttpApi]:
    with started() as made:
        yield made


@both
def test_an_update_sends_what_changed(tmp_path: Path, maria: Maria, api: HttpApi) -> None:
    maria.execute(
        "create table item (id int primary key, kind varchar(9), amount decimal(12,2),"
        " name varchar(40), more json, note longtext)",
        "insert into item select n, 'A', n, concat('clear', n),"
        f" '{{\"a\": 1, \"b\": [2]}}', 'n' from {maria.numbers(1, 20)}",
    )
    kind = "json" if maria.kind == "mysql" else "text"  # which it is at a MariaDB
    patch = {"json": '{"a":null,"c":3}', "text": r'"{\"b\": [2], \"c\": 3}"'}[kind]
    with maria.reader() as user:
        url = f"{maria.kind}://{user}@127.0.0.1:{maria.server.port}/"
        line = Line(
            tmp_path / "project",
            url,
            url,
            tables=f'"{maria.name}.*"',
            rules="[]\n    mappings: [item]",
        )
        for folder, text in (
            ("entities", ENTITY.format(json=kind)),
            ("mappings", MAPPING.format(database=maria.name)),
        ):
            (line.directory / folder).mkdir()
            (line.directory / folder / "item.yml").write_text(text)
        point_to(line, api, SETTINGS)
        checked = line.command("check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        with line:
            line.streams()
            wait_until(lambda: len(api.state["records"]) == 20, f"the snapshot: {line.log[-2000:]}")
            seen = len(api.state["seen"])
            wait_until(lambda: line.kill("capture"), "a capture to kill")
            maria.execute(
                "update item set note = repeat('x', 100000) where id = 1",  # nothing mapped
                "update item set kind = 'B' where id = 2",
                "update item set amount = null, note = null where id = 3",
                "update item set name = concat(name, '-more') where id = 4",  # masked alike
                'update item set more = \'{"b": [2], "c": 3}\' where id = 5',
                "begin",
                "update item set amount = amount + 100, kind = 'B' where id between 6 and 7",
                "update item set amount = amount + 100 where id = 7",
                "update item set id = 800 where id = 8",
                "commit",
                "delete from item where id = 9",
            )
            wait_until(lambda: line.kill("deliver"), "a delivery to kill")
            maria.execute("update item set amount = 10.5 where id = 10")
            wait_until(lambda: sent(api)[-1:] == [last()], f"the changes: {line.log[-3000:]}")
            api.fault("reject", path="/items/I-11", status=422)
            maria.execute("update item set amount = -1, kind = 'B' where id = 11")
            wait_until(lambda: line.desk()["exceptions"], f"what is parked: {line.log[-3000:]}")
            (parked,) = line.desk()["exceptions"]
            shown = line.command("exceptions", "show", parked["id"], "-o", "json")
            row = json.loads(shown.stdout)["before"]
            assert (row["kind"], row["amount"], row["note"]) == ("A", "11.00", "n")
            edit = line.command("exceptions", "edit", parked["id"], "--set", "note=by hand")
            assert edit.returncode == 0, edit.stderr
            replayed = line.command("exceptions", "replay", parked["id"])
            assert replayed.returncode == 0, replayed.stderr
            patch_11 = ("PATCH", "/items/I-11", '{"kind":"beta","amount":"-1.00"}')
            assert sent(api)[-2:] == [patch_11] * 2
    assert dict.fromkeys(sent(api)[seen:-2]) == dict.fromkeys(
        [
            ("PATCH", "/items/I-2", '{"kind":"beta"}'),
            ("PATCH", "/items/I-3", '{"amount":null}'),
            ("PATCH", "/items/I-5", f'{{"more":{patch}}}'),
            ("PATCH", "/items/I-6", '{"kind":"beta","amount":"106.00"}'),
            ("PATCH", "/items/I-7", '{"kind":"beta","amount":"107.00"}'),
            ("PATCH", "/items/I-7", '{"amount":"207.00"}'),
            ("DELETE", "/items/I-8", ""),
            ("POST", "/items", '{"id":"I-800","kind":"alpha"}'),
            ("DELETE", "/items/I-9", ""),
            last(),
        ]
    )
    assert "clear" not in str(api.state["seen"])


def last() -> tuple[str, str, str]:
    return "PATCH", "/items/I-10", '{"amount":"10.50"}'


def sent(api: HttpApi) -> list[tuple[Any, Any, Any]]:
    return [(one["method"], one["path"], one["body"]) for one in api.state["seen"]]
