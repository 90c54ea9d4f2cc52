"""A shop and an ERP that agree on no key, as an operator runs them: customers are recognised by tax
number and e-mail, what is ambiguous waits for a person, and what a person decides holds."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.config.projects import write
from tests.conftest import Database
from tests.line import Line, kind_of, wait_until
from tests.service.test_both_ways import execute
from tests.service.test_mariadb_target import Copy, into

__all__ = ["into"]

ENTITY = """\
entity: customer
key: [id]
fields:
  id: {type: text, required: true}
  name: {type: text, required: true}
  mail: {type: text}
  tax: {type: text}
  login: {type: text}
system_of_record: {rows: erp, default: erp, mail: [erp, shop], login: shop}
identity:
  match:
    - [tax]
    - [lower(trim(mail))]
"""
ERP = """\
mapping: erp_customer
entity: customer
table: sales.kunden
key: {id: id}
fields: {name: name, mail: mail, tax: stnr}
"""
SHOP = """\
mapping: shop_customer
entity: customer
table: sales.account
key: {id: "'A' || uid"}
fields: {mail: mail, tax: tax, login: login}
"""


class Shop(Line):
    """Sources `erp` and `shop`, target `hub`."""

    def __init__(self, directory: Path, erp: str, shop: str, hub: str, table: str) -> None:
        super().__init__(directory, erp, hub)
        self.shop = shop
        self.table = table
        (directory / "tailrace.yml").write_text(
            f"version: 1\nproject: id{os.getpid()}\nsources:\n"
            f'  erp: {{type: postgres, url: "{erp}", tables: ["sales.*"]}}\n'
            f'  shop: {{type: postgres, url: "{shop}", tables: ["sales.*"]}}\n'
            f'targets:\n  hub: {{type: {kind_of(hub)}, url: "{hub}"}}\n'
            "pipelines:\n"
            "  from_erp: {source: erp, target: hub, mappings: [erp_customer]}\n"
            "  from_shop: {source: shop, target: hub, mappings: [shop_customer]}\n"
        )
        files = {
            "entities/customer.yml": ENTITY,
            "mappings/erp_customer.yml": f"{ERP}into: {table}\n",
            "mappings/shop_customer.yml": f"{SHOP}into: {table}\n",
        }
        write(directory, files)
        execute(
            erp,
            "create schema sales",
            "create table sales.kunden (id integer primary key, name text, mail text, stnr text)",
            "insert into sales.kunden values (1, 'Anna', 'anna@x.example', null),"
            " (2, 'Bert', null, 'DE2'), (3, 'Carl', 'info@x.example', null),"
            " (4, 'Dora', 'info@x.example', null)",
        )
        execute(
            shop,
            "create schema sales",
            "create table sales.account (uid integer primary key, mail text, tax text, login text)",
            "insert into sales.account values (1, ' Anna@X.example', '', 'anna'),"
            " (2, 'b@x.example', 'DE2', 'bert'), (3, 'info@x.example', null, 'info')",
        )

    def customers(self) -> list[tuple[object, ...]]:
        try:
            return execute(
                self.target, f"select name, mail, tax, login from {self.table} order by name"
            )
        except Exception:  # it is not there yet
            return []

    def becomes(self, *rows: tuple[object, ...]) -> None:
        wait_until(
            lambda: self.customers() == list(rows),
            f"{rows}; is {self.customers()}; {self.log[-1500:]}",
        )

    def identity(self, *words: str) -> list[dict[str, str]]:
        done = self.command("identity", *words, "-o", "json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, str]] = json.loads(done.stdout)
        return found

    def id_of(self, source: str, key: str) -> str:
        return next(
            one["id"]
            for one in self.identity("list", "customer")
            if (one["source"], one["source_key"]) == (source, key)
        )


ANNA = ("Anna", "anna@x.example", None, "anna")
BERT = ("Bert", "b@x.example", "DE2", "bert")
CARL = ("Carl", "info@x.example", None, None)
DORA = ("Dora", "info@x.example", None, None)


def test_customers_of_an_erp_and_a_shop(
    tmp_path: Path,
    database18: Database,
    second_database18: Database,
    third_database18: Database,
) -> None:
    hub = third_database18.url
    play(Shop(tmp_path, database18.url, second_database18.url, hub, "public.customer"))


def test_customers_at_a_mariadb(
    tmp_path: Path, database18: Database, second_database18: Database, into: Copy
) -> None:
    table = f"{into.name}.customer"
    play(Shop(tmp_path, database18.url, second_database18.url, into.url, table))


def play(line: Shop) -> None:
    checked = line.command("check")
    assert checked.returncode == 0, checked.stdout
    with line:
        line.becomes(ANNA, BERT, CARL, DORA)
        found = line.identity("conflicts", "customer")
        assert [(one["source_key"], one["other_key"], one["rule"]) for one in found] == [
            ("3", "A3", "lower(trim(mail))"),
            ("4", "A3", "lower(trim(mail))"),
        ]
        wait_until(lambda: "identity conflicts customer 2" in line.command("status").stdout, "two")
        assert 'tailrace_identity_conflicts{entity="customer"' in line.get("/metrics")[1]
        dora = line.id_of("erp", "4")
        decided = line.identity(
            "merge", "customer", line.id_of("shop", "A3"), dora, "--reason", "she called"
        )
        assert [(one["source_key"], one["id"], one["by"]) for one in decided] == [
            ("A3", dora, "person")
        ]
        line.becomes(ANNA, BERT, CARL, (*DORA[:3], "info"))
        os.kill(line.report("deliver", "from_shop")["pid"], signal.SIGKILL)
        execute(line.shop, "update sales.account set login = 'dora' where uid = 3")
        line.becomes(ANNA, BERT, CARL, (*DORA[:3], "dora"))

        anna = line.id_of("erp", "1")
        assert line.id_of("shop", "A1") == anna
        line.identity("split", "customer", "shop", "A1", "--reason", "her mother's")
        line.becomes(("Anna", "anna@x.example", None, None), BERT, CARL, (*DORA[:3], "dora"))
        execute(line.shop, "update sales.account set login = 'mother' where uid = 1")
        execute(line.source, "update sales.kunden set name = 'Anne' where id = 1")
        line.becomes(("Anne", "anna@x.example", None, None), BERT, CARL, (*DORA[:3], "dora"))
        assert line.id_of("erp", "1") == anna

        execute(line.source, "insert into sales.kunden values (5, 'Emma', null, 'DE5')")
        execute(line.shop, "insert into sales.account values (5, 'e@x.example', 'DE5', 'emma')")
        emma = ("Emma", "e@x.example", "DE5", "emma")
        line.becomes(("Anne", "anna@x.example", None, None), BERT, CARL, (*DORA[:3], "dora"), emma)
        actions = execute(
            line.target,
            "select action, from_id, into_id, reason, who <> '' from tailrace.identity_action"
            " order by number",
        )
        assert [row[0] for row in actions] == ["merge", "split"]
        assert actions[0][2] == dora
        assert actions[1][1] == anna
        assert [row[3:] for row in actions] == [("she called", True), ("her mother's", True)]
        refused = line.command("identity", "merge", "customer", dora, anna, "--reason", "x")
        assert refused.returncode == 1
        assert "both identities have a record of erp" in refused.stderr
        refused = line.command("identity", "split", "customer", "erp", "4", "--reason", "x")
        assert "erp makes the entity" in refused.stderr
        assert line.command("identity", "list", "custmer").returncode == 2
