"""The example of two sources, as its README runs it: owners, an identity match, a discrepancy,
poison rows that are parked, mended and replayed, protected fields; the hub is compared with oracles
in plain SQL."""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from cdc.mysql.settings import arguments
from tailrace.service.localmaria import LocalMariadb
from tests.conftest import Database
from tests.line import Line, wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "customer360"
COLUMNS = "customer_no, name, status, credit_limit, country, since, tax_no, newsletter, last_visit"


class Example(Line):
    """The project of the example: sources `erp` and `shop`, target `hub`."""

    def __init__(self, directory: Path, erp: str, shop: str, hub: str) -> None:
        shutil.copytree(EXAMPLE, directory)
        self.directory = directory
        self.source, self.shop, self.target = erp, shop, hub
        self._environment = {
            "ERP_URL": erp,
            "SHOP_URL": shop,
            "HUB_URL": hub,
            "CUSTOMERS_KEY": secrets.token_hex(64),
        }
        self._process = None

    def json(self, *arguments: str) -> Any:
        done = self.command(*arguments, "-o", "json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def hub(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.target) as connection:
            return connection.execute(query.encode()).fetchall()

    def numbers(self) -> list[str]:
        """The customers that the hub has."""
        try:
            return [row[0] for row in self.hub("select customer_no from customer order by 1")]
        except psycopg.errors.UndefinedTable:
            return []

    def exceptions(self, *arguments: str) -> None:
        done = self.command("exceptions", *arguments, "--pipeline", "erp_to_hub")
        assert done.returncode == 0, done.stdout + done.stderr

    def parked(self) -> dict[str, tuple[str, str]]:
        """Customer number → (id, cause) of what is parked of the ERP's customers."""
        found = {}
        pipeline = ("--pipeline", "erp_to_hub")
        for one in self.json("exceptions", "list", *pipeline)["exceptions"]:
            if one["state"] == "parked":
                shown = self.json("exceptions", "show", one["id"], "--reveal", *pipeline)
                found[shown["after"]["nr"]] = (one["id"], one["cause_key"])
        return found

    def restart(self) -> None:
        self.stop()
        self.__enter__()

    def contacts(self) -> list[tuple[Any, ...]]:
        return self.hub("select customer_no, name, topic from contact order by 1")

    def said_by_sources(self, oracle: str = "oracle.sql") -> list[tuple[Any, ...]]:
        """The oracle, over copies of both sources' tables in a database of its own."""
        with psycopg.connect(self.source) as erp:
            customers = erp.execute("select * from sales.kunden").fetchall()
        with closing(pymysql.connect(**arguments(self.shop))) as shop, shop.cursor() as cursor:
            cursor.execute(
                "select erp_no, first_name, last_name, email, newsletter,"
                " nullif(last_visit, '0000-00-00') from customer"
            )
            visitors = cursor.fetchall()
            cursor.execute("select * from subscriber")
            subscribers = cursor.fetchall()
        create = (EXAMPLE / "erp.sql").read_text().partition("insert into")[0]
        with psycopg.connect(self.target) as scratch:  # rolled back
            scratch.execute(create.encode())
            scratch.execute(
                "create schema shop; create table shop.customer (erp_no char(5),"
                " first_name text, last_name text, email text, newsletter smallint,"
                " last_visit date);"
                " create table shop.subscriber (no integer, email text, topic text)"
            )
            with scratch.cursor() as cursor:
                cursor.executemany(
                    "insert into sales.kunden values (%s,%s,%s,%s,%s,%s,%s,%s,%s)", customers
                )
                cursor.executemany("insert into shop.customer values (%s,%s,%s,%s,%s,%s)", visitors)
                cursor.executemany("insert into shop.subscriber values (%s,%s,%s)", subscribers)
            rows = scratch.execute((EXAMPLE / oracle).read_bytes()).fetchall()
            scratch.rollback()
        return rows


@pytest.fixture
def example(
    tmp_path: Path, database18: Database, second_database18: Database, maria_server: LocalMariadb
) -> Example:
    maria_server.execute("create database shop")
    database18.execute((EXAMPLE / "erp.sql").read_text())
    for statement in (EXAMPLE / "shop.sql").read_text().split(";"):
        if statement.strip():
            maria_server.execute(statement, database="shop")
    return Example(
        tmp_path / "customer360", database18.url, maria_server.url() + "shop", second_database18.url
    )


def test_files_and_databases_are_fit(example: Example) -> None:
    for command in (["validate"], ["mapping", "test"], ["check"]):
        done = example.command(*command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_two_sources_become_customers_people_can_trust(example: Example) -> None:
    with example:
        wait_until(lambda: example.numbers() == ["10001", "10002", "10003"], "three customers")
        wait_until(lambda: len(example.parked()) == 3, "three parked rows")
        parked = example.parked()
        assert {number: cause.rpartition(":")[2] for number, (_, cause) in parked.items()} == {
            "10004": "malformed", "10005": "unlisted", "10006": "check",
        }  # fmt: skip

        # Owners: the shop's name is compared, the ERP's stands; of two e-mails the newest does.
        wait_until(lambda: len(example.json("discrepancies", "customer")["hub"]) == 2, "both")
        mail, name = example.json("discrepancies", "customer")["hub"]
        assert [mail[word] for word in ("entity_key", "field")] == ["10001", "e_mail"]
        assert "ada@example.org" not in str(mail)
        assert [name[word] for word in ("entity_key", "field", "owner", "source")] == [
            "10002", "name", "erp", "shop",
        ]  # fmt: skip
        assert (name["owner_value"], name["value"]) == ("Grace Hopper", "Grace Murray Hopper")

        # Protection: the e-mail of whoever heard of it last, as a token; the tax number masked.
        ((token,),) = example.hub("select e_mail from customer where customer_no = '10002'")
        assert token.startswith("tr1.")
        assert example.command("reveal", token).stdout.strip() == "grace@example.org"
        assert "136 695" not in str(example.hub("select * from tailrace.customer__erp"))

        # A typo is edited on the desk, a code is added to the table and its cause replayed, a row
        # that breaks the contract is mended at the source: what was parked of it is discarded.
        example.exceptions("edit", parked["10004"][0], "--set", "kreditlimit=12.500,00")
        example.exceptions("replay", parked["10004"][0])
        with psycopg.connect(example.source, autocommit=True) as erp:
            erp.execute("update sales.kunden set kreditlimit = '12.500,00' where nr = '10004'")
            erp.execute("update sales.kunden set kreditlimit = '0' where nr = '10006'")
        wait_until(lambda: "10004" in example.numbers(), "the edited customer")
        with (example.directory / "codes" / "status.csv").open("a") as codes:
            codes.write("X,blocked\n")
        with psycopg.connect(example.source, autocommit=True) as erp:
            erp.execute("update sales.kunden set kreditlimit = '0' where nr = '10005'")
        example.restart()
        example.exceptions("discard", parked["10006"][0], "--reason", "mended in the ERP")
        done = example.command(
            "exceptions", "replay", "--cause", parked["10005"][1], "--pipeline", "erp_to_hub"
        )
        assert done.returncode == 1  # with a credit of 100 it may not be blocked
        example.exceptions("discard", parked["10005"][0], "--reason", "mended in the ERP")
        wait_until(lambda: len(example.numbers()) == 6, "six customers")
        assert example.parked() == {}
        assert (
            example.hub(f"select {COLUMNS} from customer order by 1") == example.said_by_sources()
        )

        # Identity: who has an e-mail alone is recognised by its token; of the two readers that have
        # Emmy's a person says which she is.
        wait_until(
            lambda: (
                len(example.json("identity", "list", "contact")) == 11
                and example.contacts() == example.said_by_sources("oracle_contacts.sql")
            ),
            "contacts as the sources say",
        )
        conflicts = example.json("identity", "conflicts", "contact")
        assert [(one["source_key"], one["other_key"]) for one in conflicts] == [
            ("10004", "4"), ("10004", "5"),
        ]  # fmt: skip
        emmy, reader = conflicts[0]["id"], conflicts[0]["other_id"]
        example.json("identity", "merge", "contact", reader, emmy, "--reason", "she reads algebra")
        assert ("10004", "Emmy Noether", "algebra") in example.contacts()

        # The ERP alone makes and removes customers; the shop's come back with them.
        with psycopg.connect(example.source, autocommit=True) as erp:
            erp.execute("delete from sales.kunden where nr = '10001'")
        wait_until(lambda: "10001" not in example.numbers(), "the customer to go")
        with psycopg.connect(example.source, autocommit=True) as erp:
            erp.execute(
                "insert into sales.kunden values ('10009', 'Noor', 'Yet', 'A', '1,5', 'nl',"
                " '26.11.2026', null, null), ('10001', 'Ada', null, 'A', '0', 'gb',"
                " '31.12.1999', null, null)"
            )
        wait_until(lambda: "10009" in example.numbers(), "the new customer")
        wait_until(lambda: "10001" in example.numbers(), "the customer to come back")
        assert (
            example.hub(f"select {COLUMNS} from customer order by 1") == example.said_by_sources()
        )
        assert example.get("/readyz")[0] == 200
